"""Ray's workers: they write the same bytes as threads do, whoever dies meanwhile, and nothing is left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from secondread.config.engine import EngineConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data import ingest as ingest_module
from secondread.data import reading
from secondread.data.engines import ray_data
from secondread.data.engines.engine import Engine, open_engine
from secondread.data.engines.local import LocalEngine
from secondread.data.fingerprint import pixel_packages
from secondread.data.ingest import ingest
from secondread.data.sources.open import open_source
from secondread.data.sources.source import SourceImage
from secondread.data.versions import shards, version
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError, InputError

BATCH = 4
RAY = EngineConfig(engine="ray")
Read = Callable[[], bytes]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_IMAGES", BATCH)
    monkeypatch.setattr(shards, "_PART_IMAGES", BATCH)


@pytest.fixture(scope="module")
def engine(ray_cluster: str) -> Iterator[Engine]:
    with open_engine(EngineConfig(engine="ray", ray_address=ray_cluster)) as running:
        yield running


@pytest.fixture
def ray(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> EngineConfig:
    """Settings for the engine that is running already, whose start takes seconds."""
    for module in (ingest_module, version):
        monkeypatch.setattr(
            module, "open_engine", lambda config: nullcontext(engine) if config == RAY else LocalEngine()
        )
    return RAY


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class OtherReads:
    """A source whose images are read in another way."""

    def __init__(self, root: Path, change: Callable[[int, Read], Read]) -> None:
        self._source = open_source(str(root))
        self._change = change

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def images(self) -> Iterator[SourceImage]:
        for number, image in enumerate(self._source.images()):
            yield replace(image, read=self._change(number, image.read))


@pytest.fixture
def every_kind(films: Callable[..., Path], shared_data: Path, tmp_path: Path) -> Path:
    """A list of sources whose images are read in different ways, all in a process that has not opened them."""
    plain = films(normal=6, mass=6, covid=6, opacity=6)  # each film another one
    for name, label in (("packed", "covid"), ("listed", "opacity")):
        shutil.move(plain / label, tmp_path / name / label)
    shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "packed")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "pneumoniamnist.npz", train_images=pixels, train_labels=np.arange(12)[:, None] % 2)
    rows = [f"opacity/{path.name},listed" for path in (tmp_path / "listed" / "opacity").iterdir()]
    (tmp_path / "listed" / "manifest.csv").write_text("\n".join(["path,label", *rows]))
    uris = ["phantom://oct?images=60&size=32", tmp_path / "pneumoniamnist.npz", f"dicom:{shared_data / 'dicom'}"]
    uris += [tmp_path / "archive.zip", plain, tmp_path / "listed"]
    listed = "".join(f"  - uri: {uri}\n    modality: cxr\n" for uri in uris)
    (tmp_path / "several.yaml").write_text(f"sources:\n{listed}")
    return tmp_path / "several.yaml"


def test_workers_that_are_killed_cost_nothing_but_time(
    every_kind: Path,
    tmp_path: Path,
    ray: EngineConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = IngestConfig(source=str(every_kind), min_contrast=0, near_duplicate_similarity=2.0)
    settings = PreprocessConfig(image_size=32)
    key = tmp_path / "key"
    ingest(config, tmp_path / "in-local", patient_key=key)
    local = write_dataset_version(tmp_path / "in-local", tmp_path / "local", settings)
    deaths = [tmp_path / "reader-died", tmp_path / "decoder-died"]

    def die_once(death: Path) -> None:
        if not death.exists():
            death.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(number: int, read: Read) -> Read:
        return (lambda: die_once(deaths[0]) or read()) if number == 6 else read

    monkeypatch.setattr(ingest_module, "open_source", lambda *_, **__: OtherReads(every_kind, deadly))
    ingest(config, tmp_path / "in-ray", engine=ray, patient_key=key)
    assert everything(tmp_path / "in-ray") == everything(tmp_path / "in-local")

    preprocessed = version._preprocessed

    def preprocessed_or_dead(part: shards.ShardPart, **others: object) -> object:
        if part.start == BATCH:
            die_once(deaths[1])
        return preprocessed(part, **others)

    monkeypatch.setattr(version, "_preprocessed", preprocessed_or_dead)
    made = write_dataset_version(tmp_path / "in-ray", tmp_path / "ray", settings, engine=ray)
    assert made.content_hash == local.content_hash
    assert everything(tmp_path / "ray") == everything(tmp_path / "local")
    assert all(death.exists() for death in deaths)


def test_a_worker_that_lacks_the_source_is_not_taken_for_images_that_cannot_be_read(
    films: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_here(number: int, read: Read) -> Read:
        def elsewhere() -> bytes:
            if threading.current_thread() is not threading.main_thread():
                raise FileNotFoundError(2, "No such file or directory")
            return read()

        return elsewhere

    root = films(normal=4, covid=4)
    monkeypatch.setattr(ingest_module, "open_source", lambda *_, **__: OtherReads(root, only_here))
    with pytest.raises(InputError, match="could not be read where the work was done, but can be read here"):
        ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert not list(tmp_path.glob(".out*"))


def dying(folder: Path, *, times: int) -> Callable[[int], int]:
    """Work whose worker is killed in the middle of item 3, so many times."""

    def work(item: int) -> int:
        deaths = list(folder.glob("death-*"))
        if item == 3 and len(deaths) < times:
            (folder / f"death-{len(deaths)}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item

    return work


def test_results_come_in_order_from_several_processes(engine: Engine) -> None:
    def work(item: bytes) -> tuple[int, int]:
        return item[0], os.getpid()

    results = list(engine.map(work, [bytes([number]) * 1000 for number in range(20)]))
    assert [number for number, _ in results] == list(range(20))
    assert os.getpid() not in {process for _, process in results}


def test_no_item_is_no_work(engine: Engine) -> None:
    assert list(engine.map(len, [])) == []


def test_an_item_that_kills_every_worker_ends_the_run(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_data, "_RETRIES", 1)
    with pytest.raises(DependencyError, match=r"^Ray was lost \(.*Start the run again: it goes on from there\.$"):
        list(engine.map(dying(tmp_path, times=99), list(range(8))))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("error", [InputError("mend the source."), OSError(28, "No space left on device")])
def test_an_error_comes_as_it_was_raised(engine: Engine, error: Exception) -> None:
    def work(item: int) -> int:
        if item == 2:
            raise error
        return item

    results = engine.map(work, list(range(5)))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(type(error)) as caught:
        next(results)
    assert caught.value.args == error.args


def test_a_worker_with_other_code_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data, "installation", lambda: "another machine's")
    assert list(engine.map(abs, [-1])) == [1]
    monkeypatch.setattr(ray_data, "code_fingerprint", lambda: "another")
    with pytest.raises(DependencyError, match="runs another version of secondread"):
        list(engine.map(abs, [1]))


def test_a_worker_with_other_codecs_is_refused(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data, "installation", lambda: "another machine's")
    monkeypatch.setattr(ray_data, "pixel_packages", lambda: pixel_packages() | {"pillow": "1.0"})
    with pytest.raises(DependencyError, match="runs another version of pillow than this machine, which might give"):
        list(engine.map(abs, [1]))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_cluster_that_does_not_answer_is_named(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_data.ray, "init", lambda **_: pytest.fail("Ray would try for minutes"))
    with pytest.raises(DependencyError, match=rf"the Ray cluster at {re.escape(host)}:9 does not answer"):  # noqa: SIM117
        with open_engine(EngineConfig(engine="ray", ray_address=f"{host}:9")):
            pass


_DRIVER = """
import os, signal, sys
from secondread.config.engine import EngineConfig
from secondread.data.engines.engine import open_engine
def work(item, death=sys.argv[2]):
    if not os.path.exists(death):
        open(death, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
with open_engine(EngineConfig(engine="ray")) as engine:
    results = engine.map(work, list(range(4)))
    import psutil
    next(results)
    print(*[child.pid for child in psutil.Process().children(recursive=True)], file=sys.__stdout__, flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "interrupted":
        raise KeyboardInterrupt
"""


# after a kill, of a worker too, Ray's agents notice only after a minute that the rest of the cluster is gone
@pytest.mark.parametrize(
    "end", ["interrupted", *(pytest.param(end, marks=pytest.mark.full) for end in ("done", "killed"))]
)
def test_no_process_of_its_own_cluster_outlives_the_run(end: str, tmp_path: Path) -> None:
    death = tmp_path / "worker-died"
    if end == "interrupted":
        death.touch()  # and so none dies
    command = [sys.executable, "-c", _DRIVER, end, str(death)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    started = [int(word) for word in done.stdout.split()]  # and nothing that Ray has to tell of the worker
    assert death.exists()
    assert len(started) > 3, done.stderr
    left = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=180)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_without_ray_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from secondread.config.engine import EngineConfig\n"
        "from secondread.data.engines.engine import open_engine\n"
        "open_engine(EngineConfig(engine='ray'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "DependencyError: working with Ray needs the package 'ray'. Install secondread[ray]" in done.stderr
