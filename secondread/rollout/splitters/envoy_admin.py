"""A running Envoy, asked what it does: over the socket of its administration, which only its user can reach."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.errors import DependencyError

_SECONDS = 5.0
_CLUSTER = re.compile(r"version-(\d+)-(mirror-)?(?:rest|grpc)")
_COUNTED = "upstream_rq_total|upstream_rq_5xx|upstream_rq_active|upstream_rq_pending_failure_eject"


@dataclass(frozen=True)
class Routed:
    """How Envoy shares the requests.

    Attributes:
        stable: version that has no other in its place.
        percent: by version; they sum to 100.
        mirrored_to: version that is asked, too; None for none.
    """

    stable: int
    percent: Mapping[int, int]
    mirrored_to: int | None


@dataclass(frozen=True)
class Requests:
    """Of one version, REST and gRPC together, since Envoy started or the version came.

    Attributes:
        sent: to it, for an answer.
        failed: of those, answered with an HTTP status from 500 on; gRPC has its own, which the transformer counts.
        not_reached: given to it by the weights, but nothing listened: the stable version was asked in its place.
        mirrored: sent to it for nobody.
        active: not answered yet, mirrored ones included.
    """

    sent: int = 0
    failed: int = 0
    not_reached: int = 0
    mirrored: int = 0
    active: int = 0


class EnvoyAdmin:
    """The administration of one Envoy.

    Args:
        path: of its socket.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def ready(self) -> bool:
        """Whether it routes requests."""
        try:
            return self._get("/ready").strip() == "LIVE"
        except DependencyError:
            return False

    def clusters(self) -> set[str]:
        """Names of those that it has."""
        found = json.loads(self._get("/clusters?format=json"))
        return {each["name"] for each in found.get("cluster_statuses", [])}

    def addresses(self, name: str) -> set[str]:
        """Where a cluster's requests go, host:port; a socket's path for nowhere."""
        found = json.loads(self._get("/clusters?format=json"))
        return {
            _address(host["address"])
            for each in found.get("cluster_statuses", [])
            if each["name"] == name
            for host in each.get("host_statuses", [])
        }

    def routed(self) -> Routed | None:
        """How it shares the requests; None as long as it has not been told.

        Raises:
            DependencyError: it does not answer, or REST and gRPC are not shared alike.
        """
        dump = json.loads(self._get("/config_dump?resource=dynamic_route_configs"))
        hosts = [host for each in dump.get("configs", []) for host in each["route_config"].get("virtual_hosts", [])]
        found = [_routed(route["route"]) for host in hosts for route in host["routes"]]
        if any(each != found[0] for each in found):
            raise DependencyError("Envoy does not share REST and gRPC alike: somebody else has written its routes.")
        return found[0] if found else None

    def requests(self) -> dict[int, Requests]:
        """What each version was asked."""
        text = self._get(f"/stats?format=json&filter=^cluster%5C.version-.*({_COUNTED})$")
        counts: dict[int, dict[str, int]] = {}
        for each in json.loads(text)["stats"]:
            _, cluster, figure = each.get("name", "..").split(".", 2)
            if not (match := _CLUSTER.fullmatch(cluster)):
                continue
            of_version = counts.setdefault(int(match[1]), dict.fromkeys(Requests.__dataclass_fields__, 0))
            if name := _figure(figure, mirror=bool(match[2])):
                of_version[name] += each["value"]
        return {version: Requests(**each) for version, each in counts.items()}

    def drain(self) -> None:
        """Have it take no new connections; those that are there are closed as their requests are answered."""
        self._ask("POST", "/drain_listeners?graceful")

    def _get(self, path: str) -> str:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str) -> str:
        try:
            with closing(_Connection(self.path)) as connection:
                connection.request(method, path)
                return connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise DependencyError(f"Envoy does not answer at {self.path} ({error}): is the edge running?") from error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_SECONDS)
        self.sock.connect(str(self._path))


def _figure(name: str, *, mirror: bool) -> str:
    """Which figure of `Requests` a counter belongs to; empty for none."""
    match name:
        case "upstream_rq_active":
            return "active"
        case "upstream_rq_total":
            return "mirrored" if mirror else "sent"
        case "upstream_rq_5xx":
            return "" if mirror else "failed"
        case "upstream_rq_pending_failure_eject":
            return "" if mirror else "not_reached"
    return ""


def _routed(route: Mapping[str, Any]) -> Routed:
    groups = route["inline_cluster_specifier_plugin"]["extension"]["typed_config"]["priority_groups"]
    split, stable = ({_version(each["cluster_name"]): each["weight"] for each in group["clusters"]} for group in groups)
    mirrors = [_version(each["cluster"]) for each in route.get("request_mirror_policies", [])]
    return Routed(next(iter(stable)), split, mirrors[0] if mirrors else None)


def _version(cluster: str) -> int:
    match = _CLUSTER.fullmatch(cluster)
    return int(match[1]) if match else 0


def _address(address: Mapping[str, Any]) -> str:
    if socket_address := address.get("socket_address"):
        return f"{socket_address['address']}:{socket_address['port_value']}"
    return str(address.get("pipe", {}).get("path", ""))
