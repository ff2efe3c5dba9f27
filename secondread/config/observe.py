"""How a rollout watches: which Prometheus it asks, what, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from string import Template

from secondread.config.require import require, require_http

_OF = 'name="$name", version="$version", namespace=~"$namespace"'
PLACEHOLDERS = ("name", "version", "namespace", "window")


def _counted(by: str, metric: str, labels: str = "") -> str:
    """What was counted in the window: the whole number that a server's count has grown by.

    `increase` alone does not say what came between a window's first reading and the last one of the window before: it
    puts the rest to scale, so that a third of a failure is made of some, and nothing of others. It is asked where a
    server came, went or began anew in the window, of which no difference is to be had.
    """
    series = f"{metric}{{{_OF}{labels}}}"
    return f"sum{by}({series} - {series} offset $window >= 0 or increase({series}[$window]))"


@dataclass(frozen=True)
class QueriesConfig:
    """PromQL for the figures of one version of a model.

    `$name`, `$version`, `$namespace` and `$window`, a duration, are put in; a dollar of PromQL's own is written twice.
    """

    scraped: str = f"min(timestamp(secondread_requests_in_flight{{{_OF}}}))"  # when its servers were last read, in s
    requests: str = _counted(" by (code) ", "secondread_requests_total")
    seconds: str = _counted(" by (le) ", "secondread_request_seconds_bucket", ', stage="total"')
    predictions: str = _counted(" by (label) ", "secondread_predictions_total")
    confidence: str = _counted(" by (le) ", "secondread_confidence_bucket")
    out_of_distribution: str = _counted("", "secondread_out_of_distribution_total")
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

    prometheus_url: str = ""  # its address; empty: the one that the edge of this machine runs
    # Of a cluster, which its Prometheus adds as a label: a regular expression. By default any, and series without: name
    # the one where one Prometheus watches models of one name in several.
    namespace: str = ".*"
    timeout_seconds: float = 10.0  # for an answer: a rollout that waits is one that nobody watches
    # Of a server's last figures, at most, when a window ends: three times Prometheus's usual 15 s. Older ones are none.
    stale_seconds: float = 45.0
    queries: QueriesConfig = field(default_factory=QueriesConfig)

    def __post_init__(self) -> None:
        require_http("prometheus_url", self.prometheus_url)
        for name in ("timeout_seconds", "stale_seconds"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
