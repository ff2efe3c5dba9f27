"""Patient ids leave a source only as a keyed hash, so that a patient can be recognised again but not named.

Ingest and serving share one versioned key. Source: HMAC, RFC 2104, with SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from secondread.errors import InputError

_KEY_BYTES = 32
_LEAST_BYTES = 16  # 128 bits, as many as the hash keeps
_DIGEST_HEX = 32  # 128 bits: no two patients of any hospital meet by chance
_FINGERPRINT_HEX = 8  # 32 bits: enough to tell the few keys of a team apart
_FINGERPRINT_DOMAIN = b"secondread patient key fingerprint\0"  # so that it is the hash of nothing else


class PatientHasher:
    """Turns a patient id into `k<version>-<hash>`.

    Args:
        key: at least 16 bytes, kept secret.
        version: of the key, so that a new key can be told from the old one.
    Raises:
        InputError: the key is too short.
    """

    def __init__(self, key: bytes, *, version: int = 1) -> None:
        if len(key) < _LEAST_BYTES:
            raise InputError(
                f"the patient key has {len(key)} bytes; it needs at least {_LEAST_BYTES}. Write a longer one."
            )
        self._key = key
        self._version = version

    def hash(self, patient_id: str) -> str:
        """The keyed hash; empty stays empty, since that means not known."""
        if not patient_id:
            return ""
        digest = hmac.new(self._key, patient_id.encode(), hashlib.sha256).hexdigest()
        return f"k{self._version}-{digest[:_DIGEST_HEX]}"

    @property
    def fingerprint(self) -> str:
        """Tells this key from another one, and helps nobody to find it.

        It is the start of a SHA-256 over the key, which cannot be turned back, and to try keys is hopeless: one that is
        made here is 256 random bits. Whoever writes a guessable key of their own is betrayed by the hashes of known
        patients already.
        """
        return hashlib.sha256(_FINGERPRINT_DOMAIN + self._key).hexdigest()[:_FINGERPRINT_HEX]

    @classmethod
    def from_file(cls, path: Path) -> PatientHasher:
        """Use the key of a file; a new one, readable by its owner alone, is made where there is none.

        Raises:
            InputError: the file cannot be read or made, or its key is too short.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
            except FileExistsError:
                pass
            key = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"the patient key {path} cannot be used ({error.strerror}). Set SECONDREAD_PATIENT_KEY_FILE."
            ) from error
        if len(key) < _LEAST_BYTES:
            raise InputError(
                f"the patient key {path} has {len(key)} bytes; it needs at least {_LEAST_BYTES}. Write a longer one, "
                "or remove the file to have one made."
            )
        return cls(key)
