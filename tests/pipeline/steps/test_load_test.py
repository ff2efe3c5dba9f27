"""The load test as a step and as a KFP component, on the real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl, local
from kfp.local import config as kfp_config

from secondread.data.sources.phantom.source import PhantomSource
from secondread.export.repository.layout import read_repository, write_repository
from secondread.export.repository.signing import sign_folder
from secondread.export.repository.signing_key import make_key_pair
from secondread.model.folder import ModelFolder
from secondread.pipeline.steps.ingest import ingest
from secondread.pipeline.steps.load_test import load_test
from secondread.pipeline.success import SUCCESS_FILE, verify_success
from secondread.serving.front.server import Endpoints
from secondread.serving.local.local_server import local_server
from secondread_components.image import BASE_IMAGE
from secondread_components.load_test.component import load_test as component

BRIEF = {
    "users": 2,
    "seconds": 1,
    "requests_at_least": 1,
    "p99_below_ms": 60_000,
}  # a gate that lets a busy machine pass


@pytest.fixture(scope="module")
def repository(tiny_model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signed Triton repository; its key lies beside it."""
    root = tmp_path_factory.mktemp("load-test")
    folder = write_repository(tiny_model, root / "models", name="secondread", version=1)
    sign_folder(folder, make_key_pair(root / "keys"))
    return folder


@pytest.fixture(scope="module")
def trusted(repository: Path) -> Path:
    """What its signature is checked with."""
    return next((repository.parents[2] / "keys").glob("*.pub"))


@pytest.fixture(scope="module")
def endpoint(repository: Path, trusted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """The model behind a real server."""
    with local_server(
        repository, name="secondread", trusted=trusted, folder=tmp_path_factory.mktemp("server")
    ) as endpoints:
        yield endpoints


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def deploy(path: str):
    """What may happen to a model that bore the load."""
    open(path, "w").close()


@dsl.pipeline(name="two-gates")
def two_gates(url: str, grpc_url: str, bearable: dict, unbearable: dict, folder: str):
    for name, settings in (("bearable", bearable), ("unbearable", unbearable)):
        tested = component(name="secondread", url=url, grpc_url=grpc_url, settings=settings)
        with dsl.If(tested.outputs["Output"] == True):  # noqa: E712 - KFP's expression
            deploy(path=f"{folder}/{name}")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Path]:
    """KFP's local runner; gives the folder of its runs."""
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))
    yield tmp_path / "runs"
    kfp_config.LocalExecutionConfig.instance = None


def test_in_a_pipeline_what_follows_runs_only_where_the_gate_said_yes(
    endpoint: Endpoints, runner: Path, tmp_path: Path
) -> None:
    (tmp_path / "deployed").mkdir()
    two_gates(
        url=endpoint.url,
        grpc_url=endpoint.grpc_url,
        bearable=BRIEF,
        unbearable={**BRIEF, "p99_below_ms": 0.001},
        folder=str(tmp_path / "deployed"),
    )
    assert [path.name for path in (tmp_path / "deployed").iterdir()] == ["bearable"]
    verdicts = {}
    for tested in runner.rglob("tested"):
        facts = verify_success(tested, step="load_test")
        verdicts[facts["passed"]] = facts["reasons"][0]
        metrics = json.loads((tested.parent / "metrics").read_text())
        assert metrics["requests"] == facts["figures"]["requests"] > 0
        assert 0 < metrics["p50_ms"] <= metrics["p99_ms"]
        assert (tested.parent / "report").read_text() == (tested / "loadtest.html").read_text()
        assert facts["reasons"][0] in (tested.parent / "summary").read_text()
    assert set(verdicts) == {True, False}
    assert "is not below 0.001 ms" in verdicts[False]


def test_a_repository_is_served_here_and_asked_with_the_images_that_ingest_wrote(
    repository: Path, trusted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for image in PhantomSource("phantom://cxr?images=8&size=32&classes=cxr-normal,cxr-covid").images():
        path = tmp_path / "films" / image.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.read())
    ingest(str(tmp_path / "films"), str(tmp_path / "images"), settings={})
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(trusted))
    facts = load_test(
        str(tmp_path / "out"),
        name="secondread",
        repository=str(repository),
        digest=read_repository(repository, "secondread").digest,
        images=str(tmp_path / "images"),
        settings=BRIEF,
    )
    assert facts["passed"], facts["reasons"]
    assert facts["figures"]["failures"] == 0
    assert facts["config"]["url"].startswith("http://127.0.0.1:")
    assert "of a folder" in (tmp_path / "out" / "loadtest.html").read_text()
    assert json.loads((tmp_path / "out" / "loadtest.json").read_text())["intervals"]


def nobody(**changes: Any) -> dict[str, Any]:
    return {"name": "secondread", "url": "http://127.0.0.1:1", "settings": {}, **changes}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (nobody(), 3, "no server answers"),
        (nobody(url=""), 2, "say what is tested"),
        (nobody(repository="models/secondread"), 2, "and not both"),
        (nobody(settings={"shape": "wave"}), 2, "shape must be one of"),
        (nobody(settings={"callers": 3}), 2, "has no setting callers"),
        (nobody(token_file="none"), 2, "none, the file of tokens, cannot be read"),  # noqa: S106
    ],
)
def test_what_cannot_be_tested_ends_the_step_and_is_no_refusal(
    tmp_path: Path, arguments: dict[str, Any], exit_code: int, says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        load_test(str(tmp_path / "out"), **arguments)
    failure = json.loads((tmp_path / "out.failure.json").read_text())
    assert ended.value.code == failure["exit_code"] == exit_code
    assert says in failure["message"]
    assert not (tmp_path / "out" / SUCCESS_FILE).exists()


def test_a_repository_that_nobody_signed_is_not_served(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(make_key_pair(tmp_path / "keys").path.with_suffix(".pub")))
    with pytest.raises(SystemExit, match="2"):
        load_test(str(tmp_path / "out"), name="secondread", repository=str(repository), settings=BRIEF)
    assert "signed" in json.loads((tmp_path / "out.failure.json").read_text())["message"]
