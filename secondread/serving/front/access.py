"""Who may ask: anybody, or whoever has one of the tokens in a file.

For a laptop or a bare pod. A cluster's gateway knows people by their names, and is the better place for it.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from pathlib import Path

from secondread.errors import InputError
from secondread.logging import get_logger

_MIN_CHARACTERS = 16  # shorter ones are guessed

log = get_logger(__name__)


class UnauthorizedError(InputError):
    """The request has no token, or a wrong one."""

    http_status = 401


class Access:
    """Checks tokens.

    A file that changes is read again, so that tokens come and go without a restart, as when a Secret is mounted. While
    it is missing or holds none, as when it is just being written, those that it held before count on.

    Args:
        token_file: a token a line; lines that are empty or begin with # count for nothing. Empty: anybody may ask.
    Raises:
        InputError: the file is missing, holds no token, or one that is too short; at the start alone.
    """

    def __init__(self, token_file: str) -> None:
        self._file = Path(token_file) if token_file else None
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._digests: list[bytes] = []
        self._said = ""
        if self._file is not None:
            self._read(self._file)

    def check(self, authorization: str | None) -> None:
        """Let a request in.

        Args:
            authorization: value of its header of that name.
        Raises:
            UnauthorizedError: it has no token that counts.
        """
        if self._file is None:
            return
        scheme, _, token = (authorization or "").partition(" ")
        given = _digest(token.strip())
        known = [hmac.compare_digest(given, digest) for digest in self._refresh()]  # all, however early one is found
        if scheme.lower() != "bearer" or not any(known):
            raise UnauthorizedError("this server wants a token: send the header 'Authorization: Bearer TOKEN'.")

    def _refresh(self) -> list[bytes]:
        """Digests of the tokens, of the file as it is now."""
        if self._file is None:
            return []
        with self._lock:
            try:
                self._read(self._file)
                self._said = ""
            except InputError as error:
                if str(error) != self._said:  # once, and not to whoever asks
                    log.error("the tokens that were read before count on: %s", error)
                self._said = str(error)
            return self._digests

    def _read(self, file: Path) -> None:
        try:
            about = file.stat()
        except OSError as error:
            raise _unreadable(file, error) from error
        if self._read_at != (about.st_mtime_ns, about.st_ino):
            self._digests = [_digest(token) for token in _tokens(file)]
            self._read_at = (about.st_mtime_ns, about.st_ino)


def read_token(file: Path) -> str:
    """The first token of a file, for whoever asks.

    Raises:
        InputError: the file is missing or holds none.
    """
    return _tokens(file)[0]


def _tokens(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, error) from error
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens or min(map(len, tokens)) < _MIN_CHARACTERS:
        raise InputError(
            f"{file} must hold a token of at least {_MIN_CHARACTERS} characters a line: make one with "
            "`openssl rand -hex 32`."
        )
    return tokens


def _unreadable(file: Path, error: OSError | UnicodeDecodeError) -> InputError:
    why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
    return InputError(f"{file}, the file of tokens, cannot be read ({why}).")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
