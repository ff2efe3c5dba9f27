"""Ways to run a model on Triton (instances, threads, batching), and a Triton with one of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from secondread.cpus import cpu_limit
from secondread.errors import InputError
from secondread.export.repository.layout import GRAPH_FILE
from secondread.export.repository.triton_config import TRITON_CONFIG_FILE, renamed_triton_config, triton_config
from secondread.model.folder import ModelFolder
from secondread.serving.local.model_control import ModelControl
from secondread.serving.local.triton import LocalTriton

NAME = "sweep"
_LOAD_SECONDS = 120.0
# What `triton_config` writes, and is replaced here.
_INSTANCES = "instance_group [ { kind: KIND_CPU count: 1 } ]"
_BATCHING = "dynamic_batching { }"
_THREADS = '{ key: "intra_op_thread_count" value: { string_value: "2" } }'


@dataclass(frozen=True)
class Batching:
    """How requests that wait are put together.

    Attributes:
        words: for the table.
        config: Triton's `dynamic_batching`; empty for none.
    """

    words: str
    config: str


AS_SERVED = Batching("what waits", _BATCHING)
BATCHINGS = (
    Batching("none", ""),
    AS_SERVED,
    Batching("wait 1 ms", "dynamic_batching { max_queue_delay_microseconds: 1000 }"),
    Batching("wait 1 ms for 4", "dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 1000 }"),
    Batching(
        "wait 5 ms for 8 or 16",
        "dynamic_batching { preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 5000 }",
    ),
)


@dataclass(frozen=True)
class Setting:
    """One way to run a model.

    Attributes:
        instances: copies of the graph that run at the same time.
        threads: of one run; 0: on a GPU.
        batching: of requests.
    """

    instances: int
    threads: int
    batching: Batching

    def config(self, text: str) -> str:
        """Triton's configuration with this setting.

        Args:
            text: as `triton_config` writes it.
        """
        kind = "KIND_CPU" if self.threads else "KIND_GPU"
        changes = {
            _INSTANCES: f"instance_group [ {{ kind: {kind} count: {self.instances} }} ]",
            _BATCHING: self.batching.config,
            _THREADS: _THREADS.replace('"2"', f'"{self.threads or 1}"'),
        }
        for before, after in changes.items():
            if text.count(before) != 1:
                raise InputError(f"{TRITON_CONFIG_FILE} has no '{before}': adapt benchmarks/triton_sweep.py to it.")
            text = text.replace(before, after)
        return text

    def words(self) -> str:
        """For who waits."""
        threads = f", {self.threads} threads" if self.threads else ""
        return f"{self.instances} instances{threads}, batching: {self.batching.words}"


def settings(*, gpu: bool) -> list[Setting]:
    """All that are compared, on this machine or on a GPU."""
    cpus = cpu_limit()
    threads = [0] if gpu else sorted({1, (cpus + 1) // 2, cpus})
    instances = [1, 2, 4] if gpu else sorted({1, 2, cpus})
    return [Setting(*each) for each in product(instances, threads, BATCHINGS)]


@contextmanager
def on_this_machine(model: ModelFolder, home: Path, setting: Setting) -> Iterator[str]:
    """The local Triton with a setting; gives its address."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        _put(model, Path(folder), setting)
        with LocalTriton(Path(folder), home=home, threads=setting.threads) as triton:
            yield triton.http_address


@contextmanager
def on_a_triton(model: ModelFolder, repository: Path, address: str, setting: Setting) -> Iterator[str]:
    """A Triton that runs, and is told to load a setting."""
    control = ModelControl(address, _LOAD_SECONDS)
    _put(model, repository, setting)
    try:
        control.load(NAME)
        try:
            yield address
        finally:
            control.unload(NAME)
    finally:
        shutil.rmtree(repository / NAME)


def _put(model: ModelFolder, repository: Path, setting: Setting) -> None:
    """A repository of one model; an older one of that name is replaced."""
    folder = repository / NAME
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "1").mkdir(parents=True)
    shutil.copyfile(model.graph_path(), folder / "1" / GRAPH_FILE)
    text = renamed_triton_config(triton_config(model, NAME), NAME)
    (folder / TRITON_CONFIG_FILE).write_text(setting.config(text), encoding="utf-8")
