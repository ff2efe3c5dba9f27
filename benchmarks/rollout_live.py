"""Rollouts of good and of bad versions on this machine: figures, and `docs/rollout-live.md` with how each ended."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import commit
from benchmarks.measure import Measurement
from benchmarks.rollout_machine import INTERVAL, UNCHECKED, USERS, Ended, Machine
from benchmarks.workplace import ROOT, Workplace
from secondread.atomic import atomic_file
from secondread.model.folder import ModelFolder

# What is wrong with a version, in words; in the order in which they are let in, the good one last, since it stays.
WORDS = {
    "slow": "every request takes 600 ms longer",
    "errors_5_percent": "5 % of the requests fail",
    "errors_2_percent": "2 % of the requests fail",
    "crash": "its server ends as it starts",
    "permuted": "its classes are permuted",
    "unsure": "its confidence has drifted",
    "leak": "it leaks memory until it is killed",
    "": "nothing",
}


@dataclass(frozen=True)
class Row:
    """How a version fared.

    Attributes:
        fault: of `WORDS`.
        checked: by the whole policy, with checks and mirrored requests before the first share.
        unchecked: with a share of the requests at once; None for the good version, which is let in once.
    """

    fault: str
    checked: Ended
    unchecked: Ended | None


def rows(model: ModelFolder) -> list[Row]:
    """Let every version in, the bad ones by both policies.

    Args:
        model: that is served.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="rollout-") as home, Machine(model, Path(home), list(WORDS)) as machine:
        for version, fault in zip(machine.versions[1:], WORDS, strict=True):
            unchecked = machine.roll_out(version, UNCHECKED) if fault else None
            found.append(Row(fault, machine.roll_out(version), unchecked))
    return found


def live(place: Workplace) -> Sequence[Measurement]:
    """What bad versions do to callers before they are gone; the page is written, too."""
    model = place.trained_served
    found = rows(model.model)
    with atomic_file(_PAGE) as aside:
        aside.write_text(page(found), encoding="utf-8")
    return _figures(found, model.name)


def _figures(found: Sequence[Row], model: str) -> list[Measurement]:
    measured = []
    for row in found:
        if row.unchecked:
            about = (
                f"none; {model}; {row.unchecked.requests / row.unchecked.seconds:.0f} requests a second, a fifth "
                f"of them the new version's at once, a look every {INTERVAL:.0f} s"
            )
            n = row.unchecked.requests
            measured.append(Measurement(f"rollout.harmed_share.{row.fault}", row.unchecked.harmed, "share", about, n))
            if row.fault != "crash":  # which has no first request
                seconds = row.unchecked.seconds_of_requests
                measured.append(Measurement(f"rollout.seconds_to_rollback.{row.fault}", seconds, "s", about, n))
    ended = [each for row in found for each in (row.checked, row.unchecked) if each]
    bad = [row.checked for row in found if row.fault]
    requests = sum(each.requests for each in bad)
    checked = "none; checks, and mirrored requests before the first share"
    worst = max(each.harmed for each in bad)
    right = sum(
        each.action == "roll_back" for row in found for each in (row.checked, row.unchecked) if each and row.fault
    )
    return [
        *measured,
        Measurement("rollout.harmed_share_checked", worst, "share", checked, requests),
        Measurement(
            "rollout.stable_failed_share",
            sum(each.stable_failed for each in ended) / sum(each.requests for each in ended),
            "share",
            "none; of all requests, failed by the stable version, in all rollouts and their ends",
            sum(each.requests for each in ended),
        ),
        Measurement(
            "rollout.bad_rolled_back_share",
            right / (len(ended) - 1),
            "share",
            "none; seven kinds of bad versions, by both policies",
            len(ended) - 1,
        ),
    ]


_PAGE = ROOT / "docs" / "rollout-live.md"
_HEAD = """\
# What bad versions do before they are gone

Written by `make bench ONLY=rollout-live`; commit `{commit}`. Real servers on one machine: Triton and a
transformer for each version, Envoy, Prometheus and locust's users ({users} callers over REST and gRPC). Time is
compressed by configuration: half a minute a stage, a look every {interval:.0f} s, margins that some hundred requests
can show (`benchmarks/rollout_live.py`).

Harmed: requests whose answer was the new version's, as a share of all requests of the rollout. Failed: those of them
that callers were told have failed. The stable version failed {stable:.0f} of its requests, all rollouts, promotions and
rollbacks included.

"""


def page(found: Sequence[Row]) -> str:
    """The table for the docs."""
    ended = [each for row in found for each in (row.checked, row.unchecked) if each]
    head = _HEAD.format(
        commit=commit(ROOT), users=USERS, interval=INTERVAL, stable=sum(each.stable_failed for each in ended)
    )
    first = _table([(row.fault, row.unchecked) for row in found if row.unchecked])
    second = _table([(row.fault, row.checked) for row in found])
    return f"{head}## A share at once: neither checks nor mirrored requests\n\n{first}\n## The whole policy\n\n{second}"


def _table(ended: Sequence[tuple[str, Ended]]) -> str:
    lines = [
        "| what is wrong | ended in | after its first request | harmed | failed | why |",
        "|---|---|--:|--:|--:|---|",
    ]
    for fault, each in ended:
        what = "promoted" if each.action == "promote" else "rolled back" if each.action == "roll_back" else "undecided"
        seconds = f"{each.seconds_of_requests:.0f} s" if each.seconds_of_requests else "none came"
        harmed = f"{each.answered:.0f} of {each.requests} ({each.harmed:.1%})" if fault else "-"
        why = each.reason.replace("|", "/")
        lines.append(f"| {WORDS[fault]} | {each.stage}, {what} | {seconds} | {harmed} | {each.failed} | {why} |")
    return "\n".join(lines) + "\n"
