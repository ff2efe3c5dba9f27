"""How a rollout is carried on: by whom requests are shared, how often one looks, and who is told: a `control.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field

from secondread.config.loadtest import LoadTestConfig
from secondread.config.observe import ObserveConfig
from secondread.config.require import require, require_http

SPLITTERS = ("envoy", "kserve-canary", "knative")


@dataclass(frozen=True)
class ControlConfig:
    """What is around a rollout."""

    splitter: str = "envoy"  # of SPLITTERS; this machine's edge, which a laptop has
    service: str = "secondread"  # on a cluster: the InferenceService whose requests are shared
    namespace: str = "secondread"  # that it is in
    interval_seconds: float = 60.0  # between two looks; a third of what evidence.age_seconds allows by default
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    # What a stage's check load_test puts on the candidate; who is asked is put in.
    load_test: LoadTestConfig = field(default_factory=LoadTestConfig)
    images: str = ""  # folder of JPEG, PNG or DICOM files that the checks send; phantoms by default
    webhook_url: str = ""  # gets every event as JSON, by POST; empty: nobody
    webhook_seconds: float = 5.0  # for its answer; one that does not come stops nothing

    def __post_init__(self) -> None:
        require(self.splitter in SPLITTERS, f"splitter must be one of {', '.join(SPLITTERS)}, not '{self.splitter}'.")
        for name in ("service", "namespace"):
            require(bool(getattr(self, name).strip()), f"{name} is empty: name the one of the cluster.")
        asked = self.splitter == "envoy" or bool(self.observe.prometheus_url)
        require(asked, "observe.prometheus_url is empty: name the cluster's Prometheus.")
        for name in ("interval_seconds", "webhook_seconds"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        require_http("webhook_url", self.webhook_url, secret=True)
