"""What every splitter does: puts a candidate beside the stable version, and shares the requests between the two.

Each call may be made again: where nothing is left to do, it changes nothing and says so. What is really set is read
back from whatever routes the requests, never from what was asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from secondread.errors import InputError, IntegrityError

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        storage_uri: of what it serves.
        ready: whether it answers.
        problem: why it does not, where that is known; one line.
        restarts: how often it ended by itself and was started again; None where that is not known.
        url, grpc_url: where it alone is asked, whatever the split; empty where that is not known.
    """

    storage_uri: str
    ready: bool
    problem: str = ""
    restarts: int | None = None
    url: str = ""
    grpc_url: str = ""

    @property
    def digest(self) -> str:
        """Of what it serves: a repository is named after its content."""
        return self.storage_uri.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Split:
    """How the requests are shared now.

    Attributes:
        stable: the side that answers, but for the candidate's share.
        candidate: the side that is tried; None where there is none.
        candidate_percent: of the requests that the candidate answers, 0 to 100; the stable side has the rest.
        mirrored: whether the candidate is asked what the stable side answers, too, and its answers thrown away.
    """

    stable: Side
    candidate: Side | None
    candidate_percent: int
    mirrored: bool

    @property
    def stable_percent(self) -> int:
        """Of the requests that the stable side answers."""
        return 100 - self.candidate_percent


@dataclass(frozen=True)
class Done:
    """What a call came to.

    Attributes:
        changed: False where all was as asked already.
        what: one sentence for a person.
    """

    changed: bool
    what: str


class Splitter(Protocol):
    """Shares the requests between two versions.

    Every method may raise InputError (it cannot be done as asked, and why) and DependencyError (what routes the
    requests does not answer, or has not done as told in time).

    Attributes:
        mirrors: whether it can.
        most_percent: that a candidate can have before it is promoted.
        asks_candidate: whether a candidate alone can be asked, as checks do.
    """

    mirrors: ClassVar[bool]
    most_percent: ClassVar[int]
    asks_candidate: ClassVar[bool]

    def check(self) -> None:
        """Refuse where a candidate's share would be ignored, before there is one.

        Raises:
            InputError: what is missing.
        """

    def read(self) -> Split:
        """What is really set."""

    def deploy(self, candidate: RegisteredVersion) -> Done:
        """Put a version beside the stable one, without a share. Returns before it is ready: `read` says when."""

    def set_split(self, candidate_percent: int, *, mirrored: bool = False) -> Done:
        """Give the candidate its share; on a cluster this takes its time, and `read` says when it has it.

        Args:
            candidate_percent: of the requests, 0 to 100; above 0 the candidate must be ready.
            mirrored: also ask the candidate what the stable side answers; only without a share of its own.
        """

    def promote(self, candidate: RegisteredVersion) -> Done:
        """Make the candidate the stable version; the one before it goes, once it has answered what it had."""

    def remove(self) -> Done:
        """Have the stable version answer everything, and end the candidate, once it has answered what it had."""


def check_deployable(version: RegisteredVersion) -> None:
    """Only what the registry names is deployed, from the place that is named after its content.

    Raises:
        IntegrityError: the two do not fit.
    """
    if not _DIGEST.fullmatch(version.digest) or not version.storage_uri.rstrip("/").endswith(f"/{version.digest}"):
        raise IntegrityError(
            f"version {version.version} of '{version.name}' has storage_uri {version.storage_uri}, which does not end "
            f"in its digest {version.digest[:12]}. Register the model again."
        )


def check_split(candidate_percent: int, *, mirrored: bool) -> None:
    """What no splitter takes.

    Raises:
        InputError: it is no share, or both a share and mirrored.
    """
    if not 0 <= candidate_percent <= 100:
        raise InputError(f"a share is from 0 to 100 percent, not {candidate_percent}.")
    if mirrored and candidate_percent:
        raise InputError(
            f"a candidate with {candidate_percent} % of the requests cannot be mirrored to as well: it would read its "
            "own requests twice. Mirror at 0 %."
        )
