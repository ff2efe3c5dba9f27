"""What the transformer counts: all that may come is there from the start."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY

from secondread.errors import GateRefused, SecondReadError
from secondread.serving.front import access
from secondread.serving.protocol import contract
from secondread.serving.transformer import admission
from secondread.serving.transformer.metrics import Measures

ERRORS_OF_THEIR_OWN = (access, admission, contract)  # imported, so that the tree of errors has them


def test_every_status_that_a_request_can_have_is_counted_from_0() -> None:
    """Else a version's first failure would be none: of what first shows as 1, Prometheus knows no increase."""
    Measures("secondread", "of-test-metrics", ("a",))
    statuses = {each.http_status for each in kinds(SecondReadError) if not issubclass(each, GateRefused)} | {200}
    for status in statuses:
        labels = {"name": "secondread", "version": "of-test-metrics", "code": str(status)}
        assert REGISTRY.get_sample_value("secondread_requests_total", labels) == 0, status


def kinds(error: type[SecondReadError]) -> Iterator[type[SecondReadError]]:
    """An error of the tree, and all below it."""
    yield error
    for each in error.__subclasses__():
        yield from kinds(each)
