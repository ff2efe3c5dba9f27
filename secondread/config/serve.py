"""How a model answers."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from secondread.config.require import require

LEAST_DRIFT_IMAGES = 100  # with fewer, chance alone looks like drift
MOST_DRIFT_IMAGES = 2_000  # each is compared with each, which takes 0.2 GB
_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class ServeConfig:
    """How the transformer answers, on a laptop behind `secondread serve` and in a predictor pod."""

    name: str = "secondread"  # model, as in the path of the inference API and in the repository
    host: str = "127.0.0.1"  # address to listen on; only this machine, unless someone decides to open it
    http_port: int = 8080  # REST; KServe's port. 0 picks a free one
    grpc_port: int = 8081  # gRPC; KServe's port. 0 picks a free one
    # Of decoding and of one run of the graph. 0: the CPUs of the container; a light graph is then run in one by the
    # Triton that `secondread serve` starts, which shares them
    threads: int = 0
    max_in_flight: int = 32  # requests; above this the answer is 503 at once, since a queue only makes all of them late
    max_request_bytes: int = 64 << 20  # bytes of one REST request; the largest films have 30 MB, as base64 40
    max_grpc_message_bytes: int = 32 << 20  # bytes of one gRPC request; each call holds one before it can be refused
    max_image_pixels: int = 64_000_000  # of one image as it came; the largest digital mammograms have 30 million
    max_bytes_in_flight: int = 128 << 20  # bytes of all requests that came and are not answered; two of the largest
    head_timeout_seconds: float = 10.0  # for the first byte of a connection, and for a REST request's headers to come
    # For a REST request's bytes to come, and for its answer to be taken; 40 MB need a line of 11 Mbit/s.
    body_timeout_seconds: float = 30.0
    max_connection_seconds: float = 300.0  # age at which gRPC clients are asked to connect anew; ends stalled ones
    # Images by address are off until hosts are named, as `host` or `host:port`. Private addresses are refused but
    # within these networks (CIDR), such as that of the archive.
    url_hosts: tuple[str, ...] = ()
    url_networks: tuple[str, ...] = ()
    url_authorities: str = (
        ""  # file of certificates to trust for https, such as the hospital's; the system's by default
    )
    url_timeout_seconds: float = 10.0  # for all images of a request to come, from the look-up of their hosts on
    # Requests whose images are being fetched, of max_in_flight: a quarter, so that an archive that is slow leaves most
    # of the places to those who send their images.
    max_url_in_flight: int = 8
    token_file: str = ""  # a line for each token that may ask, `Authorization: Bearer TOKEN`; anybody may by default
    drift_images: int = 500  # latest ones of each version that are compared with val; 0: none are, and no drift is told
    drift_seconds: float = 60.0  # between two comparisons, each 0.1 s of one core; Prometheus asks twice in that time
    # File that gets a line for each image that was read: when, its SHA-256, its label. So the edge compares the answers
    # of two versions, and gives each server one of its own; by default nothing is kept.
    answer_log: str = ""
    log_requests: bool = True  # a line for each in the log, without anything that a client wrote
    log_level: str = "info"  # from which on: debug (health checks too), info, warning (what was refused), error
    predictor_timeout_seconds: float = 10.0  # for Triton's answer, or a free processor: a physician's patience
    start_timeout_seconds: float = 60.0  # for Triton to load the model; 3 s on an idle machine with two cores
    drain_seconds: float = 10.0  # for requests in flight when told to stop; below Kubernetes' 30

    def __post_init__(self) -> None:
        for field in ("http_port", "grpc_port"):
            port = getattr(self, field)
            require(0 <= port <= 65535, f"{field} must be from 0 (any free one) to 65535, not {port}.")
        same = self.http_port and self.http_port == self.grpc_port
        require(not same, f"http_port and grpc_port are both {self.http_port}: give them different ones.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")
        limits = ("in_flight", "url_in_flight", "request_bytes", "grpc_message_bytes", "image_pixels")
        for name in (f"max_{limit}" for limit in limits):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("predictor", "start", "head", "body", "url"):
            seconds = getattr(self, f"{name}_timeout_seconds")
            require(seconds > 0, f"{name}_timeout_seconds must be above 0, not {seconds}.")
        require(
            self.max_connection_seconds > 0,
            f"max_connection_seconds must be above 0, not {self.max_connection_seconds}.",
        )
        largest = max(self.max_request_bytes, self.max_grpc_message_bytes)
        require(
            self.max_bytes_in_flight >= largest,
            f"max_bytes_in_flight {self.max_bytes_in_flight} is below one request of {largest} bytes: raise it.",
        )
        require(
            self.drift_images == 0 or LEAST_DRIFT_IMAGES <= self.drift_images <= MOST_DRIFT_IMAGES,
            f"drift_images must be 0 or from {LEAST_DRIFT_IMAGES} to {MOST_DRIFT_IMAGES}, not {self.drift_images}.",
        )
        require(self.drift_seconds > 0, f"drift_seconds must be above 0, not {self.drift_seconds}.")
        for text in self.url_networks:
            require(_is_network(text), f"url_networks holds '{text}', which is none: give CIDRs such as 10.1.0.0/16.")
        for host in self.url_hosts:
            require(
                bool(host) and "/" not in host and "@" not in host,
                f"url_hosts holds '{host}', which is no host: give names such as pacs.example.org or pacs:8080.",
            )
        require(self.log_level in _LEVELS, f"log_level must be {', '.join(_LEVELS)}, not '{self.log_level}'.")
        require(self.drain_seconds >= 0, f"drain_seconds must not be negative, not {self.drain_seconds}.")


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True
