"""A signed model repository where others find it: in a folder, or in an object store, whole or not at all.

    <root>/<name>/<digest>/...           the repository, named after what is in it
    <root>/<name>/<digest>/model.sig     the signature, stored last: without it nobody uses the rest

What is there already is not sent again, so delivering twice costs a few questions. A repository that stands, signed by
whom we trust and with the version, may be the one that is served: nothing of it is written but, for a new key, its
signature. Another library or MLflow would write other files, and until its signature came no pod could start.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from secondread.atomic import atomic_file, sha256_bytes
from secondread.config.environment import Environment
from secondread.data.store.open import is_stored, open_object_store
from secondread.data.store.publish import in_parallel
from secondread.data.store.store import ObjectStore, Stored
from secondread.errors import InputError, IntegrityError
from secondread.export.repository.drift_reference import drift_reference
from secondread.export.repository.layout import holds_version, verify_repository, write_repository
from secondread.export.repository.signing import SIGNATURE_FILE, is_signed_with, sign_folder
from secondread.export.repository.signing_key import PublicKey, SigningKey, trusted_keys
from secondread.model.folder import ModelFolder
from secondread.monitoring.answers import REFERENCE_FILE, encode_answers

_MOST_FILES = 1_000  # of one repository, which has at most four for each version and graph


@dataclass(frozen=True)
class Delivered:
    """What delivering did.

    Attributes:
        uri: of the repository.
        sent: objects that were sent, or files that were written, now; the signature counts.
    """

    uri: str
    sent: int


def repository_uri(root: str | Path, name: str, digest: str) -> str:
    """Where the repository of a model lies: `<root>/<name>/<digest>`."""
    place = str(root).rstrip("/") if is_stored(str(root)) else str(Path(root).resolve())
    return f"{place}/{name}/{digest}"


def deliver(
    model: ModelFolder,
    root: str | Path,
    *,
    name: str,
    version: int,
    key: SigningKey,
    environment: Environment,
    further: Mapping[str, str] | None = None,
) -> Delivered:
    """Write a model's repository, sign it, and have it below a root.

    Args:
        model: with the graph to serve.
        root: folder, or `s3://bucket/prefix` or `swift://container/prefix`.
        name: of the model, as in the inference API.
        version: number of the version in the registry, from 1.
        key: to sign it with.
        environment: endpoints and credentials.
        further: text of further files of the repository, by name; they are signed too.
    Raises:
        InputError: the root cannot be written, or the store refuses.
        IntegrityError: the graph does not run, or something that is no part of the repository lies there.
        DependencyError: the store does not answer.
    """
    uri, digest = repository_uri(root, name, model.digest()), model.digest()

    def stands(folder: Path) -> bool:
        signed = any(is_signed_with(folder, each) for each in _trusted(key, environment))
        return signed and holds_version(folder, name, version=version, digest=digest)

    if not is_stored(uri):
        folder = Path(root, name, digest)
        if stands(folder):
            return Delivered(uri, int(_sign_anew(folder, key)))
        return Delivered(uri, _signed(model, Path(root), name, [version], key, further or {}))
    store = open_object_store(uri, environment)
    with tempfile.TemporaryDirectory(prefix="secondread-deliver-") as aside:
        there = {item.key for item in store.objects("", at_most=_MOST_FILES)}
        versions = sorted({version, *_versions(there, name)})
        folder, held = Path(aside, name, digest), Path(aside, "held")
        signature = store.read(SIGNATURE_FILE) if SIGNATURE_FILE in there else None
        _signed(model, Path(aside), name, versions, key, further or {}, signature=signature)
        if signature is not None and _fetch(store, there, held, like=folder) and stands(held):
            return Delivered(uri, int(_sign_anew(held, key) and _send_one(held / SIGNATURE_FILE, held, store)))
        return Delivered(uri, _send(folder, store))


def _trusted(key: SigningKey, environment: Environment) -> list[PublicKey]:
    """Whose signatures count: the key's own, and those of whoever serves, where this machine has them."""
    with contextlib.suppress(InputError):
        return [key.public, *trusted_keys(environment.signing.trusted).values()]
    return [key.public]


def _sign_anew(folder: Path, key: SigningKey) -> bool:
    """Sign what stands with this key, if another one did; whether it was."""
    if is_signed_with(folder, key.public):
        return False
    sign_folder(folder, key)
    return True


def _fetch(store: ObjectStore, keys: set[str], folder: Path, *, like: Path) -> bool:
    """Have what a store holds in a folder; what is the same here is not asked for again. Whether all of it is there."""
    for key in keys:
        if {"", ".", ".."} & set(key.split("/")):
            return False
        ours, place = like / key, folder / key
        data = ours.read_bytes() if ours.is_file() else None
        if data is None or store.stat(key) != Stored(len(data), sha256_bytes(data)):
            data = store.read(key)
        if data is None:  # removed meanwhile
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return True


def _signed(
    model: ModelFolder,
    root: Path,
    name: str,
    versions: list[int],
    key: SigningKey,
    further: Mapping[str, str],
    *,
    signature: bytes | None = None,
) -> int:
    """Have the repository in a folder, with a signature of this key; how many files changed.

    A signature that fits stays, also one that is known from elsewhere: each new one differs, and would be sent for
    nothing.
    """
    before = _state(root / name / model.digest())
    for version in versions:
        folder = write_repository(model, root, name=name, version=version)
    files = {file: text.encode() for file, text in further.items()}
    if (reference := drift_reference(model)) is not None:
        files |= {f"{name}/{version}/{REFERENCE_FILE}": encode_answers(reference) for version in versions}
    for file, data in files.items():
        if not (folder / file).is_file() or (folder / file).read_bytes() != data:
            with atomic_file(folder / file) as aside:
                aside.write_bytes(data)
    if signature is not None:
        (folder / SIGNATURE_FILE).write_bytes(signature)
    if not is_signed_with(folder, key.public):
        sign_folder(folder, key)
    verify_repository(folder)
    return len(_state(folder).items() - before.items())


def _state(folder: Path) -> dict[Path, int]:
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _versions(keys: set[str], name: str) -> set[int]:
    """Numbers under which a store has this model already: all hold the same, and the signature covers them all."""
    parts = (key.split("/") for key in keys)
    return {int(part[1]) for part in parts if len(part) == 3 and part[0] == name and part[1].isdecimal()}


def _send(folder: Path, store: ObjectStore) -> int:
    """Send what is not there, the signature last; how many objects."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SIGNATURE_FILE)
    sent = sum(in_parallel(files, lambda path: _send_one(path, folder, store)))
    there = {item.key for item in store.objects("", at_most=_MOST_FILES)}
    others = there - {path.relative_to(folder).as_posix() for path in files} - {SIGNATURE_FILE}
    if others:
        raise IntegrityError(
            f"{store.uri} holds what is no part of the model ({', '.join(sorted(others)[:3])}), so that nobody would "
            "take it for what was signed. Remove it from the store, and register again."
        )
    return sent + _send_one(folder / SIGNATURE_FILE, folder, store)


def _send_one(path: Path, folder: Path, store: ObjectStore) -> bool:
    """Send a file, unless it is there; whether it was sent."""
    key, data = path.relative_to(folder).as_posix(), path.read_bytes()
    sha256 = sha256_bytes(data)
    if store.stat(key) == Stored(len(data), sha256):
        return False
    store.write(key, data, sha256=sha256)
    return True
