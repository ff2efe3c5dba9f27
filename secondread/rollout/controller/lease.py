"""The Lease of a cluster by which of several controllers one acts.

As client-go does it: a lease is taken over once nothing in it has changed for as long as it says, by the clock of who
looks, so that no clock has to agree with another; every write holds for what was read alone. The Python client's own
`kubernetes.leaderelection` is not used: it knows ConfigMaps alone, goes by a clock that can be set back, and cannot be
asked whether one still leads.

A lease alone fences nothing off: a holder that stands still between its question and its deed does the deed late. What
it then writes to an InferenceService is refused where the other has written since, and the next tick sets right what is
left.

Source: k8s.io/client-go/tools/leaderelection/leaderelection.go, tryAcquireOrRenew and release;
https://kubernetes.io/docs/concepts/architecture/leases/
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from secondread.config.lease import LeaseConfig
from secondread.errors import DependencyError, SecondReadError, StoppedError
from secondread.logging import get_logger
from secondread.rollout.cluster import ChangedMeanwhileError, Cluster, Document, Kind

log = get_logger(__name__)

LEASE = Kind("Lease", "coordination.k8s.io", "v1", "leases")


def since_boot() -> float:
    """Seconds that nobody can set back, and in which a machine that sleeps goes on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One Lease, and who wants to hold it. The object has to be there: to make one is no right of a controller.

    Args:
        cluster: that it is in.
        name: of it.
        holder: who wants it, such as the pod; what tells two processes of one pod apart is added.
        config: its times.
        clock: seconds since any time, as `since_boot` has them.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        holder: str,
        config: LeaseConfig = LeaseConfig(),  # noqa: B008 - frozen
        *,
        clock: Callable[[], float] = since_boot,
    ) -> None:
        self._cluster, self.name, self._config, self._clock = cluster, name, config, clock
        self.holder = f"{holder}_{uuid.uuid4().hex[:8]}"
        self._seen: Document = {}  # what it said when it last changed, and
        self._seen_at = 0.0  # when that was seen
        self._renewed: float | None = None  # when the last renewal that went through was begun; None: not held

    def held(self) -> bool:
        """Whether it is certain that nobody else holds it: to be asked before each deed."""
        renewed = self._renewed
        return renewed is not None and self._clock() - renewed < self._config.deadline_seconds

    def check(self) -> None:
        """End whoever is about to act without it.

        Raises:
            StoppedError: it is not held, or not certainly.
        """
        if not self.held():
            raise StoppedError(
                f"the lease {self.name} was not renewed for {self._config.deadline_seconds:g} s, or somebody else has "
                "taken it: nothing more is done. Start again: it waits until it has the lease, and goes on."
            )

    def acquire(self) -> bool:
        """Take it, if nobody has it or whoever had it said nothing for as long as it lasts.

        Returns:
            Whether it is held now.
        Raises:
            InputError: it is not there, or this account may not read or patch it.
            DependencyError: the API server does not answer.
        """
        began = self._clock()
        document = self._cluster.get(LEASE, self.name)
        spec, seen = _spec(document), self._clock()
        if spec != self._seen:
            self._seen, self._seen_at = spec, seen
        lasts = spec.get("leaseDurationSeconds") or self._config.duration_seconds
        if spec.get("holderIdentity", "") not in ("", self.holder) and seen - self._seen_at < lasts:
            return False
        now = _stamp()
        transitions = int(spec.get("leaseTransitions") or 0) + 1
        try:
            self._say(document, renewTime=now, acquireTime=now, leaseTransitions=transitions)
        except ChangedMeanwhileError:  # somebody was faster
            return False
        self._renewed = began
        return True

    def renew(self) -> bool:
        """Say that its holder is still there.

        Returns:
            False where it is somebody else's, and is not taken back: what its holder knew may be of before.
        Raises:
            As `acquire`, and where somebody else wrote it at the same time: try again.
        """
        began = self._clock()
        document = self._cluster.get(LEASE, self.name)
        if _spec(document).get("holderIdentity") != self.holder:
            self._renewed = None
            return False
        self._say(document, renewTime=_stamp())
        self._renewed = began  # nobody had it in between: what was written held for what was read alone
        return True

    def release(self) -> None:
        """Let go of it, so that the next one need not wait; where that fails, they wait.

        Whatever it was held for must have ended.
        """
        self._renewed = None
        try:
            document = self._cluster.get(LEASE, self.name)
            if _spec(document).get("holderIdentity") == self.holder:
                spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _stamp()}
                self._cluster.patch(LEASE, document, {"spec": spec})
        except SecondReadError as error:
            log.warning("the lease %s runs out by itself: %s", self.name, error)

    def wait(self, stop: threading.Event, *, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Wait until it is held, whoever holds it now, and also while the API server does not answer.

        Args:
            stop: says that one is to stop.
            meanwhile: called before each try to get it.
        Returns:
            False where one is to stop.
        Raises:
            InputError: as of `acquire`.
        """
        said = ""
        while not stop.is_set():
            meanwhile()
            try:
                if self.acquire():
                    return True
                why = f"{self._seen.get('holderIdentity')} holds it"
            except DependencyError as error:
                why = str(error)
            if why != said:
                log.warning("waiting for the lease %s: %s", self.name, why)
                said = why
            stop.wait(self._config.retry_seconds)
        return False

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Renew it, which is held, for as long as the block takes, and let go of it afterwards.

        Inside the block it may still be lost: `check` says so.
        """
        log.info("%s holds the lease %s", self.holder, self.name)
        ended = threading.Event()
        thread = threading.Thread(target=self._keep, args=(ended,), name=f"lease {self.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.release()

    def _keep(self, ended: threading.Event) -> None:
        while not ended.wait(self._config.retry_seconds):
            try:
                if not self.renew():
                    log.error("the lease %s is held by somebody else", self.name)
                    return
            except SecondReadError as error:
                log.warning("the lease %s was not renewed: %s", self.name, error)

    def _say(self, document: Document, **fields: object) -> None:
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": self._config.duration_seconds, **fields}
        self._cluster.patch(LEASE, document, {"spec": spec})


def _spec(document: Document) -> Document:
    return document.get("spec") or {}


def _stamp() -> str:
    """Now, as a MicroTime, for people: nothing is decided by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
