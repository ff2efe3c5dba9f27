"""Settings of serving and of the load test refuse what cannot work, when they are made."""

from __future__ import annotations

from typing import Any

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.config.serve import ServeConfig
from secondread.errors import InputError


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"http_port": 70000}, "http_port must be from 0"),
        ({"grpc_port": -1}, "grpc_port must be from 0"),
        ({"http_port": 9000, "grpc_port": 9000}, "are both 9000"),
        ({"threads": -1}, "threads must not be negative"),
        ({"max_in_flight": 0}, "max_in_flight must be above 0"),
        ({"max_request_bytes": 0}, "max_request_bytes must be above 0"),
        ({"max_grpc_message_bytes": 0}, "max_grpc_message_bytes must be above 0"),
        ({"max_bytes_in_flight": 1 << 20}, "max_bytes_in_flight 1048576 is below one request of 67108864 bytes"),
        ({"head_timeout_seconds": 0}, "head_timeout_seconds must be above 0"),
        ({"body_timeout_seconds": 0}, "body_timeout_seconds must be above 0"),
        ({"url_timeout_seconds": 0}, "url_timeout_seconds must be above 0"),
        ({"url_hosts": ("http://pacs",)}, "url_hosts holds 'http://pacs', which is no host"),
        ({"url_hosts": ("",)}, "url_hosts holds '', which is no host"),
        ({"url_networks": ("pacs",)}, "url_networks holds 'pacs', which is none: give CIDRs"),
        ({"max_connection_seconds": 0}, "max_connection_seconds must be above 0"),
        ({"drift_images": 99}, "drift_images must be 0 or from 100 to 2000, not 99"),
        ({"drift_images": 2001}, "drift_images must be 0 or from 100 to 2000"),
        ({"drift_seconds": 0.0}, "drift_seconds must be above 0"),
        ({"predictor_timeout_seconds": 0}, "predictor_timeout_seconds must be above 0"),
        ({"log_level": "loud"}, "log_level must be debug, info, warning, error, not 'loud'"),
        ({"drain_seconds": -1}, "drain_seconds must not be negative"),
    ],
)
def test_a_server_that_cannot_work(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ServeConfig(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"url": "", "grpc_url": ""}, "neither a REST nor a gRPC address"),
        ({"users": 0}, "users must be above 0"),
        ({"seconds": 0}, "seconds must be above 0"),
        ({"seconds": 0.0, "shape": "soak"}, "seconds must be above 0"),
        ({"failures_below": 2}, "share from 0 to 1"),
        ({"requests_at_least": 0}, "requests_at_least must be above 0"),
        ({"think_seconds": -1}, "think_seconds must not be negative"),
        ({"shape": "wave"}, "shape must be one of constant, ramp, spike, soak, not 'wave'"),
    ],
)
def test_a_load_test_that_cannot_work(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LoadTestConfig(**values)


def test_two_free_ports_do_not_clash() -> None:
    assert ServeConfig(http_port=0, grpc_port=0).host == "127.0.0.1"


def test_the_gate_of_the_load_test_is_the_seeds() -> None:
    assert (LoadTestConfig().p99_below_ms, LoadTestConfig().failures_below) == (300, 0.01)
