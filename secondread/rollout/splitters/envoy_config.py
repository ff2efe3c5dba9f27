"""What Envoy is told, as documents of its API version 3: how it starts, its clusters, and how requests are shared.

A version is two clusters, for REST and gRPC, and two more under which what is mirrored to it is counted apart. A
request is given to a side by the weights. Where nothing listens there, and only then, the stable side is asked in its
place: nothing was sent yet, so nothing is done twice; Envoy counts it. The stable side has nobody in its place: a
candidate is never given more than its share.

Source: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/cluster_specifier/priority_group
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUTES = "split"
PROTOCOLS = ("rest", "grpc")
_TYPE = "type.googleapis.com/envoy"
_ANSWER = "60s"  # the longest that an answer may take; the transformer gives up before
# Below the transformer's 75 s, else a connection is used that is just being closed.
_UPSTREAM_IDLE = "30s"
# Of a body that comes before a side is reached: beyond Envoy's 1 MiB it could not be sent to the other side. As large
# as a request may be for ServeConfig.
_BODY_BYTES = 64 << 20
_MOST_CONNECTIONS = 1024

Document = dict[str, Any]

# As the transformer's: JSON with a sentence, or gRPC's details.
_SENTENCE = "no answer came from the model's server (%RESPONSE_CODE_DETAILS%): ask again."
_OVER_GRPC = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
_OWN_ERRORS: Document = {
    "body_format": {"json_format": {"error": _SENTENCE}},
    "mappers": [
        {
            "filter": _OVER_GRPC,
            "body_format_override": {"text_format_source": {"inline_string": _SENTENCE}},
        }
    ],
}


@dataclass(frozen=True)
class Ports:
    """Of this machine: where Envoy listens.

    Attributes:
        rest, grpc: for clients.
        metrics: for Prometheus, `/stats/prometheus`; on loopback.
    """

    rest: int
    grpc: int
    metrics: int


def cluster_name(version: int, protocol: str, *, mirror: bool = False) -> str:
    """Of a version's cluster, such as `version-4-rest` or `version-4-mirror-rest`."""
    return f"version-{version}-{'mirror-' if mirror else ''}{protocol}"


def bootstrap(ports: Ports, *, host: str, admin: Path, clusters: Path, routes: Path) -> Document:
    """How it starts.

    Args:
        ports: to listen on.
        host: address for clients.
        admin: path of the socket of its administration, where nobody else can reach it.
        clusters: file that it follows; replaced by a rename.
        routes: another one.
    """
    listeners = [
        _listener(protocol, host, port, {"rds": {"route_config_name": ROUTES, "config_source": _file(routes)}})
        for protocol, port in (("rest", ports.rest), ("grpc", ports.grpc))
    ]
    # Its administration can end it, so that only its figures are given out over the network.
    figures = {"match": {"path": "/stats/prometheus"}, "route": {"cluster": "admin"}}
    listeners.append(_listener("metrics", "127.0.0.1", ports.metrics, {"route_config": _hosts("metrics", [figures])}))
    most = {
        "@type": f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": _MOST_CONNECTIONS,
    }
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": most}
    return {
        "node": {"id": "secondread-edge", "cluster": "secondread"},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "overload_manager": {"resource_monitors": [monitor]},
        "dynamic_resources": {"cds_config": _file(clusters)},
        "static_resources": {
            "listeners": listeners,
            "clusters": [_cluster("admin", {"pipe": {"path": str(admin)}}, http2=False)],
        },
    }


def clusters(addresses: Mapping[int, Mapping[str, str]], nowhere: Path) -> Document:
    """Where each version listens.

    Args:
        addresses: host:port by version and protocol; none for a version that listens nowhere.
        nowhere: path of a socket that is never there, which stands for it.
    """
    found = []
    for version, by_protocol in sorted(addresses.items()):
        for protocol in PROTOCOLS:
            host, _, port = by_protocol.get(protocol, "").rpartition(":")
            address: Document = {"pipe": {"path": str(nowhere)}}
            if port:
                address = {"socket_address": {"address": host, "port_value": int(port)}}
            for mirror in (False, True):
                name = cluster_name(version, protocol, mirror=mirror)
                found.append(
                    {"@type": f"{_TYPE}.config.cluster.v3.Cluster"} | _cluster(name, address, http2=protocol == "grpc")
                )
    return {"resources": found}


def routes(stable: int, candidate: int | None, candidate_percent: int, *, mirrored: bool) -> Document:
    """How requests are shared.

    Args:
        stable: version.
        candidate: version; None for none.
        candidate_percent: of the requests that the candidate answers.
        mirrored: whether it is asked what the stable side answers, too.
    """
    weights = {stable: 100 - candidate_percent}
    if candidate is not None:
        weights[candidate] = candidate_percent
    found = []
    for protocol in PROTOCOLS:
        match: Document = {"prefix": "/"} | ({"grpc": {}} if protocol == "grpc" else {})
        groups = [_group("split", weights, protocol), _group("stable", {stable: 100}, protocol)]
        route: Document = {
            "timeout": _ANSWER,
            "inline_cluster_specifier_plugin": {
                "extension": {
                    "name": "envoy.router.cluster_specifier_plugin.priority_group",
                    "typed_config": {
                        "@type": f"{_TYPE}.extensions.router.cluster_specifiers.priority_group.v3"
                        ".PriorityGroupClusterSpecifier",
                        "priority_groups": groups,
                    },
                }
            },
            "retry_policy": {
                "retry_on": "connect-failure",
                "num_retries": 1,
                "refresh_cluster_on_retry": True,
                "retry_back_off": {"base_interval": "0.001s"},
            },
        }
        if mirrored and candidate is not None:
            route["request_mirror_policies"] = [{"cluster": cluster_name(candidate, protocol, mirror=True)}]
        found.append({"match": match, "route": route})
    found.reverse()  # what is not gRPC is REST
    table = {"@type": f"{_TYPE}.config.route.v3.RouteConfiguration"} | _hosts(ROUTES, found)
    return {"resources": [table]}


def _group(name: str, weights: Mapping[int, int], protocol: str) -> Document:
    shares = [
        {"cluster_name": cluster_name(version, protocol), "weight": weight}
        for version, weight in weights.items()
        if weight  # Envoy takes none of 0
    ]
    return {"name": name, "clusters": shares}


def _cluster(name: str, address: Document, *, http2: bool) -> Document:
    explicit: Document = {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}}
    options = {
        "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
        "explicit_http_config": explicit,
    }
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        # Envoy's 3 at a time would be too few where a candidate is down that has a large share.
        "circuit_breakers": {"thresholds": [{"max_retries": _MOST_CONNECTIONS}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def _listener(name: str, host: str, port: int, routing: Document) -> Document:
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "server_header_transformation": "PASS_THROUGH",
        "request_headers_timeout": "10s",
        "stream_idle_timeout": _ANSWER,
        "local_reply_config": _OWN_ERRORS,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
        **routing,
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {
        "name": name,
        # With it a second Envoy would take half of this one's connections without a word.
        "enable_reuse_port": False,
        "address": {"socket_address": {"address": host, "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }


def _hosts(name: str, routes: list[Document]) -> Document:
    everybody = {
        "name": "all",
        "domains": ["*"],
        "request_body_buffer_limit": _BODY_BYTES,
        "routes": routes,
    }
    return {"name": name, "virtual_hosts": [everybody]}


def _file(path: Path) -> Document:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}
