"""Which code runs: told by the image, else by the checkout."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

import secondread
from secondread.config.environment import Environment
from secondread.errors import IntegrityError
from secondread.pipeline import code
from secondread.pipeline.code import cached_code, check_code, code_fingerprint, git_revision

ROOT = Path(__file__).resolve().parents[2]


def test_an_image_knows_its_revision() -> None:
    assert git_revision(Environment.read({"SECONDREAD_REVISION": "c0ffee"})) == "c0ffee"


@pytest.mark.parametrize("variables", [{}, {"SECONDREAD_REVISION": "unknown"}], ids=["nothing said", "not known"])
def test_a_checkout_is_asked_for_its_revision(variables: dict[str, str]) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert git_revision(Environment.read(variables)).removesuffix("-dirty") == head.strip()


def test_without_a_checkout_or_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_revision(Environment.read({})) == ""


def test_the_same_code_may_work_for_a_client() -> None:
    check_code(cached_code(remote=True))
    check_code(cached_code(remote=False))
    check_code("")


def test_other_code_says_what_to_do() -> None:
    with pytest.raises(IntegrityError, match=r"different versions: .*Build the image from the client's sources"):
        check_code("0" * 64)


def test_other_codecs_are_another_key_here_but_not_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client need not have the image's packages, but what runs here is made by those that are installed here."""
    here, remote = cached_code(remote=False), cached_code(remote=True)
    assert remote == code_fingerprint()
    monkeypatch.setattr(code, "pixel_packages", lambda: {"pillow": "1.0"})
    assert cached_code(remote=True) == remote
    assert cached_code(remote=False) != here
    with pytest.raises(IntegrityError, match="packages that decode images have other versions here"):
        check_code(here)


def test_whatever_the_package_carries_is_code_but_for_what_only_a_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The behaviour tests that a gate goes by are YAML, a model card Markdown: with others no verdict is the same."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    carried = {
        path.relative_to(ROOT)
        for package, patterns in setup["options.package_data"].items()
        if package.startswith("secondread.")
        for pattern in patterns.split(",")
        for path in (ROOT / package.replace(".", "/")).glob(pattern.strip())
    }
    assert Path("secondread/evaluation/stress/behaviour.yaml") in carried
    shutil.copytree(ROOT / "secondread", tmp_path / "secondread", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(secondread, "__file__", str(tmp_path / "secondread" / "__init__.py"))
    known = {code_fingerprint()}
    for path in sorted(carried):
        with (tmp_path / path).open("a") as file:
            file.write("\n")
        if path.suffix != ".cc":
            assert code_fingerprint() not in known, path
        known.add(code_fingerprint())
