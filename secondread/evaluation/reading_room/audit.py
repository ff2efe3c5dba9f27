"""The audit of what was closed: how many studies a physician reads again, and when they are an alarm.

Agreement is not correctness: both may be wrong, and nobody would know. So a share of the closed studies is read again,
drawn by `lot`. The promise is of all studies, so that among the closed ones more may be wrong: the accepted share over
the share that is closed. An exact binomial test tells that rate from `audit_factor` times it.

Once enough were drawn, the number of wrong closures that is an alarm follows from how many were drawn, and not from how
many have been read so far. It can only be reached sooner or later, never be lost again, so the alarm may be looked for
after every reading (curtailed sampling), at the chance of a false one that was stated. A study that was drawn and is
not read is not forgotten: until then nothing is said to be well.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from scipy.special import bdtrc

from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError
from secondread.evaluation.nulls import null_for_nan

_MOST_ALARMS = 2_000  # wrong closures that an audit would count; more are asked for by no useful setting

ALARM, NO_ALARM, TOO_FEW, CANNOT_TELL = "alarm", "no alarm", "too few yet", "cannot tell"  # verdicts


@dataclass(frozen=True)
class Audit:
    """How the promise is watched, by a binomial test on closed studies that a physician reads again.

    Attributes:
        share: of the closed studies, drawn by lot.
        rate: of wrong closures among the closed ones, while the promise is just kept; NaN where none is closed.
        factor: times that rate, which the audit must see.
        power: chance that it does.
        false_alarm: chance of an alarm while the promise is kept, at most.
        cases: closed studies to read again; NaN where none is closed, or the rate times the factor is above 1.
        alarm_from: wrong closures among them that are an alarm; NaN likewise.
        studies: that come in until the share has given so many cases; NaN likewise.
    """

    share: float
    rate: float
    factor: float
    power: float
    false_alarm: float
    cases: float
    alarm_from: float
    studies: float


@dataclass(frozen=True)
class Audited:
    """What the audit says of what was closed.

    Attributes:
        accepted: share of the studies that may be closed wrongly.
        compared: studies that both have read, of the model's field: the promise is of these.
        closed: of these.
        drawn: of the closed ones, by lot.
        read: of the drawn ones, by a physician once more.
        wrong: of these, closed wrongly.
        rate: of wrong closures among the closed ones, while the promise is just kept; NaN where none is closed.
        needed: of the drawn ones that must be read before nothing is wrong: what the test takes, and all of them; NaN
            where no number would do.
        alarm_from: wrong closures that are an alarm; NaN likewise.
    """

    accepted: float
    compared: int
    closed: int
    drawn: int
    read: int
    wrong: int
    rate: float
    needed: float
    alarm_from: float

    @property
    def verdict(self) -> str:
        """`alarm`, `no alarm`, `too few yet` or `cannot tell`."""
        if math.isnan(self.needed):
            return CANNOT_TELL
        if self.wrong >= self.alarm_from:
            return ALARM
        return NO_ALARM if self.read >= self.needed else TOO_FEW

    @property
    def sentence(self) -> str:
        """What that means."""
        if self.verdict == CANNOT_TELL:
            closed = f"{self.closed} of {self.compared} studies are closed"
            return f"nothing can be told: {closed}, too few to break the promise."
        found = f"{self.wrong} of {self.read} closed studies that were read again were closed wrongly"
        limit = f"{self.alarm_from:.0f} of {self.needed:.0f} are an alarm"
        if self.verdict == ALARM:
            return (
                f"the promise of at most {self.accepted:.2%} wrong closures is broken: {found}, and {limit}. Send "
                "every study to a second physician until it is known why."
            )
        if self.verdict == TOO_FEW:
            return f"too few yet: {self.read} of {self.needed:.0f}. {found}; {limit}."
        return f"no alarm: {found}; {limit}."

    def to_json(self) -> dict[str, Any]:
        """As JSON; null for what cannot be known."""
        document: dict[str, Any] = null_for_nan(asdict(self))
        return document | {"verdict": self.verdict, "sentence": self.sentence}


def sized_audit(policy: RiskDialConfig, *, closed: float) -> Audit:
    """The audit of a dial's position.

    Args:
        policy: accepted share, and audit.
        closed: share of the studies that is closed there, in [0, 1].
    """
    rate = policy.accepted / closed if closed > 0 else math.nan
    size = audit_size(rate, factor=policy.audit_factor, power=policy.audit_power, false_alarm=policy.audit_false_alarm)
    cases, alarm_from = (math.nan, math.nan) if size is None else map(float, size)
    return Audit(
        share=policy.audit_share,
        rate=rate,
        factor=policy.audit_factor,
        power=policy.audit_power,
        false_alarm=policy.audit_false_alarm,
        cases=cases,
        alarm_from=alarm_from,
        studies=math.nan if size is None else float(math.ceil(cases / (policy.audit_share * closed))),
    )


def audit_size(rate: float, *, factor: float, power: float, false_alarm: float) -> tuple[int, int] | None:
    """The fewest cases whose exact binomial test tells `factor` times a rate from that rate.

    Args:
        rate: while the promise is kept, in (0, 1).
        factor: times that rate, above 1.
        power: chance of an alarm at `factor * rate`, at least.
        false_alarm: chance of an alarm at `rate`, at most.
    Returns:
        Cases, and how many bad ones among them are an alarm; None where `factor * rate` is 1 or more, or where it would
        take more than 2,000 bad ones.
    """
    if not 0 < rate < factor * rate < 1:
        return None
    for alarm_from in range(1, _MOST_ALARMS):
        cases = _fewest_cases(alarm_from, factor * rate, power)
        if bdtrc(alarm_from - 1, cases, rate) <= false_alarm:
            return cases, alarm_from
    return None


def _fewest_cases(alarm_from: int, rate: float, power: float) -> int:
    """The fewest cases of which `alarm_from` or more are bad with a chance of at least `power`."""
    low, high = alarm_from - 1, alarm_from
    while bdtrc(alarm_from - 1, high, rate) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtrc(alarm_from - 1, middle, rate) >= power else (middle, high)
    return high


def judge_audit(policy: RiskDialConfig, *, compared: int, closed: int, drawn: int, read: int, wrong: int) -> Audited:
    """Say whether the promise is broken, by what was read once more.

    The share that is closed is that of these studies, whatever it was on the dial's test: beside a first reader who is
    in the room it is smaller than beside one who was not known.

    Args:
        policy: accepted share, and audit.
        compared: studies that both have read, of the model's field.
        closed: of these.
        drawn: of the closed ones, by lot.
        read: of the drawn ones, by a physician once more.
        wrong: of these, closed wrongly.
    Raises:
        InputError: one of the numbers is larger than the one that it is part of.
    """
    if not 0 <= wrong <= read <= drawn <= closed <= compared:
        raise InputError(
            f"{compared} studies, {closed} closed, {drawn} drawn, {read} read and {wrong} wrong: each must be part of "
            "the one before."
        )
    audit = sized_audit(policy, closed=closed / compared if compared else 0.0)
    needed = alarm_from = math.nan
    if not math.isnan(audit.cases):
        needed, alarm_from = max(audit.cases, drawn), audit.alarm_from
        while bdtrc(alarm_from - 1, int(needed), audit.rate) > audit.false_alarm:
            alarm_from += 1
    return Audited(policy.accepted, compared, closed, drawn, read, wrong, audit.rate, needed, alarm_from)
