"""The edge: one Envoy, behind it a server for each version that is wanted, and a Prometheus; all on this machine.

It does again and again what is left to do to have what `split.json` says: starts servers, tells Envoy where they
listen and how to share the requests, and Prometheus what to read, starts again what ended, and lets a version go only
when nobody is routed to it and it has answered what it had. So it does not matter who is killed when: whoever starts
again goes on from the file.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from secondread.atomic import one_at_a_time, write_json
from secondread.config.prometheus import PrometheusConfig
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, SecondReadError
from secondread.logging import get_logger
from secondread.rollout.splitters import envoy_config
from secondread.rollout.splitters.edge_files import Deployed, EdgeFiles, Server, Status, Wanted
from secondread.rollout.splitters.envoy_config import PROTOCOLS, Document, Ports, cluster_name
from secondread.rollout.splitters.envoy_process import EnvoyProcess
from secondread.rollout.splitters.prometheus_process import PrometheusProcess, targets_of
from secondread.serving.local.local_server import LocalServer
from secondread.serving.transformer.answer_log import older

_TICK_SECONDS = 0.05
_DRAIN_SECONDS = 60.0  # the longest that an answer may take (envoy_config)
_LONGEST_PAUSE_SECONDS = 30.0  # between two starts of what ends again and again
_STAYED_SECONDS = 60.0  # what ran as long is started again at once when it ends
_SAID_SECONDS = 60.0  # after which what still cannot be done is said again

log = get_logger(__name__)


@dataclass
class _Serving:
    """A version's server, as the edge keeps it.

    Attributes:
        deployed: what it serves.
        child: its process.
        started_at: on the monotonic clock.
        server: as others are told.
        pause: before it is started again, in seconds.
        start_at: when it is started again; None while it runs.
        leaving_at: since when it is not wanted; None while it is.
        released: whether Envoy was told to forget it.
        stopping: ends it.
    """

    deployed: Deployed
    child: LocalServer
    started_at: float
    server: Server = field(default_factory=Server)
    pause: float = 0.0
    start_at: float | None = None
    leaving_at: float | None = None
    released: bool = False
    stopping: threading.Thread | None = None


class Edge:
    """Envoy and the servers behind it, until `stop`.

    Args:
        home: folder of everything written at run time; `<home>/edge/` is the edge's.
        config: model's name, address and ports for clients (0: any free ones, kept while it runs), and the limits of
            each server.
        trusted: public key, or folder of such keys, whose signature every repository must have.
        metrics_port: of Envoy's figures, on loopback; 0: any free one.
        prometheus: how the edge's own one reads the servers; None for none.
    """

    def __init__(
        self,
        home: Path,
        config: ServeConfig,
        *,
        trusted: Path,
        metrics_port: int = 0,
        prometheus: PrometheusConfig | None = None,
    ) -> None:
        self.files = EdgeFiles(home)
        self._config, self._trusted = config, trusted
        self._prometheus = PrometheusProcess(home, self.files.targets, prometheus) if prometheus else None
        self._ports = Ports(config.http_port, config.grpc_port, metrics_port)
        self._stopped = threading.Event()
        self._serving: dict[int, _Serving] = {}
        self._written: dict[Path, object] = {}
        self._warned, self._warned_at = "", 0.0

    def run(self, stable: Deployed | None = None, *, on_ready: Callable[[Status], None]) -> None:
        """Be the edge, in the main thread, until SIGINT or SIGTERM; then finish what is in flight.

        Args:
            stable: version to begin with; what was wanted before goes first.
            on_ready: called once the stable version answers; says where, in case ports were left open.
        Raises:
            DependencyError: nothing says what is wanted, another edge runs here, Envoy or Prometheus is not installed
                or does not start, or a port is taken.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopped.set())
        # A folder that nobody else can enter. Its name is short, since a socket's path must be.
        with one_at_a_time(self.files.folder, wait=False), tempfile.TemporaryDirectory(prefix="edge-") as own:
            self.files.folder.mkdir(parents=True, exist_ok=True)
            self._say_gone()  # of an edge that was killed
            if stable and not self.files.split.is_file():
                self.files.write_wanted(Wanted(stable))
            self._nowhere = Path(own, "nowhere")
            self._envoy = EnvoyProcess(self.files, Path(own, "admin"), host=self._config.host, ports=self._ports)
            try:
                self._run(on_ready)
            except DependencyError:
                if not self._stopped.is_set():  # else it was asked to end before all had started
                    raise
            finally:
                self._say_gone()
                self._envoy.stop(self._config.drain_seconds)
                self._end_servers()
                if self._prometheus:
                    self._prometheus.stop()

    def _run(self, on_ready: Callable[[Status], None]) -> None:
        wanted = self.files.wanted()
        self._keep_servers(wanted, monotonic())
        self._write_routes(wanted)
        self._envoy.start(self._stopped)
        if self._prometheus:
            self._prometheus.start(self._stopped)
        said = False
        while not self._stopped.wait(_TICK_SECONDS):
            try:
                self._envoy.keep(self._stopped)
                status = self._tick(monotonic())
                if not said and self._is_known(self.files.wanted().stable):
                    said = True
                    on_ready(status)
                if self._prometheus:
                    self._prometheus.keep()
            # Envoy is starting again, or the disk is full: who answers goes on answering, and the next tick is soon
            except (SecondReadError, OSError) as error:
                self._warn(error, monotonic())

    def _warn(self, error: SecondReadError | OSError, now: float) -> None:
        """Say what cannot be done, once a while: an `OSError` alone names a file, another one each time."""
        what = str(error)
        if isinstance(error, OSError):
            what = f"the edge waits with what is to be done ({error.strerror}): look after {self.files.folder}."
        if what != self._warned or now - self._warned_at >= _SAID_SECONDS:
            self._warned, self._warned_at = what, now
            log.warning("%s", what)

    def _tick(self, now: float) -> Status:
        """Do what is left to do."""
        wanted = self.files.wanted()
        self._keep_servers(wanted, now)
        known = self._envoy.admin.clusters()
        if {cluster_name(each.version, protocol) for each in wanted.versions for protocol in PROTOCOLS} <= known:
            self._write_routes(wanted)
        self._let_go(known, now)
        host, ports = self._config.host, self._envoy.ports
        status = Status(
            url=f"http://{host}:{ports.rest}",
            grpc_url=f"{host}:{ports.grpc}",
            metrics_url=f"http://127.0.0.1:{ports.metrics}/stats/prometheus",
            admin=str(self._envoy.admin.path),
            servers={version: each.server for version, each in sorted(self._serving.items())},
            prometheus_url=self._prometheus.url if self._prometheus else "",
        )
        self._write(self.files.targets, targets_of(status))
        if self._written.get(self.files.status) != status:
            self.files.write_status(status)
            self._written[self.files.status] = status
        return status

    def _keep_servers(self, wanted: Wanted, now: float) -> None:
        """Have a server for each version that is wanted, and Envoy told where each listens."""
        for deployed in wanted.versions:
            self._keep_server(deployed, now)
        for version, serving in self._serving.items():
            if version not in {each.version for each in wanted.versions} and serving.leaving_at is None:
                serving.leaving_at = now
                log.info("version %d is let go", version)
        addresses = {
            version: {"rest": each.server.url.removeprefix("http://"), "grpc": each.server.grpc_url}
            for version, each in self._serving.items()
            if not each.released
        }
        self._write(self.files.clusters, envoy_config.clusters(addresses, self._nowhere))

    def _keep_server(self, deployed: Deployed, now: float) -> None:
        """Start a version's server, see whether it listens by now, and start it again when it ended."""
        serving = self._serving.get(deployed.version)
        if serving is None:
            self._serving[deployed.version] = _Serving(deployed, self._start_server(deployed), now)
            return
        if serving.stopping:  # wanted again, but it is going: `_let_go` forgets it, and then it is started
            return
        serving.leaving_at, serving.released = None, False
        if serving.child.is_running():
            if not serving.server.url and (endpoints := serving.child.endpoints()):
                serving.server = replace(serving.server, url=endpoints.url, grpc_url=endpoints.grpc_url)
                log.info("version %d answers", deployed.version)
        elif serving.start_at is None:
            problem = _end_of(serving.child)
            log.error("the server of version %d ended by itself: %s", deployed.version, problem)
            stayed = now - serving.started_at >= _STAYED_SECONDS
            serving.pause = 0.0 if stayed else min(max(2 * serving.pause, 0.5), _LONGEST_PAUSE_SECONDS)
            serving.start_at = now + serving.pause
            serving.server = Server(restarts=serving.server.restarts, problem=problem)
        elif now >= serving.start_at:
            serving.child, serving.started_at, serving.start_at = self._start_server(deployed), now, None
            serving.server = replace(serving.server, restarts=serving.server.restarts + 1)

    def _start_server(self, deployed: Deployed) -> LocalServer:
        log.info("starting version %d (digest %s)", deployed.version, deployed.digest[:12])
        return LocalServer(
            deployed.storage_uri,
            replace(self._config, answer_log=str(self.files.answer_log(deployed.version))),
            trusted=self._trusted,
            folder=self.files.server(deployed.version),
            digest=deployed.digest,
        )

    def _let_go(self, known: set[str], now: float) -> None:
        """End what is not wanted, once Envoy routes nobody there and all that it had is answered."""
        leaving = {version: each for version, each in self._serving.items() if each.leaving_at is not None}
        if not leaving:
            return
        routed, requests = self._envoy.admin.routed(), self._envoy.admin.requests()
        for version, serving in leaving.items():
            if routed is None or version in (routed.stable, routed.mirrored_to, *routed.percent):
                continue
            if not serving.released:
                late = now - (serving.leaving_at or now) > _DRAIN_SECONDS
                # Its clusters go with the next tick. Envoy's thread hears of routes and clusters in this order.
                serving.released = late or version not in requests or not requests[version].active
            elif serving.stopping is None and not any(name.startswith(f"version-{version}-") for name in known):
                serving.stopping = threading.Thread(target=serving.child.stop, name=f"stop-{version}")
                serving.stopping.start()
            elif serving.stopping and not serving.stopping.is_alive():
                del self._serving[version]
                answers = self.files.answer_log(version)  # of patients: kept no longer than they are asked for
                for each in (answers, older(answers)):
                    each.unlink(missing_ok=True)
                log.info("version %d has ended", version)

    def _is_known(self, deployed: Deployed) -> bool:
        """Whether a version answers, and Envoy knows where."""
        url = self._serving[deployed.version].server.url.removeprefix("http://")
        return bool(url) and self._envoy.admin.addresses(cluster_name(deployed.version, "rest")) == {url}

    def _write_routes(self, wanted: Wanted) -> None:
        candidate = wanted.candidate.version if wanted.candidate else None
        share = wanted.candidate_percent
        self._write(
            self.files.routes,
            envoy_config.routes(wanted.stable.version, candidate, share, mirrored=wanted.mirrored),
        )

    def _write(self, path: Path, document: Document | list[Document]) -> None:
        """Replace a file that is followed, where it is to say something else."""
        if self._written.get(path) != document:
            write_json(path, document)
            self._written[path] = document

    def _say_gone(self) -> None:
        """Nobody answers here, and there is nothing to read."""
        self.files.status.unlink(missing_ok=True)
        self.files.targets.unlink(missing_ok=True)

    def _end_servers(self) -> None:
        threads = [each.stopping or threading.Thread(target=each.child.stop) for each in self._serving.values()]
        for thread in threads:
            if thread.ident is None:
                thread.start()
        for thread in threads:
            thread.join()


def _end_of(child: LocalServer) -> str:
    """Why a server ended, in one line."""
    try:
        child.result()
    except SecondReadError as error:
        return str(error)
    except RuntimeError as error:
        first, _, log_lines = str(error).partition(":\n")
        killed = first.partition("exit code -")[2]
        if killed:
            return f"its process was killed by signal {killed}"
        return f"{first}: {log_lines.splitlines()[-1]}" if log_lines.strip() else first
    return "it was asked to end"
