"""The audit, against scipy's binomial distribution: its size, its alarm, and how often it is right."""

import json

import pytest
from scipy.stats import binom

from secondread.config.risk_dial import RiskDialConfig
from secondread.errors import InputError
from secondread.evaluation.reading_room.audit import Audited, audit_size, judge_audit, sized_audit

POLICY = RiskDialConfig(accepted=0.02, audit_share=0.2)


def judged(*, drawn: int, read: int, wrong: int, closed: int = 5_000, policy: RiskDialConfig = POLICY) -> Audited:
    return judge_audit(policy, compared=8_000, closed=closed, drawn=drawn, read=read, wrong=wrong)


@pytest.mark.parametrize(("rate", "factor", "power"), [(0.05, 2.0, 0.95), (0.1, 2.0, 0.8), (0.02, 3.0, 0.9)])
def test_the_audit_is_the_smallest_exact_test(rate: float, factor: float, power: float) -> None:
    found = audit_size(rate, factor=factor, power=power, false_alarm=0.05)
    for cases in range(1, 2_000):
        alarm_from = int(binom.ppf(0.95, cases, rate)) + 1  # the lowest that is rarely reached at the promised rate
        if binom.sf(alarm_from - 1, cases, factor * rate) >= power:
            break
    assert found == (cases, alarm_from)


def test_no_audit_is_large_enough_for_what_cannot_be_seen() -> None:
    assert audit_size(0.6, factor=2.0, power=0.95, false_alarm=0.05) is None
    assert audit_size(1e-7, factor=1.01, power=0.95, false_alarm=0.05) is None


def test_the_promise_is_of_all_studies_and_the_rate_of_those_that_are_closed_here() -> None:
    found = judged(drawn=0, read=0, wrong=0)
    assert found.rate == pytest.approx(0.02 * 8_000 / 5_000)
    assert found.needed == sized_audit(POLICY, closed=5_000 / 8_000).cases
    assert judged(drawn=0, read=0, wrong=0, closed=2_500).rate == pytest.approx(0.064)


@pytest.mark.parametrize("drawn", [10, 371, 372, 500, 1_000, 5_000])
def test_the_alarm_is_the_lowest_number_that_is_rare_while_the_promise_is_kept(drawn: int) -> None:
    found = judged(drawn=drawn, read=0, wrong=0)
    cases = sized_audit(POLICY, closed=5_000 / 8_000).cases
    assert found.needed == max(cases, drawn)
    assert found.alarm_from == binom.ppf(0.95, found.needed, 0.032) + 1


def test_too_few_say_nothing_and_all_say_that_there_is_no_alarm() -> None:
    needed, alarm_from = (getattr(judged(drawn=800, read=0, wrong=0), name) for name in ("needed", "alarm_from"))
    assert needed == 800
    verdicts = {read: judged(drawn=800, read=read, wrong=5).verdict for read in (5, 799, 800)}
    assert verdicts == {5: "too few yet", 799: "too few yet", 800: "no alarm"}
    assert "too few yet: 799 of 800. 5 of 799 closed studies" in judged(drawn=800, read=799, wrong=5).sentence
    assert judged(drawn=800, read=800, wrong=int(alarm_from) - 1).verdict == "no alarm"
    assert judged(drawn=800, read=800, wrong=int(alarm_from)).verdict == "alarm"


def test_an_alarm_comes_as_soon_as_nothing_can_undo_it_and_waits_for_no_further_reading() -> None:
    """What is an alarm is that of all that were drawn, however many have been read: looking costs nothing."""
    limits = {judged(drawn=900, read=read, wrong=0).alarm_from for read in range(0, 901, 100)}
    (alarm_from,) = limits
    early = judged(drawn=900, read=int(alarm_from), wrong=int(alarm_from))
    assert early.verdict == "alarm"
    assert early.sentence.startswith("the promise of at most 2.00% wrong closures is broken: 39 of 39 closed studies")


def test_where_so_few_are_closed_that_the_promise_cannot_be_broken_nothing_can_be_told() -> None:
    for closed in (0, 100, 160, 320):  # of 8,000, of which 160 may be closed wrongly
        found = judged(closed=closed, drawn=closed, read=closed, wrong=closed)
        assert found.verdict == "cannot tell"
        document = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert (document["needed"], document["verdict"]) == (None, "cannot tell")
    assert judged(closed=330, drawn=330, read=330, wrong=330).verdict == "alarm"


def test_numbers_that_do_not_contain_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="each must be part of the one before"):
        judged(drawn=10, read=11, wrong=0)
