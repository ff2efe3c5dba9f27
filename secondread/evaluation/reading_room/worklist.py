"""The second reader's working step: which studies are closed, and which go to a second physician.

Closed is what the risk dial calls closed, class for class: the first reader and the model give the same class, and the
model's confidence reaches the threshold of the dial's chosen position. The model's own thresholds do not carry that
position: its `abstain` is a share of val, and no promise. Everything else is escalated, for the first of these reasons:

    could not be read      the model has no answer
    no first reading       nobody has read it before
    none of its field      the model turns it away, whatever it calls it
    disagreement           the two give different classes
    not sure enough        they agree, and the model's confidence is below the threshold

The dial knows of no film that is turned away. To escalate those as well only closes fewer. Those, and what one of the
two has not read, are no studies like those of the calibration, and allow for no wrong closure among the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secondread.config.mapping import from_mapping
from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError
from secondread.evaluation.nulls import null_for_nan
from secondread.evaluation.reading_room.audit import Audited, judge_audit
from secondread.evaluation.reading_room.lot import lots
from secondread.evaluation.reading_room.model_readings import ModelReadings

UNREADABLE, NO_FIRST, STRANGE, DIFFER, UNSURE = (
    "could not be read",
    "no first reading",
    "none of its field",
    "disagreement",
    "not sure enough",
)
OTHER = "other"  # what a physician calls a study that has none of the model's classes
_COMPARED = ("", DIFFER, UNSURE)
_SHOWN = 12  # digits of an image's SHA-256 that a message names


@dataclass(frozen=True)
class ClosingRule:
    """When a study is closed, and how that is watched: a position of the risk dial.

    Attributes:
        threshold: confidence from which on agreement closes a study; infinite: none is closed.
        policy: accepted share, and audit.
    """

    threshold: float
    policy: RiskDialConfig

    @classmethod
    def of_evaluation(cls, document: Mapping[str, Any], *, digest: str) -> ClosingRule:
        """The chosen position of an evaluation's dial.

        Args:
            document: what `evaluation.json` says.
            digest: of the model whose readings are to be closed.
        Raises:
            InputError: the evaluation is of another model, has no dial, or is none.
        """
        try:
            judged, dial = str(document["digest"]), (document["evidence"] or {}).get("risk_dial")
            if judged != digest:
                raise InputError(
                    f"the evaluation is of another model ({judged[:_SHOWN]}) than the readings ({digest[:_SHOWN]}): it "
                    "promises nothing of them. Name the evaluation of the model that read."
                )
            if dial is None:
                raise InputError(
                    "the evaluation has no risk dial: evaluate the model on a test split that it has not seen, with "
                    "--output."
                )
            return cls.from_json({"threshold": dial["chosen"]["threshold"], **_policy_of(dial)})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the evaluation is damaged ({error}). Evaluate the model again.") from error

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ClosingRule:
        """From what `to_json` gives."""
        policy = {name: value for name, value in document.items() if name != "threshold"}
        threshold = document["threshold"]
        return cls(
            math.inf if threshold is None else float(threshold), from_mapping(RiskDialConfig, policy, stage="rule")
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON; a threshold of null closes nothing."""
        policy = {name: value for name, value in asdict(self.policy).items() if name != "shown"}
        document: dict[str, Any] = null_for_nan({"threshold": self.threshold, **policy})
        return document


def _policy_of(dial: Mapping[str, Any]) -> dict[str, Any]:
    audit = {f"audit_{name}": dial["audit"][name] for name in ("share", "factor", "power", "false_alarm")}
    return {"accepted": dial["chosen"]["accepted"], **audit}


@dataclass(frozen=True)
class Worklist:
    """What becomes of some studies.

    Attributes:
        readings: the model's.
        first: class that the first reader gives, of each study; empty where he has not read it.
        rule: by which it was decided.
        seed: of the lot.
        reasons: why each study is escalated; empty where it is closed.
        lots: float64 (studies,), in [0, 1); NaN where a study is not closed.
    """

    readings: ModelReadings
    first: tuple[str, ...]
    rule: ClosingRule
    seed: str
    reasons: tuple[str, ...]
    lots: npt.NDArray[np.float64]

    @property
    def closed(self) -> int:
        """How many are."""
        return self.reasons.count("")

    @property
    def compared(self) -> int:
        """How many both have read, of the model's field."""
        return sum(reason in _COMPARED for reason in self.reasons)

    @property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """Which are read again, bool (studies,)."""
        return np.asarray(self.lots < self.rule.policy.audit_share)

    def counts(self) -> dict[str, Any]:
        """How many studies, by what becomes of them."""
        escalated = Counter(reason for reason in self.reasons if reason)
        return {
            "studies": len(self.reasons),
            "closed": self.closed,
            "escalated": {reason: escalated[reason] for reason in (UNREADABLE, NO_FIRST, STRANGE, DIFFER, UNSURE)},
            "audited": int(self.drawn.sum()),
        }


def close_studies(readings: ModelReadings, first: Sequence[str], rule: ClosingRule, *, seed: str = "") -> Worklist:
    """Decide what becomes of each study, and draw the audit.

    Args:
        readings: the model's.
        first: class that the first reader gives, of each study; empty where he has not read it. `other` is none of the
            model's, and agrees with nothing.
        rule: the dial's position.
        seed: of the lot; the model's digest by default.
    Raises:
        InputError: an image is there twice, or the first readings are not as many as the studies.
    """
    if len(first) != len(readings.labels):
        raise InputError(
            f"{len(first)} first readings of {len(readings.labels)} studies: give one each, or empty ones."
        )
    if twice := next((each for each, count in Counter(filter(None, readings.image_ids)).items() if count > 1), ""):
        raise InputError(
            f"image {twice[:_SHOWN]} is in the readings {readings.image_ids.count(twice)} times, and would count as so "
            "many studies: leave all but one out of what is read."
        )
    sure = np.asarray(readings.confidence >= rule.threshold)
    said = zip(readings.labels, first, readings.out_of_distribution, sure, strict=True)
    reasons = tuple(_reason(label, physician, strange, enough) for label, physician, strange, enough in said)
    seed = seed or readings.digest
    closed = np.array([not reason for reason in reasons], dtype=np.bool_)
    found = np.full(len(reasons), np.nan)
    found[closed] = lots([each for each, done in zip(readings.image_ids, closed, strict=True) if done], seed)
    return Worklist(readings, tuple(first), rule, seed, reasons, found)


def _reason(label: str, physician: str, strange: np.bool_, sure: np.bool_) -> str:
    """Why a study is escalated; empty where it is closed."""
    if not label:
        return UNREADABLE
    if not physician:
        return NO_FIRST
    if strange:
        return STRANGE
    if label != physician:
        return DIFFER
    return "" if sure else UNSURE


def audit_worklists(worklists: Sequence[Worklist], truth: Mapping[str, str]) -> Audited:
    """Say whether the promise is broken, by the drawn studies that a physician has read again.

    Args:
        worklists: of one model and one rule.
        truth: class of each such study by its image's SHA-256; of other studies it is not looked at, since nobody drew
            them by lot.
    Raises:
        InputError: there is no worklist, they are of different models or rules, or an image is in two of them.
    """
    if not worklists:
        raise InputError("there is no worklist: name one.")
    promises = {(each.readings.digest, each.rule) for each in worklists}
    if len(promises) > 1:
        raise InputError("the worklists are of different models or dials: audit those of each promise by themselves.")
    ids = Counter(each for item in worklists for each in item.readings.image_ids if each)
    if twice := next((each for each, count in ids.items() if count > 1), ""):
        raise InputError(f"image {twice[:_SHOWN]} is in two worklists, and would count twice: name one of them.")
    drawn = [
        (item.readings.image_ids[place], item.readings.labels[place])
        for item in worklists
        for place in np.flatnonzero(item.drawn)
    ]
    read = [(truth[image], label) for image, label in drawn if image in truth]
    return judge_audit(
        worklists[0].rule.policy,
        compared=sum(each.compared for each in worklists),
        closed=sum(each.closed for each in worklists),
        drawn=len(drawn),
        read=len(read),
        wrong=sum(true != label for true, label in read),
    )
