"""How a rollout watches: which Prometheus it asks, what, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from string import Template

from secondread.config.require import require

_OF = 'name="$name", version="$version"'
PLACEHOLDERS = ("name", "version", "window")


@dataclass(frozen=True)
class QueriesConfig:
    """PromQL for the figures of one version of a model.

    `$name`, `$version` and `$window`, a duration, are put in; a dollar of PromQL's own is written twice. Where several
    models of one name are watched by one Prometheus, add what tells them apart, such as `namespace="..."`.
    """

    scraped: str = f"min(timestamp(secondread_requests_in_flight{{{_OF}}}))"  # when its servers were last read, in s
    requests: str = f"sum by (code) (increase(secondread_requests_total{{{_OF}}}[$window]))"
    seconds: str = f'sum by (le) (increase(secondread_request_seconds_bucket{{{_OF}, stage="total"}}[$window]))'
    predictions: str = f"sum by (label) (increase(secondread_predictions_total{{{_OF}}}[$window]))"
    confidence: str = f"sum by (le) (increase(secondread_confidence_bucket{{{_OF}}}[$window]))"
    out_of_distribution: str = f"sum(increase(secondread_out_of_distribution_total{{{_OF}}}[$window]))"
    drift: str = f"max by (statistic) (secondread_drift{{{_OF}}})"  # of its servers, the one that drifted most

    def __post_init__(self) -> None:
        for each in fields(self):
            text = getattr(self, each.name)
            require(bool(text.strip()), f"{each.name} is empty: without it a version cannot be judged.")
            template = Template(text)
            unknown = ", ".join(sorted(set(template.get_identifiers()) - set(PLACEHOLDERS)))
            allowed = ", ".join(f"${name}" for name in PLACEHOLDERS)
            require(template.is_valid(), f"{each.name} has a dollar that is no placeholder: write it twice.")
            require(not unknown, f"{each.name} has a placeholder {unknown}: those there are: {allowed}.")


@dataclass(frozen=True)
class ObserveConfig:
    """Where figures come from."""

    prometheus_url: str = "http://127.0.0.1:9090"  # its address
    timeout_seconds: float = 10.0  # for an answer: a rollout that waits is one that nobody watches
    # Of a server's last figures, at most, when a window ends: three times Prometheus's usual 15 s. Older ones are none.
    stale_seconds: float = 45.0
    queries: QueriesConfig = field(default_factory=QueriesConfig)

    def __post_init__(self) -> None:
        known = self.prometheus_url.startswith(("http://", "https://"))
        require(known, f"prometheus_url must be http://host:port or https://host:port, not '{self.prometheus_url}'.")
        for name in ("timeout_seconds", "stale_seconds"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
