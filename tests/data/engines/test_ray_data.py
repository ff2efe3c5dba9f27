"""Ray's workers: the same results in order, whoever dies meanwhile, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from secondread.config.engine import EngineConfig
from secondread.data.engines import ray_data
from secondread.data.engines.engine import Engine, open_engine
from secondread.errors import DependencyError, InputError


@pytest.fixture(scope="module")
def engine(ray_cluster: str) -> Iterator[Engine]:
    with open_engine(EngineConfig(engine="ray", ray_address=ray_cluster)) as running:
        yield running


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
    monkeypatch.setattr(ray_data, "code_fingerprint", lambda: "another")
    with pytest.raises(DependencyError, match="runs another version of secondread"):
        list(engine.map(abs, [1]))


def test_a_cluster_that_does_not_answer_is_named() -> None:
    with pytest.raises(DependencyError, match=r"the Ray cluster at 127\.0\.0\.1:9 does not answer"):  # noqa: SIM117
        with open_engine(EngineConfig(engine="ray", ray_address="127.0.0.1:9")):
            pass


_DRIVER = """
import os, signal, sys
from secondread.config.engine import EngineConfig
from secondread.data.engines.engine import open_engine
def work(item):
    return os.getppid()
with open_engine(EngineConfig(engine="ray")) as engine:
    results = engine.map(work, list(range(4)))
    import psutil
    next(results)
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
    if sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[1] == "interrupted":
        raise KeyboardInterrupt
"""


# after a kill, Ray's agents notice only after a minute that the rest of the cluster is gone
@pytest.mark.parametrize(
    "end", ["interrupted", *(pytest.param(end, marks=pytest.mark.full) for end in ("done", "killed"))]
)
def test_no_process_of_its_own_cluster_outlives_the_run(end: str) -> None:
    done = subprocess.run([sys.executable, "-c", _DRIVER, end], capture_output=True, text=True, timeout=120)
    started = [int(word) for word in done.stdout.split()]
    assert len(started) > 3, done.stderr
    assert done.stderr == "" or end == "interrupted"
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
    assert "DependencyError: engine 'ray' needs the package 'ray'. Install secondread[ray]" in done.stderr
