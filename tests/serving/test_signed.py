"""Nothing gets ready that a trusted key has not signed, as it lies there: on a laptop, and in the pod's container."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.serve import ServeConfig
from secondread.errors import InputError, IntegrityError
from secondread.export.repository.signing_key import make_key_pair
from secondread.serving.front.server import run_transformer
from secondread.serving.local.serve import serve

ROOT = Path(__file__).resolve().parents[2]

# What `config.json` alone cannot tell: the graph's own hash in it still fits.
TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "threshold": (
        lambda root: change_config(root / "secondread/3/config.json"),
        r"is not what was signed (changed: secondread/3/config.json)",
    ),
    "Triton's configuration": (
        lambda root: (root / "secondread/config.pbtxt").write_text('name: "secondread"'),
        "is not what was signed (changed: secondread/config.pbtxt)",
    ),
    "graph and its hash": (
        lambda root: change_graph(root / "secondread/3"),
        "is not what was signed (changed: secondread/3/config.json; changed: secondread/3/model.onnx)",
    ),
    "file added": (
        lambda root: (root / "secondread/3/model.py").write_text("import os"),
        "is not what was signed (added: secondread/3/model.py)",
    ),
    "newer version added": (
        lambda root: shutil.copytree(root / "secondread/3", root / "secondread/4"),
        "is not what was signed (added: secondread/4/config.json, secondread/4/model.onnx)",
    ),
    "unsigned": (lambda root: (root / "model.sig").unlink(), "is not signed: it has no model.sig, and is not used"),
}


def change_config(path: Path) -> None:
    document = json.loads(path.read_text())
    document["thresholds"]["out_of_distribution"] = 1e9
    path.write_text(json.dumps(document))


def change_graph(version: Path) -> None:
    from hashlib import sha256

    graph = (version / "model.onnx").read_bytes() + b"\0"
    (version / "model.onnx").write_bytes(graph)
    document = json.loads((version / "config.json").read_text())
    (version / "config.json").write_text(json.dumps({**document, "graph_sha256": sha256(graph).hexdigest()}))


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """The signed repository, to be tampered with."""
    return shutil.copytree(repository, tmp_path / "models")


def listened(_: object) -> None:
    raise AssertionError("it opened its ports")


@pytest.mark.parametrize("how", TAMPERED)
def test_an_altered_repository_opens_no_port_and_starts_no_triton(copy: Path, trusted: Path, how: str) -> None:
    tamper, said = TAMPERED[how]
    tamper(copy)
    config = ServeConfig(http_port=0, grpc_port=0)
    with pytest.raises(IntegrityError) as refused:
        run_transformer(copy, "127.0.0.1:1", config, trusted=trusted, on_listening=listened)
    assert said in str(refused.value)
    with pytest.raises(IntegrityError) as refused:
        serve(copy, config, home=Path("/nowhere"), trusted=trusted, on_ready=listened)
    assert said in str(refused.value)


def in_the_pod(copy: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and last line of the transformer's container, on a repository that it must refuse."""
    command = [sys.executable, "-m", "secondread.serving", "--model-dir", str(copy), "--http-port=0", "--grpc-port=0"]
    done = subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done.returncode, done.stderr


def test_the_pods_container_ends_with_one_line_and_exit_code_2(copy: Path, trusted: Path) -> None:
    (copy / "secondread/3/more").touch()
    code, said = in_the_pod(copy, "--trusted-keys", str(trusted))
    assert code == 2
    assert "is not what was signed (added: secondread/3/more)" in said


def test_the_pods_container_trusts_no_other_key(copy: Path, tmp_path: Path) -> None:
    make_key_pair(tmp_path / "other")
    code, said = in_the_pod(copy, f"--trusted-keys={tmp_path / 'other'}")
    assert code == 2
    assert "which is not trusted here" in said


def test_without_a_public_key_nothing_is_served(copy: Path, tmp_path: Path) -> None:
    """Neither in the pod, where no key was mounted, nor here."""
    code, said = in_the_pod(copy, f"--trusted-keys={tmp_path / 'nothing.pub'}")
    assert code == 2
    assert "no public key to verify models with" in said
    with pytest.raises(InputError, match="no public key to verify models with"):
        serve(copy, ServeConfig(http_port=0, grpc_port=0), home=Path("/nowhere"), trusted=tmp_path / "nothing.pub")


def test_the_log_names_the_key_that_signed_what_is_served(served, signer) -> None:
    assert f"is what key {signer.public.name} signed" in served.log.read_text()
