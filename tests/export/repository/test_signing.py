"""A signed folder: what was changed, added, removed, never signed, or signed by somebody else is refused."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from secondread.errors import InputError, IntegrityError
from secondread.export.repository.signing import SIGNATURE_FILE, is_signed_with, sign_folder, verify_folder
from secondread.export.repository.signing_key import SigningKey, make_key_pair


def append(path: Path, data: bytes = b" ") -> None:
    path.write_bytes(path.read_bytes() + data)


TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "graph": (lambda root: append(root / "chest/1/model.onnx"), r"changed: chest/1/model\.onnx"),
    "configuration": (lambda root: append(root / "chest/1/config.json"), r"changed: chest/1/config\.json"),
    "Triton's configuration": (lambda root: append(root / "chest/config.pbtxt"), r"changed: chest/config\.pbtxt"),
    "file added": (lambda root: (root / "chest/1/more.onnx").touch(), r"added: chest/1/more\.onnx"),
    "hidden file added": (lambda root: (root / ".gitattributes").touch(), r"added: \.gitattributes"),
    "model added": (lambda root: shutil.copytree(root / "chest", root / "chest-x"), r"added: chest-x/1/config\.json"),
    "file removed": (lambda root: (root / "chest/1/config.json").unlink(), r"removed: chest/1/config\.json"),
    "file moved": (
        lambda root: (root / "chest/1").rename(root / "chest/2"),
        r"added: chest/2/.*removed: chest/1/",
    ),
    "link": (lambda root: (root / "chest/link").symlink_to(root / "chest/1/model.onnx"), r"a link: .*chest/link"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_folder_that_was_altered_is_refused_and_the_difference_named(signed: Path, trusted: Path, how: str) -> None:
    tamper, said = TAMPERED[how]
    verify_folder(signed, trusted)
    tamper(signed)
    with pytest.raises(IntegrityError, match=rf"is not what was signed \({said}") as refused:
        verify_folder(signed, trusted)
    assert "\n" not in str(refused.value)
    assert "Digest(" not in str(refused.value)


@pytest.mark.parametrize("number", range(12))
def test_the_difference_is_named_whatever_the_digests_are(
    signed: Path, signer: SigningKey, trusted: Path, number: int
) -> None:
    """The library quotes what it says by the bytes of the digests in it."""
    (signed / SIGNATURE_FILE).unlink()
    append(signed / "chest/1/config.json", b"\n" * number)
    sign_folder(signed, signer)
    append(signed / "chest/1/config.json")
    with pytest.raises(IntegrityError, match=r"is not what was signed \(changed: chest/1/config\.json\)"):
        verify_folder(signed, trusted)


def test_a_folder_without_a_signature_is_refused(signed: Path, trusted: Path) -> None:
    (signed / SIGNATURE_FILE).unlink()
    with pytest.raises(IntegrityError, match=r"is not signed: it has no model\.sig, and is not used"):
        verify_folder(signed, trusted)


def test_a_signature_of_another_key_is_refused_and_both_are_named(
    signed: Path, signer: SigningKey, tmp_path: Path
) -> None:
    other = make_key_pair(tmp_path / "other")
    with pytest.raises(IntegrityError, match=rf"signed with key {signer.public.name}.*holds {other.public.name}"):
        verify_folder(signed, tmp_path / "other")


def test_a_signature_that_only_names_a_trusted_key_is_refused(signed: Path, trusted: Path, tmp_path: Path) -> None:
    """Whoever has no private key can write any hint."""
    hint = json.loads((signed / SIGNATURE_FILE).read_text())["verificationMaterial"]
    append(signed / "chest/1/model.onnx")
    sign_folder(signed, make_key_pair(tmp_path / "other"))
    forged = json.loads((signed / SIGNATURE_FILE).read_text())
    (signed / SIGNATURE_FILE).write_text(json.dumps({**forged, "verificationMaterial": hint}))
    with pytest.raises(IntegrityError, match=r"model\.sig was altered: it is not what key \w+ signed"):
        verify_folder(signed, trusted)


def test_a_statement_that_was_shortened_is_refused(signed: Path, trusted: Path) -> None:
    bundle = json.loads((signed / SIGNATURE_FILE).read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"]["resources"].pop()
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (signed / SIGNATURE_FILE).write_text(json.dumps(bundle))
    with pytest.raises(IntegrityError, match="was altered"):
        verify_folder(signed, trusted)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"verificationMaterial": 3}'])
def test_what_is_no_signature_is_refused(signed: Path, trusted: Path, text: str) -> None:
    (signed / SIGNATURE_FILE).write_text(text)
    with pytest.raises(IntegrityError, match=r"model\.sig is no signature of a model"):
        verify_folder(signed, trusted)


def test_half_a_signature_is_refused(signed: Path, trusted: Path) -> None:
    bundle = json.loads((signed / SIGNATURE_FILE).read_text())
    (signed / SIGNATURE_FILE).write_text(json.dumps({**bundle, "dsseEnvelope": {}}))
    with pytest.raises(IntegrityError, match=r"model\.sig is damaged"):
        verify_folder(signed, trusted)


def test_without_any_public_key_nothing_is_taken_for_good(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no public key to verify models with: .*none\.pub is not there"):
        verify_folder(signed, tmp_path / "none.pub")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \*\.pub"):
        verify_folder(signed, tmp_path / "empty")


def test_several_keys_may_be_trusted_while_one_replaces_the_other(
    signed: Path, signer: SigningKey, tmp_path: Path
) -> None:
    both = tmp_path / "both"
    make_key_pair(both, name="new")
    (both / "old.pub").write_bytes(signer.public.pem)
    assert verify_folder(signed, both) == signer.public
    (both / "old.pub").unlink()
    with pytest.raises(IntegrityError, match="not trusted here"):
        verify_folder(signed, both)


def test_signing_again_after_a_change_makes_it_whole(signed: Path, signer: SigningKey, trusted: Path) -> None:
    append(signed / "chest/1/model.onnx")
    assert not is_signed_with(signed, signer.public)
    sign_folder(signed, signer)
    assert is_signed_with(signed, signer.public)
    assert verify_folder(signed, trusted) == signer.public
    assert not [path for path in signed.rglob("*") if path.name.startswith(".")]


def test_a_folder_may_be_moved_and_renamed(signed: Path, trusted: Path, tmp_path: Path) -> None:
    """KServe mounts it as /mnt/models."""
    verify_folder(shutil.copytree(signed, tmp_path / "mnt"), trusted)


def test_the_signature_is_one_over_the_files_hashes_by_the_standard(signed: Path, trusted: Path) -> None:
    """Checked with cryptography and hashlib alone: DSSE's encoding, ECDSA on P-256."""
    from hashlib import sha256

    envelope = json.loads((signed / SIGNATURE_FILE).read_text())["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    key = load_pem_public_key(trusted.read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, encoded, ec.ECDSA(SHA256()))  # raises if it is not
    listed = {item["name"]: item["digest"] for item in json.loads(payload)["predicate"]["resources"]}
    files = [path for path in signed.rglob("*") if path.is_file() and path.name != SIGNATURE_FILE]
    assert listed == {path.relative_to(signed).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_librarys_own_command_verifies_it(signed: Path, trusted: Path) -> None:
    signature = str(signed / SIGNATURE_FILE)
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(signed)]
    command += ["--signature", signature, "--public_key", str(trusted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_network_is_asked(signed: Path, signer: SigningKey, trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    sign_folder(signed, signer)
    verify_folder(signed, trusted)


def test_what_signs_is_loaded_only_by_who_signs_or_verifies() -> None:
    users = ("export.repository.signing", "export.repository.opened", "serving.predict", "cli.main")
    modules = ", ".join(f"secondread.{each}" for each in users)
    code = f"import sys, {modules}; print('model_signing' in sys.modules, 'sigstore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False False\n", done.stderr
