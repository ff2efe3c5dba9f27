"""The files through which a splitter and the edge speak: what is wanted, which the splitter writes, and how it stands.

    <home>/edge/split.json      what is wanted: the truth, whoever ends and starts again
    <home>/edge/status.json     how it stands: ports, and each version's server
    <home>/edge/clusters.json   what Envoy follows
    <home>/edge/routes.json
    <home>/edge/prometheus-targets.json   what Prometheus follows
    <home>/edge/servers/<version>/answers.log   what a version said of each image, until the edge lets it go

Each but the last is replaced whole.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from secondread.atomic import read_json, write_json
from secondread.errors import DependencyError

if TYPE_CHECKING:
    from secondread.tracking.registry import RegisteredVersion


@dataclass(frozen=True)
class Deployed:
    """A registered version, as far as serving it goes.

    Attributes:
        version: its number.
        digest: of what is served.
        storage_uri: where that lies.
    """

    version: int
    digest: str
    storage_uri: str

    @classmethod
    def of(cls, version: RegisteredVersion) -> Deployed:
        """What is served of a registered version."""
        return cls(version.version, version.digest, version.storage_uri)


@dataclass(frozen=True)
class Wanted:
    """How requests are to be shared.

    Attributes:
        stable: version that answers, but for the candidate's share.
        candidate: version that is tried; None for none.
        candidate_percent: of the requests.
        mirrored: whether the candidate is asked what the stable version answers.
    """

    stable: Deployed
    candidate: Deployed | None = None
    candidate_percent: int = 0
    mirrored: bool = False

    @property
    def versions(self) -> list[Deployed]:
        """All that are served."""
        return [self.stable, *([self.candidate] if self.candidate else [])]


@dataclass(frozen=True)
class Server:
    """A version's server.

    Attributes:
        url, grpc_url: where it listens; empty as long as it does not.
        restarts: how often it ended by itself and was started again.
        problem: why it ended last; one line.
    """

    url: str = ""
    grpc_url: str = ""
    restarts: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Status:
    """How it stands.

    Attributes:
        url: of REST, for clients.
        grpc_url: host:port of gRPC, for clients.
        metrics_url: Envoy's figures, for Prometheus.
        admin: path of Envoy's socket.
        servers: by version.
        prometheus_url: of the edge's own Prometheus; empty where it has none.
    """

    url: str
    grpc_url: str
    metrics_url: str
    admin: str
    servers: dict[int, Server] = field(default_factory=dict)
    prometheus_url: str = ""


class EdgeFiles:
    """Those of one edge.

    Args:
        home: folder of everything written at run time.
    """

    def __init__(self, home: Path) -> None:
        self.folder = Path(home).absolute() / "edge"
        self.split, self.status = self.folder / "split.json", self.folder / "status.json"
        self.clusters, self.routes = self.folder / "clusters.json", self.folder / "routes.json"
        self.targets = self.folder / "prometheus-targets.json"

    def server(self, version: int) -> Path:
        """The folder of a version's server."""
        return self.folder / "servers" / str(version)

    def answer_log(self, version: int) -> Path:
        """What a version said of each image."""
        return self.server(version) / "answers.log"

    def wanted(self) -> Wanted:
        """How requests are to be shared.

        Raises:
            DependencyError: no edge was started here.
        """
        if not self.split.is_file():
            raise DependencyError(f"no edge was started in {self.folder}: start one with the stable version first.")
        document = read_json(self.split)
        sides = {side: Deployed(**document[side]) for side in ("stable", "candidate") if document[side]}
        return Wanted(**(document | sides))

    def write_wanted(self, wanted: Wanted) -> None:
        """Say how requests are to be shared."""
        write_json(self.split, asdict(wanted))

    def read_status(self) -> Status:
        """How it stands.

        Raises:
            DependencyError: the edge does not run.
        """
        if not self.status.is_file():
            raise DependencyError(f"the edge of {self.folder} does not run: start it, it goes on as it was told last.")
        document = read_json(self.status)
        servers = {int(version): Server(**each) for version, each in document["servers"].items()}
        return Status(**(document | {"servers": servers}))

    def write_status(self, status: Status) -> None:
        """Say how it stands."""
        write_json(self.status, asdict(status))
