"""The HTTP connections of the stores, and how it is said that there is none."""

from __future__ import annotations

from secondread.data.store.store import THREADS
from secondread.errors import DependencyError

try:
    import urllib3
    from urllib3.exceptions import HTTPError
except ImportError as missing:
    raise DependencyError("s3:// and swift:// need urllib3. Install it: pip install 'secondread[store]'.") from missing


CHUNK_BYTES = 1 << 20  # of a body that is read as it comes
_CONNECT_SECONDS = 5.0  # a server that is there answers within milliseconds
_READ_SECONDS = 60.0  # of silence; a slow disk under load may be quiet for long


def pool() -> urllib3.PoolManager:
    """Connections for one store. They do not repeat a request themselves: that would be logged, line by line."""
    return urllib3.PoolManager(
        maxsize=THREADS,
        block=True,
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
        retries=urllib3.Retry(0, redirect=0, raise_on_redirect=False, raise_on_status=False),
    )


def unreachable(address: str, error: HTTPError, variable: str) -> DependencyError:
    """What to say of a server that does not answer.

    Args:
        address: of the server.
        error: of the connection. Its text is not shown: it holds the request's URL.
        variable: where the address comes from.
    """
    reason = type(getattr(error, "reason", None) or error).__name__
    return DependencyError(f"{address} does not answer ({reason}). Start it, or correct {variable}.")
