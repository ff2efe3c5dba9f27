"""Promote and rollback on a real registry: what is refused, what is written down, and what is champion afterwards."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from secondread.config.environment import Environment
from secondread.config.registry import RegistryConfig
from secondread.errors import GateRefused, InputError, IntegrityError
from secondread.export.repository.signing_key import make_key_pair, signing_key
from secondread.model.folder import ModelFolder
from secondread.tracking.events import events
from secondread.tracking.promotion import Change, Decision, promote, rollback, signer
from secondread.tracking.registry import Registry

ADA = Decision("Ada", "no worse on a week of films")


class Shelf:
    """A registry with versions of the model `cxr`, each a little different."""

    def __init__(self, uri: str, model: ModelFolder, folder: Path) -> None:
        self.registry, self._model, self._folder = Registry(uri), model, folder
        self.environment = Environment.read()

    def add(self, number: int, *, passed: str = "true") -> Path:
        """Register one more; where its repository lies."""
        copy = self._folder / f"model-{number}"
        shutil.copytree(self._model.root, copy)
        document = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**document, "library_version": str(number)}))
        tags = {"gate.passed": passed, "gate.accuracy": "0.9"} if passed else {}
        registered = self.registry.register(
            ModelFolder.open(copy),
            name="cxr",
            root=self._folder / "models",
            tags=tags,
            environment=self.environment,
        )
        assert registered.version == number
        return Path(registered.storage_uri)

    def promote(self, which: str = "challenger", decision: Decision = ADA, keep: int = 3) -> Change:
        config = RegistryConfig(rollback_targets=keep)
        return promote(self.registry, "cxr", which, decision=decision, environment=self.environment, config=config)

    def rollback(self, to: str = "", decision: Decision = ADA) -> Change:
        return rollback(self.registry, "cxr", to, decision=decision, environment=self.environment)

    def aliases(self) -> dict[str, str]:
        return self.registry.raw_aliases("cxr")


@pytest.fixture
def shelf(mlflow_uri: str, tiny_model: ModelFolder, tmp_path: Path) -> Shelf:
    return Shelf(mlflow_uri, tiny_model, tmp_path)


def test_promotions_and_rollbacks_move_the_aliases(shelf: Shelf) -> None:
    for number in (1, 2, 3, 4):
        shelf.add(number)
        if number > 1:
            assert shelf.promote(keep=2).champion == number
    assert shelf.aliases() == {"champion": "4", "champion-1": "3", "champion-2": "2"}
    assert shelf.promote("1", keep=2) == Change("cxr", 1, 4, (4, 3))
    assert shelf.rollback() == Change("cxr", 4, 1, (3,))
    assert shelf.rollback("champion-1") == Change("cxr", 3, 4, ())
    assert shelf.aliases() == {"champion": "3"}
    with pytest.raises(InputError, match="no champion to go back to"):
        shelf.rollback()


def test_who_did_it_and_why_is_kept_with_the_version(shelf: Shelf) -> None:
    shelf.add(1)
    shelf.add(2)
    shelf.promote()
    shelf.rollback(decision=Decision("Bob", "misses effusions"))
    shelf.promote("2", Decision("Ada", "mended"))
    (first, second) = events(shelf.registry.record("cxr", "2").tags, of="it")
    assert (first["action"], first["actor"], first["reason"], first["from"]) == ("promote", "Ada", ADA.reason, 1)
    assert (second["actor"], second["reason"]) == ("Ada", "mended")
    assert first["at"] < second["at"]
    (back,) = events(shelf.registry.record("cxr", "1").tags, of="it")
    assert (back["action"], back["actor"], back["from"]) == ("rollback", "Bob", 2)


@pytest.mark.parametrize("letter", ["a", "\N{CYRILLIC SMALL LETTER ZHE}", "\N{GRINNING FACE}", '"', "\udc80"])
def test_a_reason_however_long_is_kept_as_far_as_it_fits_and_read_back(shelf: Shelf, letter: str) -> None:
    shelf.add(1)
    shelf.add(2, passed="")
    for length in (10, 820, 4900, 100_000):
        decision = Decision("Ada", letter * length, force=True)
        shelf.promote("2", decision)
        shelf.rollback(decision=decision)
    kept = events(shelf.registry.record("cxr", "2").tags, of="it")
    assert len(kept) == 4
    for event in kept:
        assert event["actor"] == "Ada"
        assert "no gate has judged version 2" in str(event["despite"])
    readable = letter if letter != "\udc80" else "?"
    assert kept[0]["reason"] == 10 * readable
    assert all(str(event["reason"]).startswith(90 * readable) for event in kept[1:])


def test_an_event_that_cannot_be_read_hides_no_other_and_is_said(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.add(1)
    shelf.add(2)
    shelf.promote()
    for at, text in (("2020", '{"reason": "cut'), ("2021", "[1]"), ("2022", "null")):
        shelf.registry.client.set_model_version_tag("cxr", "2", f"event.{at}", text)
    (kept,) = events(shelf.registry.record("cxr", "2").tags, of="version 2 of 'cxr'")
    assert kept["action"] == "promote"
    for at in ("2020", "2021", "2022"):
        assert f"event.{at} of version 2 of 'cxr' is no event" in caplog.text


@pytest.mark.parametrize(
    ("passed", "said"), [("false", "the gate refused version 2"), ("", "no gate has judged version 2")]
)
def test_a_version_whose_gate_did_not_pass_is_refused_unless_forced(shelf: Shelf, passed: str, said: str) -> None:
    shelf.add(1)
    shelf.add(2, passed=passed)
    with pytest.raises(GateRefused, match=said):
        shelf.promote()
    assert shelf.aliases() == {"champion": "1", "challenger": "2"}
    assert events(shelf.registry.record("cxr", "2").tags, of="it") == []
    forced = shelf.promote(decision=Decision("Ada", "the only one that reads children", force=True))
    assert forced.champion == 2
    assert said in forced.despite[0]
    (event,) = events(shelf.registry.record("cxr", "2").tags, of="it")
    assert event["despite"] == list(forced.despite)


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "graph": (lambda root: (root / "cxr/2/model.onnx").write_bytes(b"x"), "is not the graph that was registered"),
    "configuration": (
        lambda root: (root / "cxr/config.pbtxt").write_text("name: 'cxr'"),
        r"is not what was signed \(changed: cxr/config.pbtxt\)",
    ),
    "file added": (lambda root: (root / "cxr/2/a.py").touch(), r"is not what was signed \(added: cxr/2/a.py\)"),
    "file removed": (lambda root: (root / "MLmodel").unlink(), r"is not what was signed \(removed: MLmodel\)"),
    "unsigned": (lambda root: (root / "model.sig").unlink(), "is not signed"),
    "gone": (shutil.rmtree, "it is no model repository"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_version_whose_files_are_not_what_was_signed_never_becomes_champion(shelf: Shelf, how: str) -> None:
    tamper, said = TAMPERED[how]
    shelf.add(1)
    tamper(shelf.add(2))
    with pytest.raises(IntegrityError, match=said):
        shelf.promote()
    assert shelf.aliases() == {"champion": "1", "challenger": "2"}


def test_a_rollback_to_altered_files_is_refused_too(shelf: Shelf) -> None:
    first = shelf.add(1)
    shelf.add(2)
    shelf.promote()
    (first / "cxr/1/model.onnx").write_bytes(b"x")
    with pytest.raises(IntegrityError, match="is not the graph"):
        shelf.rollback()
    assert shelf.aliases() == {"champion": "2", "champion-1": "1"}
    assert shelf.rollback(decision=Decision("Ada", "better than what is there", force=True)).champion == 1


def test_a_key_that_is_not_trusted_here_signs_no_champion(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(1)
    shelf.add(2)
    monkeypatch.setenv("SECONDREAD_TRUSTED_KEYS", str(make_key_pair(tmp_path / "hospital").path.with_suffix(".pub")))
    shelf.environment = Environment.read()
    with pytest.raises(IntegrityError, match="not trusted here"):
        shelf.promote()


def test_what_was_fetched_to_be_verified_is_not_kept(
    mlflow_uri: str,
    tiny_model: ModelFolder,
    swift: Any,
    store_root: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The home of a controller of rollouts is a small volume, and every version that is let in would stay there."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    environment = swift.environment(SECONDREAD_HOME=str(tmp_path / "home"))
    registry = Registry(mlflow_uri)
    registered = registry.register(
        tiny_model, name="cxr", root=store_root, tags={"gate.passed": "true"}, environment=environment
    )
    assert signer(registered, environment) == signing_key(environment.signing).public.name
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"keys"}
    assert list((tmp_path / "tmp").iterdir()) == []


def test_another_model_where_the_registry_says_it_lies_is_refused(shelf: Shelf) -> None:
    first, second = shelf.add(1), shelf.add(2)
    shutil.rmtree(second)
    shutil.copytree(first, second)
    with pytest.raises(IntegrityError, match="holds another model than version 2"):
        shelf.promote()


def test_an_unknown_version_is_named(shelf: Shelf) -> None:
    shelf.add(1)
    with pytest.raises(InputError, match="no model 'cxr' with version or alias 'challenger'"):
        shelf.promote()
    with pytest.raises(InputError, match="version or alias '9'"):
        shelf.promote("9")


def test_the_champion_stays_champion_and_nothing_is_written_down(shelf: Shelf) -> None:
    shelf.add(1)
    assert shelf.promote("champion") == Change("cxr", 1, 1, ())
    assert events(shelf.registry.record("cxr", "1").tags, of="it") == []


def test_mlflow_knows_inputs_and_outputs_of_a_version(
    shelf: Shelf, mlflow_uri: str, tiny_model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own reader of a registered model."""
    shelf.add(1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    info = mlflow.models.get_model_info("models:/cxr/1")
    assert [(item.name, item.type, item.shape) for item in info.signature.inputs] == [
        ("pixels", "uint8", (-1, 1, 32, 32))
    ]
    assert [(item.name, item.shape) for item in info.signature.outputs] == [
        ("probabilities", (-1, 3)),
        ("embedding", (-1, 8)),
        ("ood_score", (-1,)),
    ]
    assert info.flavors["onnx"]["data"] == "cxr/1/model.onnx"
    place = Path(shelf.registry.get("cxr", "1").storage_uri)
    assert "mlflow_version" not in (place / "MLmodel").read_text()  # which the next MLflow would write otherwise
    tags = shelf.registry.record("cxr", "1").tags
    assert json.loads(tags["signature.inputs"])[0]["name"] == "pixels"
    assert tags["signed_by"] == signing_key(shelf.environment.signing).public.name
