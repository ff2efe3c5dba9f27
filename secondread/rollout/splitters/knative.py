"""The splitter of KServe's Knative mode: `predictor.canaryTrafficPercent`.

The candidate takes the predictor's place, and the last revision that had all of the requests keeps what is left. Which
model that was, an annotation remembers. KServe takes 100 % for the end of the trial, and from then on the candidate's
revision for the one that keeps what is left: a candidate has 99 % at the most, and is promoted then.

After a removal the share stays 0: without it Knative would route all to the newest revision that is ready, which is the
candidate's until the stable model's own has started.

Source: KServe 0.20, `ksvc_reconciler.go` (createKnativeService) and `inference_service_status.go` (PropagateStatus).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from secondread.errors import DependencyError, InputError
from secondread.rollout.cluster import Document
from secondread.rollout.splitters.inference_service import InferenceService
from secondread.rollout.splitters.splitter import Done, Side, Split, check_deployable, check_split

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion

STABLE = "secondread/stable-storage-uri"
_MOST = 99  # percent


class KnativeSplitter:
    """Shares the requests of an InferenceService in Knative mode; see `Splitter`.

    What is asked is patched into the object; KServe does it in its own time, and `read` says when.

    Args:
        service: whose requests are shared.
    """

    mirrors: ClassVar[bool] = False
    most_percent: ClassVar[int] = _MOST
    asks_candidate: ClassVar[bool] = False

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def check(self) -> None:
        """See `Splitter.check`."""
        self._check_cluster(self._service.read())

    def read(self) -> Split:
        """What is really set: by the revisions that Knative routes to. See `Splitter.read`."""
        document = self._service.read()
        uri, stable = _uri(document), _stable(document)
        status = document.get("status", {}).get("components", {}).get("predictor", {})
        newest, rolled_out = status.get("latestCreatedRevision", ""), status.get("latestRolledoutRevision", "")
        if stable is None:
            return Split(Side(uri, bool(rolled_out)), None, 0, mirrored=False)
        is_candidate = newest != rolled_out
        percent = sum(each.get("percent") or 0 for each in status.get("traffic", []) if each["revisionName"] == newest)
        ready = is_candidate and status.get("latestReadyRevision") == newest
        return Split(Side(stable, bool(rolled_out)), Side(uri, ready), percent if is_candidate else 0, mirrored=False)

    def deploy(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.deploy`."""
        check_deployable(candidate)

        def change(document: Document) -> Document | None:
            self._check_cluster(document)
            uri, stable = _uri(document), _stable(document)
            if candidate.storage_uri == (stable or uri):
                raise InputError(f"version {candidate.version} is the stable one: there is nothing to try.")
            if stable and uri != candidate.storage_uri:
                raise InputError("another candidate is being tried: remove it first.")
            if stable:
                return None
            return _patch(candidate.storage_uri, percent=0, stable=uri)

        return self._change(change, f"version {candidate.version} is the candidate")

    def set_split(self, candidate_percent: int, *, mirrored: bool = False) -> Done:
        """See `Splitter.set_split`."""
        check_split(candidate_percent, mirrored=mirrored)
        if mirrored:
            raise InputError("KServe mirrors no requests: leave the stage with mirrored traffic out of the policy.")
        if candidate_percent > _MOST:
            raise InputError(
                "in Knative mode KServe takes 100 % for the end of the trial: promote the candidate, or give it "
                f"{_MOST} % at most."
            )

        def change(document: Document) -> Document | None:
            self._check_cluster(document)
            before = document["spec"]["predictor"].get("canaryTrafficPercent")
            if _stable(document) is None:
                if candidate_percent:
                    raise InputError("there is no candidate: deploy one first.")
                return None
            if before == candidate_percent:
                return None
            if candidate_percent > (before or 0):
                self._check_ready()
            return {"spec": {"predictor": {"canaryTrafficPercent": candidate_percent}}}

        return self._change(change, f"the candidate is to have {candidate_percent} % of the requests")

    def promote(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.promote`."""

        def change(document: Document) -> Document | None:
            is_newest = _uri(document) == candidate.storage_uri
            if is_newest and _stable(document) is None:
                return None
            if not is_newest:
                raise InputError(f"version {candidate.version} is not the candidate: deploy it first.")
            self._check_cluster(document)
            self._check_ready()
            return _patch(candidate.storage_uri, percent=100, stable=None)

        return self._change(change, f"version {candidate.version} is to be the stable one")

    def remove(self) -> Done:
        """See `Splitter.remove`."""

        def change(document: Document) -> Document | None:
            stable = _stable(document)
            return _patch(stable, percent=0, stable=None) if stable else None

        return self._change(change, "there is no candidate")

    def _change(self, change: Callable[[Document], Document | None], what: str) -> Done:
        changed = self._service.patch(change)
        return Done(changed, what if changed else f"{what} already")

    def _check_ready(self) -> None:
        if not (split := self.read()).candidate or not split.candidate.ready:
            raise DependencyError("the candidate is not ready yet: ask again when it is.")

    def _check_cluster(self, document: Document) -> None:
        """Refuse where `canaryTrafficPercent` would be ignored, or somebody else uses it.

        Raises:
            InputError: what is missing.
        """
        name, mode = self._service.name, self._service.mode(document)
        if mode != "Knative":
            raise InputError(
                f"InferenceService {name} is deployed in {mode or 'no named'} mode, where KServe ignores "
                "canaryTrafficPercent without a word: use the splitter kserve-canary in Standard mode."
            )
        if not self._service.has_kind("serving.knative.dev", "v1", "services"):
            raise InputError("this cluster has no Knative Serving, without which no share is split: install it.")
        share = document["spec"]["predictor"].get("canaryTrafficPercent")
        if _stable(document) is None and share not in (None, 0, 100):
            raise InputError(
                f"{name} has a canary with {share} % already, which somebody else began: let them promote it or take "
                "it back first."
            )


def _patch(storage_uri: str, *, percent: int, stable: str | None) -> Document:
    return {
        "metadata": {"annotations": {STABLE: stable}},
        "spec": {"predictor": {"canaryTrafficPercent": percent, "model": {"storageUri": storage_uri}}},
    }


def _uri(document: Document) -> str:
    return str(document["spec"]["predictor"].get("model", {}).get("storageUri", ""))


def _stable(document: Document) -> str | None:
    """What the stable side serves, while a candidate is tried; None while none is."""
    found = document["metadata"].get("annotations", {}).get(STABLE)
    return str(found) if found else None
