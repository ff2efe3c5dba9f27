"""When the alias moves, the local server goes along: versions side by side on one Triton, and what can go wrong."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import psutil
import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.serve import ServeConfig
from secondread.errors import DependencyError, InputError
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import SigningKey
from secondread.model.folder import ModelFolder
from secondread.model.session import Outputs
from secondread.serving.local.follow import Follow, Follower, on_triton
from secondread.serving.local.model_control import ModelControl
from secondread.serving.local.private_repository import PrivateRepository
from secondread.serving.local.triton import LocalTriton
from secondread.serving.protocol.contract import Answer, Request, UnknownModelError
from secondread.serving.transformer.transformer import Transformer

CONFIG = ServeConfig(threads=1)
EXPLAIN = "secondread-explain"


class Local:
    """A Triton and the transformer in front of it, without ports; the alias is a variable.

    Attributes:
        alias: where the version lies that is to be served.
        opened: places that were looked into, in order.
        folder: that Triton loads from.
    """

    def __init__(self, first: Path, home: Path, trusted: Path, film: bytes, stack: ExitStack) -> None:
        self.alias, self.opened, self.film = str(first), list[str](), film
        private = stack.enter_context(PrivateRepository.below(home, "secondread", trusted))
        models = private.add(first)
        self.folder = private.folder
        self.triton = stack.enter_context(LocalTriton(self.folder, home=home, threads=1))
        self.transformer = Transformer(on_triton(self.triton, models, CONFIG), CONFIG)
        stack.callback(self.transformer.close)
        follow = Follow(0.01, self.alias, self._wanted, self._open)
        self.follower = Follower(follow, self.transformer, self.triton, private, CONFIG, trusted)

    def look(self, place: Path) -> bool:
        """Move the alias, and have the follower look."""
        self.alias = str(place)
        return self.follower.look()

    def ask(self, version: str = "", name: str = "secondread") -> Answer:
        """The answer to the film."""
        return self.transformer.answer_now(name, version, lambda _: Request(images=[self.film]))[1]

    def loaded(self) -> set[str]:
        """What is in Triton's folder."""
        return {path.name for path in self.folder.iterdir()}

    def _wanted(self) -> str:
        if not self.alias:
            raise DependencyError("the registry does not answer.")
        return self.alias

    @contextmanager
    def _open(self, place: str) -> Iterator[Path]:
        self.opened.append(place)
        yield Path(place)


@pytest.fixture
def local(repositories: list[Path], trusted: Path, tmp_path: Path, film: Callable[..., bytes]) -> Iterator[Local]:
    with ExitStack() as stack:
        yield Local(repositories[0], tmp_path / "home", trusted, film(1), stack)


@pytest.fixture
def copy(repositories: list[Path], tmp_path: Path) -> Path:
    """The second version, to be tampered with."""
    return shutil.copytree(repositories[1], tmp_path / "copy")


@pytest.fixture
def is_of(models: list[ModelFolder], bare: Callable[..., Outputs], film: Callable[..., bytes]) -> Callable[..., bool]:
    """Whether an answer names that version, and is what its model says, in its own words."""

    def check(answer: Answer, number: int) -> bool:
        model = models[number - 1]
        said, classes = bare(model, film(1)).probabilities, model.config.taxonomy.names
        about = answer.parameters
        assert (about["model_version"], about["digest"]) == (str(number), model.digest())
        assert answer.tensors["label"].tolist() == [classes[said.argmax()]]
        np.testing.assert_allclose(answer.tensors["probabilities"].astype(np.float32), said, atol=1e-6)
        return True

    return check


def counted(version: str) -> float:
    """Requests that were answered with a version."""
    labels = {"name": "secondread", "version": version, "code": "200"}
    return REGISTRY.get_sample_value("secondread_requests_total", labels) or 0.0


def shows_queue(version: str) -> bool:
    labels = {"name": "secondread", "version": version}
    return REGISTRY.get_sample_value("secondread_requests_in_flight", labels) is not None


def test_the_new_version_answers_and_the_old_one_whoever_names_it(
    local: Local, repositories: list[Path], is_of: Callable[..., bool]
) -> None:
    assert is_of(local.ask(), 1)
    assert local.look(repositories[1])
    assert is_of(local.ask(), 2)  # with one more class, of more pixels
    assert is_of(local.ask("2"), 2)
    assert is_of(local.ask("1"), 1)
    assert local.transformer.versions.numbers("secondread") == ["2", "1"]
    assert local.ask("1", EXPLAIN).parameters["model_version"] == "1"
    with pytest.raises(UnknownModelError, match="secondread-explain does not exist here: ask for secondread version 2"):
        local.ask(name=EXPLAIN)  # the second version explains nothing


def test_the_version_before_goes_with_the_next_change(
    local: Local, repositories: list[Path], is_of: Callable[..., bool]
) -> None:
    for place in repositories[1:]:
        assert local.look(place)
    assert is_of(local.ask(), 3)
    assert is_of(local.ask("2"), 2)
    with pytest.raises(UnknownModelError, match="secondread version 1 does not exist here"):
        local.ask("1")
    assert local.loaded() == {"secondread.2", "secondread.3"}
    assert local.triton.ready()


def test_the_way_back_loads_nothing(local: Local, repositories: list[Path], is_of: Callable[..., bool]) -> None:
    first, second, _ = repositories
    assert all(local.look(place) for place in (second, first, second, first))
    assert is_of(local.ask(), 1)
    assert is_of(local.ask("2"), 2)
    assert local.opened == [str(second)]


def test_requests_are_counted_by_version(local: Local, repositories: list[Path]) -> None:
    before = {version: counted(version) for version in "12"}
    local.ask()
    assert local.look(repositories[1])
    for version in ("", "", "1"):
        local.ask(version)
    assert {version: counted(version) - before[version] for version in "12"} == {"1": 2, "2": 2}
    assert (shows_queue("1"), shows_queue("2")) == (False, True)


def put_graph(repository: Path, graph: bytes, signer: SigningKey) -> None:
    """Register another graph, by somebody who holds the key."""
    folder = repository / "secondread/2"
    (folder / "model.onnx").write_bytes(graph)
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "graph_sha256": sha256(graph).hexdigest()}))
    sign_folder(repository, signer)


UNFIT: dict[str, tuple[Callable[[Path, SigningKey], object], str]] = {
    "unsigned": (lambda copy, _: (copy / "model.sig").unlink(), "is not signed: it has no model.sig"),
    "altered": (lambda copy, _: (copy / "secondread/config.pbtxt").write_text("name"), "is not what was signed"),
    "no graph": (lambda copy, signer: put_graph(copy, b"no graph", signer), "did not load secondread.2: load failed"),
}


@pytest.mark.parametrize("how", UNFIT)
def test_a_version_that_is_not_fit_leaves_the_old_one_serving_and_is_said_once(
    local: Local,
    copy: Path,
    repositories: list[Path],
    signer: SigningKey,
    is_of: Callable[..., bool],
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    spoil, says = UNFIT[how]
    spoil(copy, signer)
    assert not local.look(copy)
    assert not local.follower.look()
    assert is_of(local.ask(), 1)
    assert local.triton.ready()
    assert local.loaded() == {"secondread.1", "secondread-explain.1"}
    (said,) = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert said.startswith("version 1 goes on answering: ")
    assert says in said
    assert "\n" not in said
    shutil.rmtree(copy)
    shutil.copytree(repositories[1], copy)  # registered again
    assert local.follower.look()
    assert is_of(local.ask(), 2)


def test_a_registry_that_is_down_is_asked_again(
    local: Local,
    repositories: list[Path],
    is_of: Callable[..., bool],
    wait_until: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    local.alias = ""
    with local.follower.following():
        wait_until(lambda: "the registry does not answer" in caplog.text, seconds=10, what="a look")
        assert is_of(local.ask(), 1)
        local.alias = str(repositories[1])
        wait_until(lambda: local.ask().parameters["model_version"] == "2", seconds=30, what="the second version")


def test_a_triton_that_ended_comes_back_with_every_version(
    local: Local, repositories: list[Path], is_of: Callable[..., bool], wait_until: Callable[..., None]
) -> None:
    for place in repositories[1:]:
        assert local.look(place)
    children = psutil.Process(os.getpid()).children()
    (triton,) = [each for each in children if f"--model-repository={local.folder}" in each.cmdline()]
    triton.kill()
    wait_until(lambda: not triton.is_running() and local.triton.ready(), seconds=30, what="another Triton")
    assert is_of(local.ask(), 3)
    assert is_of(local.ask("2"), 2)


def test_nobody_else_writes_what_triton_loads_and_it_goes_in_the_end(
    repositories: list[Path], trusted: Path, tmp_path: Path, film: Callable[..., bytes]
) -> None:
    with ExitStack() as stack:
        local = Local(repositories[0], tmp_path, trusted, film(1), stack)
        assert stat.S_IMODE(local.folder.stat().st_mode) == 0o700
        assert local.folder.is_relative_to(tmp_path)
    assert not any(tmp_path.rglob("model.onnx"))


def test_who_lacks_its_secret_loads_and_unloads_nothing(local: Local, is_of: Callable[..., bool]) -> None:
    stranger = ModelControl(local.triton.http_address, timeout_seconds=10)
    for ask in (stranger.load, stranger.unload):
        with pytest.raises(DependencyError, match="API is restricted"):
            ask("secondread.1")
    assert is_of(local.ask(), 1)


def test_following_needs_a_pause_and_an_alias() -> None:
    with pytest.raises(InputError, match="seconds between two looks, above 0, not 0"):
        Follow(0, "", str, nullcontext)
    refused = CliRunner().invoke(app, ["serve", "--follow", "30", "--repository", "models"]).exception
    assert "an alias of the registry, and --repository names none" in str(refused)
