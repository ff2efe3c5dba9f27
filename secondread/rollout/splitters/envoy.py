"""The splitter of one machine: says to the edge what is wanted, and asks Envoy what it does."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from secondread.atomic import one_at_a_time
from secondread.errors import DependencyError, InputError
from secondread.rollout.analysis.observations import Agreement
from secondread.rollout.analysis.observations import Split as Counted
from secondread.rollout.splitters.agreement import agreement
from secondread.rollout.splitters.edge_files import Deployed, EdgeFiles, Server, Wanted
from secondread.rollout.splitters.envoy_admin import EnvoyAdmin, Requests, Routed
from secondread.rollout.splitters.splitter import Done, Side, Split, check_deployable, check_split

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion

_POLL_SECONDS = 0.02
_HEALTH_SECONDS = 5.0


@dataclass(frozen=True)
class Traffic:
    """What both sides were asked so far; the difference of two of them is what they were asked in between.

    Attributes:
        stable: of the stable side; `sent` counts what the candidate did not get, too.
        candidate: of the candidate; None where there is none.
    """

    stable: Requests
    candidate: Requests | None

    def since(self, before: Traffic) -> Counted | None:
        """How the requests since then were split by the weights, whether the candidate was reached or not.

        Returns:
            None where there were no requests, or Envoy or a version started anew in between: nothing is known then.
        """
        if self.candidate is None or before.candidate is None:
            return None
        answered = self.candidate.sent - before.candidate.sent
        not_reached = self.candidate.not_reached - before.candidate.not_reached
        mirrored = self.candidate.mirrored - before.candidate.mirrored
        by_stable = self.stable.sent - before.stable.sent - not_reached
        if min(answered, not_reached, mirrored, by_stable) < 0 or not answered + not_reached + by_stable:
            return None
        return Counted(by_stable, answered + not_reached, mirrored)


class EnvoySplitter:
    """Shares the requests of one machine's edge; see `Splitter`. Any process may, whoever runs the edge.

    Args:
        home: folder of everything written at run time, as the edge has it.
        timeout_seconds: for Envoy to do as told.
    """

    mirrors: ClassVar[bool] = True
    most_percent: ClassVar[int] = 100
    asks_candidate: ClassVar[bool] = True

    def __init__(self, home: Path, *, timeout_seconds: float = 30.0) -> None:
        self._files = EdgeFiles(home)
        self._timeout_seconds = timeout_seconds

    def check(self) -> None:
        """See `Splitter.check`: an edge shares what it has, and `read` says whether it runs."""

    def read(self) -> Split:
        """What is really set: by Envoy's own routes. See `Splitter.read`."""
        wanted, routed = self._files.wanted(), self._routed()
        candidate = wanted.candidate
        return Split(
            stable=self._side(wanted.stable),
            candidate=self._side(candidate) if candidate else None,
            candidate_percent=100 - routed.percent.get(wanted.stable.version, 0),
            mirrored=routed.mirrored_to is not None,
        )

    def traffic(self) -> Traffic:
        """What both sides were asked."""
        wanted, requests = self._files.wanted(), self._admin().requests()
        candidate = requests.get(wanted.candidate.version, Requests()) if wanted.candidate else None
        return Traffic(requests.get(wanted.stable.version, Requests()), candidate)

    def agreement(self, start: float, end: float) -> Agreement | None:
        """How many images both sides read in a window, and how many differently; see `agreement`."""
        wanted = self._files.wanted()
        if wanted.candidate is None:
            return None
        stable, candidate = (self._files.answer_log(each.version) for each in wanted.versions)
        return agreement(stable, candidate, start, end)

    def deploy(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.deploy`."""
        check_deployable(candidate)
        new = Deployed.of(candidate)

        def change(wanted: Wanted) -> Wanted:
            if wanted.stable == new:
                raise InputError(f"version {new.version} is the stable one: there is nothing to try.")
            if wanted.candidate and wanted.candidate != new:
                raise InputError(f"version {wanted.candidate.version} is being tried: remove it first.")
            return wanted if wanted.candidate else replace(wanted, candidate=new)

        return self._change(change, f"version {new.version} is the candidate")

    def set_split(self, candidate_percent: int, *, mirrored: bool = False) -> Done:
        """See `Splitter.set_split`."""
        check_split(candidate_percent, mirrored=mirrored)

        def change(wanted: Wanted) -> Wanted:
            if wanted.candidate is None:
                if candidate_percent or mirrored:
                    raise InputError("there is no candidate: deploy one first.")
                return wanted
            new = replace(wanted, candidate_percent=candidate_percent, mirrored=mirrored)
            if new != wanted and (mirrored or candidate_percent > wanted.candidate_percent):
                self._check_ready(wanted.candidate)
            return new

        what = f"the candidate has {candidate_percent} % of the requests"
        return self._change(change, f"{what} and is asked the others too" if mirrored else what)

    def promote(self, candidate: RegisteredVersion) -> Done:
        """See `Splitter.promote`."""
        new = Deployed.of(candidate)

        def change(wanted: Wanted) -> Wanted:
            if wanted.stable == new:
                return wanted
            if wanted.candidate != new:
                raise InputError(f"version {new.version} is not the candidate: deploy it first.")
            self._check_ready(new)
            return Wanted(stable=new)

        return self._change(change, f"version {new.version} is the stable one")

    def remove(self) -> Done:
        """See `Splitter.remove`."""
        return self._change(lambda wanted: Wanted(stable=wanted.stable), "there is no candidate")

    def _change(self, change: Callable[[Wanted], Wanted], what: str) -> Done:
        """Say what is wanted, and wait until Envoy does it."""
        with one_at_a_time(self._files.split):
            wanted = self._files.wanted()
            new = change(wanted)
            if new != wanted:
                self._files.write_wanted(new)
        self._wait_until_routed(new)
        return Done(new != wanted, what if new != wanted else f"{what} already")

    def _wait_until_routed(self, wanted: Wanted) -> None:
        percent = {wanted.stable.version: 100 - wanted.candidate_percent}
        mirrored_to = None
        if wanted.candidate:
            percent[wanted.candidate.version] = wanted.candidate_percent
            mirrored_to = wanted.candidate.version if wanted.mirrored else None
        expected = Routed(wanted.stable.version, {key: each for key, each in percent.items() if each}, mirrored_to)
        deadline = time.monotonic() + self._timeout_seconds
        while self._routed() != expected:
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"Envoy has not done as told after {self._timeout_seconds:g} s; the edge goes on trying. Look into "
                    f"{self._files.folder / 'envoy.log'}."
                )
            time.sleep(_POLL_SECONDS)

    def _routed(self) -> Routed:
        routed = self._admin().routed()
        if routed is None:
            raise DependencyError("Envoy has not been told how to share the requests yet: ask again in a second.")
        return routed

    def _admin(self) -> EnvoyAdmin:
        return EnvoyAdmin(Path(self._files.read_status().admin))

    def _side(self, deployed: Deployed) -> Side:
        server = self._files.read_status().servers.get(deployed.version, Server())
        ready = _answers(server.url)
        return Side(deployed.storage_uri, ready, server.problem, server.restarts, server.url, server.grpc_url)

    def _check_ready(self, deployed: Deployed) -> None:
        side = self._side(deployed)
        if not side.ready:
            why = f" It ended: {side.problem}" if side.problem else ""
            raise DependencyError(f"version {deployed.version} is not ready yet: ask again when it is.{why}")


def _answers(url: str) -> bool:
    """Whether a server would answer an image that came now."""
    if not url:
        return False
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=_HEALTH_SECONDS) as answer:  # noqa: S310 - ours
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False
