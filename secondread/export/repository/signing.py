"""A signature over every file of a folder, and its check: no network, no service, one key.

`model.sig` lies in the folder that it signs. It is a Sigstore bundle with an in-toto statement that names each file by
its SHA-256, as OpenSSF's model-signing writes it, so `model_signing verify key` reads it too. A file that was changed,
added or removed is found; so is one that is a link.

Source: OpenSSF Model Signing specification v1.0, https://github.com/ossf/model-signing-spec.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from secondread.atomic import atomic_file
from secondread.errors import DependencyError, IntegrityError
from secondread.export.repository.signing_key import PublicKey, SigningKey, trusted_keys

SIGNATURE_FILE = "model.sig"
_HINT = ("verificationMaterial", "publicKey", "hint")  # where a bundle says which key signed it
# How the library says which files differ, to be said in fewer words: it adds both hashes, as bytes.
_SAID = {
    "changed:": r"Hash mismatch for '([^']*)'",
    "added:": r"Extra files found in model '[^']*': ([^\"\]\n]*)",
    "removed:": r"Missing files in model '[^']*': ([^\"\]\n]*)",
    "a link:": r"Cannot use '([^']*)' because it is a symlink",
}
_AGAIN = "Register the model again, or copy the repository again."


def sign_folder(folder: Path, key: SigningKey) -> None:
    """Sign what is in a folder now.

    Args:
        folder: complete.
        key: to sign with.
    Raises:
        IntegrityError: the folder holds a link.
        DependencyError: the package `model-signing` is not installed.
    """
    hashing, _, signing = _library()
    folder = folder.resolve()
    config = signing.Config().use_elliptic_key_signer(private_key=key.path).set_hashing_config(_files(hashing))
    with tempfile.TemporaryDirectory(prefix="secondread-signing-") as aside:  # beside the files it would be signed too
        signature = Path(aside, SIGNATURE_FILE)
        try:
            config.sign(folder, signature)
        except ValueError as error:
            reason = _differences(str(error)) or " ".join(str(error).split())
            raise IntegrityError(f"{folder} cannot be signed ({reason}). Replace links by files.") from error
        with atomic_file(folder / SIGNATURE_FILE) as place:
            shutil.copyfile(signature, place)


def verify_folder(folder: Path, trusted: Path) -> PublicKey:
    """Check that a folder holds exactly what somebody signed whom we trust.

    Args:
        folder: with its `model.sig`.
        trusted: a public key, or a folder of such keys.
    Returns:
        The key that signed it.
    Raises:
        IntegrityError: it is not signed, was signed with another key, or is not what was signed.
        InputError: there is no public key to check it with.
        DependencyError: the package `model-signing` is not installed.
    """
    keys = trusted_keys(trusted)
    folder = folder.resolve()
    if not (folder / SIGNATURE_FILE).is_file():
        raise IntegrityError(f"{folder} is not signed: it has no {SIGNATURE_FILE}, and is not used. {_AGAIN}")
    signer = _signer(folder / SIGNATURE_FILE)
    if signer not in keys:
        known = ", ".join(key.name for key in keys.values())
        raise IntegrityError(
            f"{folder} was signed with key {signer[:16]}, which is not trusted here ({trusted} holds {known}). "
            "Register the model again with a trusted key, or trust that one too, if it is yours."
        )
    _check(folder, keys[signer])
    return keys[signer]


def is_signed_with(folder: Path, key: PublicKey) -> bool:
    """Whether a folder holds exactly what a key signed."""
    try:
        if _signer(folder / SIGNATURE_FILE) != key.fingerprint:
            return False
        _check(folder.resolve(), key)
    except IntegrityError:
        return False
    return True


def _check(folder: Path, key: PublicKey) -> None:
    from cryptography.exceptions import InvalidSignature

    hashing, verifying, _ = _library()
    with _as_file(key) as public:
        config = verifying.Config().use_elliptic_key_verifier(public_key=public).set_hashing_config(_files(hashing))
        try:
            config.verify(folder, folder / SIGNATURE_FILE)
        except InvalidSignature as error:
            raise IntegrityError(
                f"{folder / SIGNATURE_FILE} was altered: it is not what key {key.name} signed. {_AGAIN}"
            ) from error
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            differences = _differences(str(error))
            if not differences:
                raise IntegrityError(f"{folder / SIGNATURE_FILE} is damaged. {_AGAIN}") from error
            raise IntegrityError(f"{folder} is not what was signed ({differences}). {_AGAIN}") from error


def _signer(signature: Path) -> str:
    """Fingerprint of the key that a signature says it is of; whether it is, is another question.

    Raises:
        IntegrityError: it is no such signature.
    """
    try:
        found: Any = json.loads(signature.read_text(encoding="utf-8"))
        for name in _HINT:
            found = found[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{signature} is no signature of a model. {_AGAIN}") from error
    return str(found)


def _files(hashing: Any) -> Any:
    """Every file by its SHA-256, hidden ones and git's too; the signature itself left out."""
    return hashing.Config().set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)


@contextlib.contextmanager
def _as_file(key: PublicKey) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(suffix=".pub") as file:
        file.write(key.pem)
        file.flush()
        yield Path(file.name)


def _differences(said: str) -> str:
    """Which files the library holds against a folder, as a part of a sentence; empty if it speaks of the signature."""
    plain = _without_quoting(said)
    found = [(word, match) for word, pattern in _SAID.items() for match in re.findall(pattern, plain)]
    return "; ".join(f"{word} {name}" for word, name in found)


def _without_quoting(said: str) -> str:
    """The library's sentences. It gives them as a list's `repr`, which quotes them by the digests that are in them."""
    try:
        sentences = ast.literal_eval(said[said.index("[") :])
    except (ValueError, SyntaxError):
        return said
    return "\n".join(map(str, sentences)) if isinstance(sentences, list) else said


def _library() -> tuple[Any, Any, Any]:
    """The package's modules: importing them takes a second, of which commands that sign nothing should know nothing."""
    try:
        from model_signing import hashing, signing, verifying
    except ModuleNotFoundError as missing:
        raise DependencyError(
            f"models are signed and verified with '{missing.name}', which is not installed: "
            "pip install 'secondread[sign]'."
        ) from missing
    return hashing, verifying, signing
