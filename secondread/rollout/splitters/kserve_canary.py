"""The splitter of KServe's Standard mode: `spec.canary`, whose share Gateway API routes.

A candidate is a second predictor, named after its version, which takes from the stable one what it does not say. To
promote it, `spec.predictor` takes its name and its model, so that the pods that were tried are those that stay.

Source: KServe 0.20, `inference_service_validation.go`, `predictor.go` (reconcileCanaryDeployments) and
`httproute_reconciler.go` (applyCanaryWeights), `service_reconciler.go` (createDefaultSvc).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from secondread.errors import DependencyError, InputError
from secondread.rollout.cluster import Document
from secondread.rollout.splitters.inference_service import MODE, InferenceService
from secondread.rollout.splitters.splitter import Done, Side, Split, check_deployable, check_split

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion

_SCALER = "serving.kserve.io/autoscalerClass"
_TAKEN_OVER = ("modelFormat", "runtime", "protocolVersion")  # of the stable model; the schema wants the first


class KServeCanarySplitter:
    """Shares the requests of an InferenceService in Standard mode; see `Splitter`.

    What is asked is patched into the object; KServe does it in its own time, and `read` says when.

    Args:
        service: whose requests are shared.
    """

    mirrors: ClassVar[bool] = False
    most_percent: ClassVar[int] = 100
    asks_candidate: ClassVar[bool] = True

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def check(self) -> None:
        """See `Splitter.check`."""
        self._check_cluster(self._service.read())

    def read(self) -> Split:
        """What is really set: the weights are those of the HTTPRoute. See `Splitter.read`."""
        document = self._service.read()
        canary, status = _canary(document), document.get("status", {})
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        stable = Side(_uri(document["spec"]["predictor"]), conditions.get("PredictorReady") == "True")
        if canary is None:
            return Split(stable, None, 0, mirrored=False)
        name = canary["predictor"]["name"]
        ready = any(each["name"] == name and each["ready"] for each in status.get("canaryStatuses", []))
        host = f"{self._service.name}-{name}-predictor.{self._service.namespace}"
        tried = Side(_uri(canary["predictor"]), ready, url=f"http://{host}", grpc_url=f"{host}:8081")
        return Split(stable, tried, self._routed(name), mirrored=False)

    def deploy(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.deploy`."""
        check_deployable(candidate)

        def change(document: Document) -> Document | None:
            self._check_cluster(document)
            canary, stable = _canary(document), document["spec"]["predictor"]
            if _uri(stable) == candidate.storage_uri:
                raise InputError(f"version {candidate.version} is the stable one: there is nothing to try.")
            if canary and _uri(canary["predictor"]) != candidate.storage_uri:
                raise InputError(f"another candidate ({canary['predictor']['name']}) is being tried: remove it first.")
            if canary:
                return None
            # KServe 0.20's schema asks for a name here, and only here; empty is what it takes.
            model = {"name": "", "storageUri": candidate.storage_uri}
            model |= {key: stable["model"][key] for key in _TAKEN_OVER if key in stable["model"]}
            predictor = {"name": f"v{candidate.version}", "minReplicas": 1, "model": model}
            return {"spec": {"canary": [{"trafficPercent": 0, "predictor": predictor}]}}

        return self._change(change, f"version {candidate.version} is the candidate")

    def set_split(self, candidate_percent: int, *, mirrored: bool = False) -> Done:
        """See `Splitter.set_split`."""
        check_split(candidate_percent, mirrored=mirrored)
        if mirrored:
            raise InputError("KServe mirrors no requests: leave the stage with mirrored traffic out of the policy.")

        def change(document: Document) -> Document | None:
            self._check_cluster(document)
            canary = _canary(document)
            if canary is None and candidate_percent:
                raise InputError("there is no candidate: deploy one first.")
            if canary is None or canary["trafficPercent"] == candidate_percent:
                return None
            if candidate_percent > canary["trafficPercent"]:
                self._check_ready()
            # KServe takes as many off the stable side, once they are ready: the pods go with the requests.
            pods = math.ceil(document["spec"]["predictor"].get("minReplicas", 1) * candidate_percent / 100)
            predictor = {**canary["predictor"], "minReplicas": max(1, pods)}
            return {"spec": {"canary": [{"trafficPercent": candidate_percent, "predictor": predictor}]}}

        return self._change(change, f"the candidate is to have {candidate_percent} % of the requests")

    def promote(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.promote`."""

        def change(document: Document) -> Document | None:
            canary = _canary(document)
            if _uri(document["spec"]["predictor"]) == candidate.storage_uri and canary is None:
                return None
            if canary is None or _uri(canary["predictor"]) != candidate.storage_uri:
                raise InputError(f"version {candidate.version} is not the candidate: deploy it first.")
            self._check_cluster(document)
            self._check_ready()
            predictor = {"name": canary["predictor"]["name"], "model": {"storageUri": candidate.storage_uri}}
            return {"spec": {"canary": None, "predictor": predictor}}

        return self._change(change, f"version {candidate.version} is to be the stable one")

    def remove(self) -> Done:
        """See `Splitter.remove`."""
        return self._change(
            lambda document: {"spec": {"canary": None}} if document["spec"].get("canary") else None,
            "there is no candidate",
        )

    def _change(self, change: Callable[[Document], Document | None], what: str) -> Done:
        changed = self._service.patch(change)
        return Done(changed, what if changed else f"{what} already")

    def _check_ready(self) -> None:
        if not (split := self.read()).candidate or not split.candidate.ready:
            raise DependencyError("the candidate is not ready yet: ask again when it is.")

    def _check_cluster(self, document: Document) -> None:
        """Refuse where KServe would ignore `spec.canary`, or split nothing.

        Raises:
            InputError: what is missing.
        """
        name, mode = self._service.name, self._service.mode(document)
        annotations, spec = document["metadata"].get("annotations", {}), document["spec"]
        if mode != "Standard":
            raise InputError(
                f"InferenceService {name} is deployed in {mode or 'no named'} mode, which has no spec.canary: use the "
                "splitter knative in Knative mode."
            )
        if annotations.get(MODE) != "Standard":
            raise InputError(f"KServe wants the annotation {MODE}: Standard on {name} itself before it takes a canary.")
        if annotations.get(_SCALER) == "keda" or "autoScaling" in spec["predictor"]:
            raise InputError(
                f"{name} is scaled by KEDA, and KServe gives a canary a ScaledObject without a trigger: fix its "
                "replicas while a candidate is tried."
            )
        if "transformer" in spec:
            raise InputError(
                f"{name} has a transformer component, which a canary's share goes past: put it into the predictor's "
                "pod, as kserve/services/standard has it."
            )
        if not self._service.has_field("spec", "canary"):
            raise InputError("this cluster's InferenceService has no spec.canary: it needs KServe 0.20 or later.")
        if not self._service.has_kind("gateway.networking.k8s.io", "v1", "httproutes"):
            raise InputError("this cluster has no Gateway API, without which no share is split: install it.")
        if self._service.route() is None:
            raise InputError(
                f"KServe has made no HTTPRoute {name}, so no share would be split: set enableGatewayApi in its "
                "ConfigMap, and wait until the service is ready."
            )

    def _routed(self, name: str) -> int:
        """Percent of the requests that go to a canary by the HTTPRoute.

        Raises:
            DependencyError: its rules do not agree.
        """
        rules = (self._service.route() or {}).get("spec", {}).get("rules", [])
        backend = f"{self._service.name}-{name}-predictor"
        shares = {_share(rule["backendRefs"], backend) for rule in rules if rule.get("backendRefs")}
        if len(shares) > 1:
            raise DependencyError(f"the rules of HTTPRoute {self._service.name} split differently: {sorted(shares)} %.")
        return shares.pop() if shares else 0


def _share(backends: list[Document], name: str) -> int:
    weights: dict[str, int] = {each["name"]: each.get("weight", 1) for each in backends}
    return round(100 * weights.get(name, 0) / max(1, sum(weights.values())))


def _canary(document: Document) -> Any:
    """The one canary; None for none.

    Raises:
        InputError: there are several, so somebody else has a hand in it.
    """
    canaries = document["spec"].get("canary") or []
    if len(canaries) > 1:
        raise InputError(f"{document['metadata']['name']} has {len(canaries)} canaries: leave one at most.")
    return canaries[0] if canaries else None


def _uri(predictor: Document) -> str:
    return str(predictor.get("model", {}).get("storageUri", ""))
