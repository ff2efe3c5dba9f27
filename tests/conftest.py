"""What every test may use: real images, films made on the spot, a real OpenStack Swift and a real PostgreSQL."""

from __future__ import annotations

import contextlib
import http.client
import io
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from secondread.config.environment import Environment
from secondread.data.pixels.preprocess import Preprocessing
from secondread.logging import ROOT as ROOT_LOGGER
from secondread.model.folder import ModelConfigFile, ModelFolder, Thresholds
from secondread.taxonomy import ClassInfo, Taxonomy

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the public image sets: SECONDREAD_TEST_DATA, else shared/data beside the checkout.

    The sets are not in the repository: each image keeps its own licence.
    """
    named = os.environ.get("SECONDREAD_TEST_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if named is None and not folder.is_dir():
        pytest.skip(f"no public image sets in {folder}: set SECONDREAD_TEST_DATA to their folder")
    assert folder.is_dir(), f"SECONDREAD_TEST_DATA names {folder}, which is no folder"
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the checkout, or reads what a person keeps there."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("SECONDREAD_CATALOGUE_URI", raising=False)


@pytest.fixture(autouse=True)
def _own_logging() -> None:
    """What ran before may have sent log lines to a stream and level of its own, as every command does."""
    logger = logging.getLogger(ROOT_LOGGER)
    logger.handlers[:] = []
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@pytest.fixture(scope="session", autouse=True)
def _no_process_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """When all tests are done, nothing that they started is still running, whoever its parent is by now."""
    yield
    ours = str(tmp_path_factory.getbasetemp())
    me = psutil.Process()
    left = [child.cmdline() for child in me.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if process.pid != me.pid and any(ours in word for word in command):
            left.append(command)
    assert not left, f"still running: {left}"


def _film(seed: int, *, size: tuple[int, int] = (40, 48), kind: str = "PNG") -> bytes:
    """An encoded picture of noise on a gradient, different for every seed."""
    noise = np.random.default_rng(seed).integers(0, 60, size)
    gradient = np.linspace(0, 190, size[1])[None, :]
    buffer = io.BytesIO()
    Image.fromarray((noise + gradient).astype(np.uint8)).save(buffer, format=kind)
    return buffer.getvalue()


def _dicom(pixels: np.ndarray, *, bits: int = 12, syntax: str = ExplicitVRLittleEndian, **elements: object) -> bytes:
    """A MONOCHROME2 film; every keyword of an element overrides, and None leaves it out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    little = meta.TransferSyntaxUID.is_little_endian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128, is_little_endian=little)
    known = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
    }
    for name, value in (known | elements).items():
        if value is not None:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def dicom() -> Callable[..., bytes]:
    """Make a DICOM file: `dicom(pixels, bits=12, WindowCenter=2048, ...)`."""
    return _dicom


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """Make an encoded picture: `film(seed)`."""
    return _film


@pytest.fixture
def films(tmp_path: Path) -> Callable[..., Path]:
    """Make a folder of class folders: `films(normal=6, covid=6)`."""

    def make(name: str = "films", **classes: int) -> Path:
        root = tmp_path / name
        for number, (label, count) in enumerate(classes.items()):
            folder = root / label.replace("_", "-")
            folder.mkdir(parents=True)
            for index in range(count):
                (folder / f"{index:03d}.png").write_bytes(_film(1000 * number + index))
        return root

    return make


@pytest.fixture(scope="session")
def tiny_graph() -> Callable[[Path], None]:
    """Write an ONNX file that keeps the whole contract, in no time: `tiny_graph(path)`.

    A linear classifier of three classes at 32 pixels; its `ood_score` is the mean brightness, 0 to 1.
    """
    return _write_graph


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model folder with what serving reads, around the tiny graph; three classes, 32 pixels."""
    folder = tmp_path_factory.mktemp("tiny-model")
    _write_graph(folder / "fp32.onnx")
    classes = (
        ClassInfo("cxr-normal", "Normal chest", "cxr", "routine"),
        ClassInfo("cxr-covid", "COVID-19 pneumonia", "cxr", "urgent"),
        ClassInfo("cxr-opacity", "", "cxr", "unknown"),
    )
    ModelConfigFile(
        name="secondread",
        architecture={},
        taxonomy=Taxonomy(classes),
        preprocessing=Preprocessing(32),
        temperature=1.0,
        thresholds=Thresholds(abstain=0.4, out_of_distribution=0.9),
        dataset_version="d" * 64,
        graph="fp32.onnx",
        synthetic=True,
        library_version="0",
    ).write(folder)
    return ModelFolder.open(folder)


def _write_graph(path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, classes, dim, size = np.random.default_rng(0), 3, 8, 32
    constants = {
        "scale": np.float32(1 / 255),
        "flat": np.array([0, -1], np.int64),
        "sides": np.array([1], np.int64),
        "embed": rng.normal(0, 0.1, (size * size, dim)).astype(np.float32),
        "head": rng.normal(0, 0.5, (dim, classes)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Reshape", ["scaled", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "embed"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMean", ["rows", "sides"], ["ood_score"], keepdims=0),
    ]
    shapes = {"probabilities": ["batch", classes], "embedding": ["batch", dim], "ood_score": ["batch"]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 1, size, size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


SWIFT_SERVER = Path(__file__).with_name("data") / "store" / "swift_server.py"
SWIFT_USER, SWIFT_KEY = "test:tester", "testing"
_NEED = "scripts/debian-packages.sh test brings it (Debian's swift and memcached)"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Swift:
    """The server's processes; killed and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.memcached_port = folder, _free_port(), _free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, must_be_free_percent: int = 0) -> None:
        """Start what does not run, and wait until a user is known."""
        memcached = shutil.which("memcached")
        if memcached is None or not Path("/usr/bin/swift-ring-builder").exists():
            pytest.fail(f"Swift is not installed: {_NEED}")
        as_root = ["-u", "nobody"] if os.getuid() == 0 else []
        if "memcached" not in self.processes:
            self._run("memcached", [memcached, "-l", "127.0.0.1", "-p", str(self.memcached_port), "-U", "0", *as_root])
        ports = [str(self.port), str(self.memcached_port), str(must_be_free_percent)]
        self._run("swift", ["/usr/bin/python3", str(SWIFT_SERVER), str(self.folder), *ports])
        self.sign_in()

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean, cwd=self.folder
            )

    def sign_in(self) -> tuple[str, str]:
        """Storage URL and token, asked for until the server answers."""
        request = Request(f"{self.url}/auth/v1.0", headers={"X-Auth-User": SWIFT_USER, "X-Auth-Key": SWIFT_KEY})
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
        swift = {"ST_AUTH": f"{self.url}/auth/v1.0", "ST_USER": SWIFT_USER, "ST_KEY": SWIFT_KEY}
        s3 = {"SECONDREAD_S3_ENDPOINT": self.url, "AWS_ACCESS_KEY_ID": SWIFT_USER, "AWS_SECRET_ACCESS_KEY": SWIFT_KEY}
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
def store_root(request: pytest.FixtureRequest, swift: Swift, tmp_path: Path) -> str:
    """URI of an empty place in a container of the test's own, by each of the two APIs."""
    name = f"films-{tmp_path.name.lower().replace('_', '-')}-{_free_port()}"[-60:].lstrip("-")
    swift.make_container(name)
    return f"{request.param}://{name}/some/versions"


def _postgres_program(name: str) -> str:
    """A program of PostgreSQL, which Debian keeps out of the PATH."""
    found = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)]
    for path in found:
        if path and Path(path).exists():
            return path
    pytest.fail(f"{name} is not installed: scripts/debian-packages.sh test brings it (Debian's postgresql)")


class Postgres:
    """A PostgreSQL of our own, on a socket in a folder of its own; killed and started again on the same data.

    PostgreSQL refuses to run as root, so root hands it to the user that Debian's package makes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        as_user = {"user": "postgres"} if os.getuid() == 0 else {}
        if as_user:
            shutil.chown(folder, "postgres")
        self._where = {"cwd": folder, "check": True, "stdout": subprocess.DEVNULL, **as_user}
        self._data = folder / "data"
        initdb = [_postgres_program("initdb"), "--pgdata", str(self._data), "--auth", "trust", "--username", "reader"]
        subprocess.run([*initdb, "--no-sync"], **self._where)

    @property
    def url(self) -> str:
        """Of its database `postgres`."""
        return f"postgresql://reader@/postgres?host={self.folder}"

    def start(self) -> None:
        self._control("--options", f"-k {self.folder} -c listen_addresses='' -c fsync=off", "start")

    def stop(self) -> None:
        self._control("--mode", "immediate", "stop")

    def _control(self, *words: str) -> None:
        control = [
            _postgres_program("pg_ctl"),
            "--pgdata",
            str(self._data),
            "--wait",
            "--log",
            str(self.folder / "log"),
        ]
        subprocess.run([*control, *words], **self._where)

    def is_running(self) -> bool:
        return (self._data / "postmaster.pid").exists() and psutil.pid_exists(self._pid())

    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """SIGKILL to all of it, as a machine that loses its power."""
        postmaster = psutil.Process(self._pid())
        family = [postmaster, *postmaster.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=20)

    def new_database(self) -> str:
        """URL of an empty database."""
        import psycopg

        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def running_postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="secondread-postgres-", dir="/tmp"))  # a socket's path must be short
    try:
        server = Postgres(folder)
        try:
            server.start()
            yield server
        finally:
            if server.is_running():
                server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres(running_postgres: Postgres) -> Postgres:
    """The server, started again where a test ended it."""
    if not running_postgres.is_running():
        running_postgres.start()
    return running_postgres


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without runs, which takes MLflow seconds to make."""
    from secondread.tracking.runs import open_client

    path = tmp_path_factory.mktemp("empty-mlflow") / "mlflow.db"
    open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def mlflow_uri(empty_mlflow: Path, tmp_path: Path) -> str:
    """URI of an MLflow without runs, of the test's own."""
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    shutil.copyfile(empty_mlflow, path)
    return f"sqlite:///{path}"
