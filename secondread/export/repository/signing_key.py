"""The keys that models are signed with: elliptic curve P-256, PEM, one file each, without a password.

model-signing.key   private, readable by its owner alone; never in the repository, in a log or in a pod that serves
model-signing.pub   public; whoever verifies names it
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.config.signing import KEY_NAME, SigningSettings
from secondread.errors import DependencyError, InputError

_SHOWN = 16  # hex digits of a fingerprint: enough to tell the keys of a team apart


@dataclass(frozen=True)
class PublicKey:
    """One public key.

    Attributes:
        pem: SubjectPublicKeyInfo, PEM.
        fingerprint: SHA-256 of `pem`, hex; signatures name it as their hint.
    """

    pem: bytes
    fingerprint: str

    @property
    def name(self) -> str:
        """The start of the fingerprint, for people."""
        return self.fingerprint[:_SHOWN]


@dataclass(frozen=True)
class SigningKey:
    """A private key that can be read, by its file, and the public key that belongs to it."""

    path: Path
    public: PublicKey


def signing_key(settings: SigningSettings) -> SigningKey:
    """The key to sign with. Where none was named, one is made on first use.

    Raises:
        InputError: the named key is not there, or the file holds no such key.
        DependencyError: none is named in a pod, which would lose one that is made.
    """
    path = settings.key_file
    if not path.is_file():
        if settings.named:
            raise InputError(
                f"the signing key {path} is not there. Put the private key into that file (a Secret that is mounted, "
                "on a cluster), or make a pair with `secondread register key`."
            )
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            raise DependencyError(
                "no key to sign the model with, and a pod would lose a new one. Mount one and set "
                "SECONDREAD_SIGNING_KEY_FILE."
            )
        make_key_pair(path.parent, name=path.stem, may_exist=True)
    key = SigningKey(path, _public(_load_private(path)))
    if not settings.named:
        _write_public(key.public, path.with_suffix(".pub"))  # a process may have been cut between the two files
    return key


def make_key_pair(folder: Path, *, name: str = KEY_NAME, may_exist: bool = False) -> SigningKey:
    """Make a key pair.

    Args:
        folder: that gets `<name>.key` and `<name>.pub`.
        name: of both files.
        may_exist: keep a private key that is there, such as one that another process makes just now.
    Raises:
        InputError: there is a key of that name, or the folder cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = folder / f"{name}.key"
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(path, pem)
    except FileExistsError as error:
        if not may_exist:
            raise InputError(
                f"{path} is there already, and what it signed could not be verified any more without it. Choose "
                "another folder, or move it away."
            ) from error
    except OSError as error:
        raise _unusable(path, error) from error
    key = SigningKey(path, _public(_load_private(path)))
    _write_public(key.public, path.with_suffix(".pub"))
    return key


def trusted_keys(path: Path) -> Mapping[str, PublicKey]:
    """The public keys whose signatures count, by fingerprint.

    Args:
        path: a public key, or a folder whose `*.pub` all count.
    Raises:
        InputError: there is none, or a file holds none.
    """
    files = sorted(path.glob("*.pub")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise InputError(
            f"no public key to verify models with: {path} {'holds no *.pub' if path.is_dir() else 'is not there'}. Set "
            "SECONDREAD_TRUSTED_KEYS to the public key of whoever signs, or to a folder of such keys."
        )
    found = [_load_public(file) for file in files]
    return {key.fingerprint: key for key in found}


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read: whole, and only where there is none.

    Raises:
        FileExistsError: there is one.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        os.link(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _write_public(key: PublicKey, path: Path) -> None:
    """Have the public key beside the private one."""
    try:
        if not path.is_file() or path.read_bytes() != key.pem:
            path.write_bytes(key.pem)
    except OSError as error:
        raise _unusable(path, error) from error


def _load_private(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = _read(path)
    with contextlib.suppress(ValueError, TypeError):  # no PEM, of another kind, or behind a password
        found = serialization.load_pem_private_key(data, None)
        if isinstance(found, ec.EllipticCurvePrivateKey) and isinstance(found.curve, ec.SECP256R1):
            return found
    raise InputError(
        f"{path} holds no private key of the curve P-256 without a password, as PEM. Make a pair with "
        "`secondread register key`."
    )


def _load_public(path: Path) -> PublicKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise InputError(f"{path} holds a private key, which belongs to whoever signs. Name the public one, *.pub.")
    with contextlib.suppress(ValueError):
        found = serialization.load_pem_public_key(data)
        if isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP256R1):
            return _as_pem(found)
    raise InputError(
        f"{path} holds no public key of the curve P-256, as PEM. Name what `secondread register key` made."
    )


def _public(private: Any) -> PublicKey:
    return _as_pem(private.public_key())


def _as_pem(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives import serialization

    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(pem, hashlib.sha256(pem).hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> InputError:
    return InputError(f"the key {path} cannot be used ({error.strerror}). Name another file, or let it be read.")
