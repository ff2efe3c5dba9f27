"""Which code runs: told by the image, else by the checkout."""

import subprocess
from pathlib import Path

import pytest

from secondread.config.environment import Environment
from secondread.errors import IntegrityError
from secondread.pipeline.code import check_code, code_fingerprint, git_revision

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
    check_code(code_fingerprint())
    check_code("")


def test_other_code_says_what_to_do() -> None:
    with pytest.raises(IntegrityError, match=r"different versions: .*Build the image from the client's sources"):
        check_code("0" * 64)
