"""`secondread register`: key, register, list, promote, rollback, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.errors import GateRefused, InputError, IntegrityError
from secondread.model.folder import ModelFolder
from secondread.tracking.registry import Registry


def run(*arguments: str) -> str:
    """What a command prints; its error is raised."""
    return CliRunner().invoke(app, ["register", *arguments], catch_exceptions=False).stdout


def document(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def error(*arguments: str) -> Exception:
    found = CliRunner().invoke(app, ["register", *arguments]).exception
    assert isinstance(found, Exception)
    assert "\n" not in str(found)
    return found


@pytest.fixture
def two(tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two versions that were registered by hand; somebody made the first champion."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USER", "ada")
    made = []
    for number in (1, 2):
        folder = tmp_path / f"model-{number}"
        shutil.copytree(tiny_model.root, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "library_version": str(number)}))
        made.append(document("--model", str(folder), "--reason", "a look"))
        if number == 1:
            run("promote", "--force", "--reason", "there is no other")
    return made


def test_a_first_version_by_hand_is_no_champion_and_is_told_how_to_become_one(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    said = run("--model", str(tiny_model.root))
    assert "challenger" in said
    assert "register promote 1 --force --reason" in said
    assert isinstance(error("promote", "1", "--reason", "a look"), GateRefused)
    run("promote", "1", "--force", "--reason", "a look")
    assert "promote" not in run("--model", str(tiny_model.root))
    (event,) = document("list")[0]["events"]
    assert (event["reason"], "no gate has judged version 1" in event["despite"][0]) == ("a look", True)


def test_the_versions_are_shown_in_a_table(two: list[dict[str, Any]]) -> None:
    header, first, second = run("list").splitlines()
    for word in ("version", "aliases", "dataset version", "gate", "accuracy", "signature", "created"):
        assert word in header
    assert first.split()[:5] == ["1", "champion", "d" * 12, "not", "judged"]
    assert second.split()[:2] == ["2", "challenger"]
    assert "signed by" in first


def test_the_list_as_json_has_everything(two: list[dict[str, Any]]) -> None:
    first, second = document("list", "--verify")
    assert [first["version"], second["version"]] == [1, 2]
    assert (second["aliases"], second["gate_passed"], second["figures"]) == (["challenger"], None, {})
    assert second["digest"] == two[1]["digest"]
    assert second["verified"] is True
    assert second["tags"]["registered_by"] == "ada"
    assert document("list")[0]["verified"] is None


def test_the_lines_of_a_gate_are_told_apart_from_its_figures(two: list[dict[str, Any]]) -> None:
    client = Registry(Environment.read().mlflow_tracking_uri).client
    tags = {"gate.passed": "true", "gate.accuracy": "0.871", "gate.accuracy_above": "passed: it is above 0.7"}
    for name, text in tags.items():
        client.set_model_version_tag("secondread", "1", name, text)
    first = document("list")[0]
    assert first["gate_passed"] is True
    assert first["figures"] == {"accuracy": 0.871}
    assert first["gate_lines"] == {"accuracy_above": "passed: it is above 0.7"}
    assert "0.871" in run("list")


def test_list_names_what_does_not_verify_and_ends_with_exit_code_2(two: list[dict[str, Any]]) -> None:
    Path(two[1]["storage_uri"], "model.sig").unlink()
    found = CliRunner().invoke(app, ["register", "list", "--verify"])
    assert isinstance(found.exception, IntegrityError)
    assert "version 2 of 'secondread': " in str(found.exception)
    assert "verified, " in found.stdout
    assert "not verified" in found.stdout


def test_nothing_registered_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    assert run("list", "--name", "eye") == "no version of 'eye' is registered\n"
    assert document("list", "--name", "eye") == []


def test_promote_needs_a_gate_and_force_overrules_it_with_a_reason(two: list[dict[str, Any]]) -> None:
    refused = error("promote", "--reason", "looks well")
    assert isinstance(refused, GateRefused)
    assert "no gate has judged version 2" in str(refused)
    assert [item["aliases"] for item in document("list")] == [["champion"], ["challenger"]]
    change = document("promote", "--force", "--reason", "the only one that reads children")
    assert (change["champion"], change["before"], change["targets"]) == (2, 1, [1])
    (event,) = document("list")[1]["events"]
    assert (event["actor"], event["reason"]) == ("ada", "the only one that reads children")
    assert "no gate has judged" in event["despite"][0]


def test_rollback_puts_the_champion_of_before_back(two: list[dict[str, Any]]) -> None:
    run("promote", "2", "--force", "--reason", "a try")
    assert run("rollback", "--reason", "it was none").split("\n")[:2] == ["champion  version 1", "before    version 2"]
    assert [item["aliases"] for item in document("list")] == [["champion"], []]
    assert isinstance(error("rollback", "--reason", "once more"), InputError)


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_nobody_becomes_champion_without_a_reason(two: list[dict[str, Any]], command: str) -> None:
    assert isinstance(error(command, "--reason", " "), InputError)
    missing = CliRunner().invoke(app, ["register", command])
    assert missing.exit_code == 2


def test_without_a_model_it_says_what_is_missing() -> None:
    assert "register needs --model" in str(error())


def test_a_key_pair_is_made_and_its_private_half_never_printed(tmp_path: Path) -> None:
    said = run("key", "--output", str(tmp_path / "keys"))
    private = tmp_path / "keys" / "model-signing.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert str(private) in said
    assert "SECONDREAD_TRUSTED_KEYS" in said
    assert not any(line in said for line in private.read_text().splitlines())
    assert isinstance(error("key", "--output", str(tmp_path / "keys")), InputError)


def test_a_hospitals_own_key_is_used_and_required(
    tiny_model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SECONDREAD_SIGNING_KEY_FILE", str(tmp_path / "keys" / "model-signing.key"))
    refused = error("--model", str(tiny_model.root))
    assert isinstance(refused, InputError)
    assert "is not there" in str(refused)
    made = document("key", "--output", str(tmp_path / "keys"))
    assert document("--model", str(tiny_model.root))["version"] == 1
    assert document("list", "--verify")[0]["signed_by"] == made["key"]
    assert not (tmp_path / "home" / "keys").exists()


def test_serve_refuses_an_altered_model_with_one_line_and_exit_code_2(two: list[dict[str, Any]]) -> None:
    config = Path(two[0]["storage_uri"], "secondread/1/config.json")
    config.write_text(config.read_text().replace('"out_of_distribution": 0.9', '"out_of_distribution": 9.9'))
    command = [sys.executable, "-m", "secondread", "serve", "--http-port", "0", "--grpc-port", "0"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert "is not what was signed (changed: secondread/1/config.json)" in line
