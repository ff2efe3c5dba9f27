"""A real OpenStack Swift with both its APIs, and a small dataset version."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from secondread.config.environment import Environment
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.dataset import DatasetVersion
from secondread.data.ingest import ingest
from secondread.data.version import write_dataset_version

SERVER = Path(__file__).with_name("swift_server.py")
USER, KEY = "test:tester", "testing"
NEED = "scripts/debian-packages.sh test brings it (Debian's swift and memcached)"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Swift:
    """The server's processes; killed and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.memcached_port = folder, free_port(), free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, must_be_free_percent: int = 0) -> None:
        """Start what does not run, and wait until a user is known."""
        memcached = shutil.which("memcached")
        if memcached is None or not Path("/usr/bin/swift-ring-builder").exists():
            pytest.fail(f"Swift is not installed: {NEED}")
        as_root = ["-u", "nobody"] if os.getuid() == 0 else []
        if "memcached" not in self.processes:
            self._run("memcached", [memcached, "-l", "127.0.0.1", "-p", str(self.memcached_port), "-U", "0", *as_root])
        ports = [str(self.port), str(self.memcached_port), str(must_be_free_percent)]
        self._run("swift", ["/usr/bin/python3", str(SERVER), str(self.folder), *ports])
        self.sign_in()

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean, cwd=self.folder
            )

    def sign_in(self) -> tuple[str, str]:
        """Storage URL and token, asked for until the server answers."""
        request = Request(f"{self.url}/auth/v1.0", headers={"X-Auth-User": USER, "X-Auth-Key": KEY})
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(request, timeout=10) as answer:
                    return answer.headers["X-Storage-Url"], answer.headers["X-Auth-Token"]
            except (OSError, http.client.HTTPException):
                log = (self.folder / "swift.log").read_text()
                assert self.processes["swift"].poll() is None, log
                assert time.monotonic() < deadline, log

    def kill(self, name: str = "swift") -> None:
        """SIGKILL, as a machine that loses its power."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def make_container(self, name: str) -> None:
        storage_url, token = self.sign_in()
        request = Request(f"{storage_url}/{name}", method="PUT", headers={"X-Auth-Token": token})
        with urlopen(request, timeout=20) as answer:
            assert answer.status in (201, 202)

    def variables(self) -> dict[str, str]:
        """What a user of either API sets."""
        swift = {"ST_AUTH": f"{self.url}/auth/v1.0", "ST_USER": USER, "ST_KEY": KEY}
        s3 = {"SECONDREAD_S3_ENDPOINT": self.url, "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": KEY}
        return {**swift, **s3}

    def environment(self, **variables: str) -> Environment:
        return Environment.read({**self.variables(), **variables})


@pytest.fixture(scope="session")
def running_swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    server = Swift(tmp_path_factory.mktemp("swift"))
    try:
        server.start()
        yield server
    finally:
        for name in list(server.processes):
            server.kill(name)


@pytest.fixture
def swift(running_swift: Swift) -> Swift:
    """The server, started again where a test ended it."""
    if "swift" not in running_swift.processes:
        running_swift.start()
    return running_swift


@pytest.fixture(params=["s3", "swift"])
def root(request: pytest.FixtureRequest, swift: Swift, tmp_path: Path) -> str:
    """URI of an empty place in a container of the test's own, by each of the two APIs."""
    name = f"films-{tmp_path.name.lower().replace('_', '-')}-{free_port()}"[-60:].lstrip("-")
    swift.make_container(name)
    return f"{request.param}://{name}/some/versions"


@pytest.fixture
def version(films: Callable[..., Path], tmp_path: Path) -> DatasetVersion:
    source = films(normal=24, covid=24)
    ingest(IngestConfig(source=str(source)), tmp_path / "ingested", patient_key=tmp_path / "key")
    return write_dataset_version(tmp_path / "ingested", tmp_path / "version", PreprocessConfig(image_size=32))
