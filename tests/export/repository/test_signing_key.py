"""Keys: made once, readable by their owner alone, never replaced in silence, and named by a fingerprint."""

from __future__ import annotations

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from secondread.config.environment import Environment
from secondread.config.signing import SigningSettings
from secondread.errors import DependencyError, InputError
from secondread.export.repository.signing_key import make_key_pair, signing_key, trusted_keys


def test_by_default_a_key_is_made_on_first_use_and_kept(tmp_path: Path) -> None:
    settings = SigningSettings.read({}, tmp_path)
    first = signing_key(settings)
    assert first.path == tmp_path / "keys" / "model-signing.key"
    assert signing_key(settings) == first
    assert list(trusted_keys(settings.trusted)) == [first.public.fingerprint]
    assert sorted(path.name for path in first.path.parent.iterdir()) == ["model-signing.key", "model-signing.pub"]


def test_the_private_key_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = make_key_pair(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600


def test_a_key_that_was_named_must_be_there(tmp_path: Path) -> None:
    """A Secret that was not mounted makes no new signer."""
    settings = SigningSettings.read({"SECONDREAD_SIGNING_KEY_FILE": str(tmp_path / "hospital.key")}, tmp_path)
    with pytest.raises(InputError, match=r"the signing key .*hospital\.key is not there.*`secondread register key`"):
        signing_key(settings)
    assert not list(tmp_path.iterdir())


def test_a_pod_makes_no_key_that_it_would_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(DependencyError, match=r"a pod would lose a new one.*SECONDREAD_SIGNING_KEY_FILE"):
        signing_key(SigningSettings.read({}, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    before = make_key_pair(tmp_path).path.read_bytes()
    with pytest.raises(InputError, match=r"model-signing\.key is there already"):
        make_key_pair(tmp_path)
    assert (tmp_path / "model-signing.key").read_bytes() == before


def test_several_who_begin_at_once_use_one_key(tmp_path: Path) -> None:
    settings = SigningSettings.read({}, tmp_path)
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: signing_key(settings), range(8)))
    assert len({key.public.fingerprint for key in keys}) == 1
    assert list(trusted_keys(settings.trusted)) == [keys[0].public.fingerprint]


def test_a_public_key_that_was_lost_is_written_again(tmp_path: Path) -> None:
    settings = SigningSettings.read({}, tmp_path)
    key = signing_key(settings)
    settings.trusted.unlink()
    signing_key(settings)
    assert list(trusted_keys(settings.trusted)) == [key.public.fingerprint]


def test_openssl_reads_both(tmp_path: Path) -> None:
    key = make_key_pair(tmp_path)
    done = subprocess.run(["openssl", "pkey", "-in", key.path, "-pubout"], capture_output=True, check=True)
    assert done.stdout == key.public.pem == key.path.with_suffix(".pub").read_bytes()


def test_the_private_key_is_not_taken_for_the_public_one(tmp_path: Path) -> None:
    key = make_key_pair(tmp_path)
    with pytest.raises(InputError, match="holds a private key, which belongs to whoever signs"):
        trusted_keys(key.path)


@pytest.mark.parametrize("text", ["", "secret", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_said_without_its_content(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.key").write_text(text)
    settings = SigningSettings.read({"SECONDREAD_SIGNING_KEY_FILE": str(tmp_path / "x.key")}, tmp_path)
    with pytest.raises(InputError, match=r"x\.key holds no private key of the curve P-256") as refused:
        signing_key(settings)
    assert not text or text not in str(refused.value)
    with pytest.raises(InputError, match=r"x\.key holds no public key"):
        trusted_keys(tmp_path / "x.key")


def test_the_environment_names_files_and_no_key_is_in_what_it_shows(tmp_path: Path) -> None:
    key = make_key_pair(tmp_path)
    variables = {"SECONDREAD_SIGNING_KEY_FILE": str(key.path), "SECONDREAD_HOME": str(tmp_path)}
    environment = Environment.read(variables)
    assert environment.signing == SigningSettings(key.path, True, key.path.with_suffix(".pub"))
    assert key.path.read_text().splitlines()[1] not in repr(environment) + repr(signing_key(environment.signing))
    elsewhere = Environment.read({**variables, "SECONDREAD_TRUSTED_KEYS": "/etc/secondread/keys"})
    assert elsewhere.signing.trusted == Path("/etc/secondread/keys")


def test_a_public_key_is_no_signing_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="named like a public key"):
        Environment.read({"SECONDREAD_SIGNING_KEY_FILE": str(tmp_path / "a.pub")})
