"""Triton's explicit model control over HTTP: load a model of its repository, unload one.

Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

import http.client
from contextlib import closing
from dataclasses import dataclass, field

import orjson

from secondread.errors import DependencyError

HEADER = "x-model-control"


@dataclass(frozen=True)
class ModelControl:
    """Loads and unloads models of one Triton.

    Attributes:
        address: host:port of its HTTP service.
        timeout_seconds: for one model to be loaded and warm.
        secret: that this Triton wants for it; empty where it wants none.
    """

    address: str
    timeout_seconds: float
    secret: str = field(default="", repr=False)

    def load(self, name: str) -> None:
        """Load a model, or load it anew; it is warm when this returns. Other models go on answering.

        Args:
            name: of a folder of the repository.
        Raises:
            DependencyError: it does not load, or Triton does not answer.
        """
        self._ask(name, "load")

    def unload(self, name: str) -> None:
        """Take no new request for a model, and forget it once those in flight are answered.

        Raises:
            DependencyError: Triton does not answer.
        """
        self._ask(name, "unload")

    def _ask(self, name: str, what: str) -> None:
        headers = {"Content-Type": "application/json", **({HEADER: self.secret} if self.secret else {})}
        try:
            with closing(http.client.HTTPConnection(self.address, timeout=self.timeout_seconds)) as connection:
                connection.request("POST", f"/v2/repository/models/{name}/{what}", b"{}", headers)
                answer = connection.getresponse()
                body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise DependencyError(
                f"Triton at {self.address} did not {what} {name} ({error or type(error).__name__})."
            ) from error
        if answer.status != http.client.OK:
            raise DependencyError(f"Triton at {self.address} did not {what} {name}: {_reason(body)}")


def _reason(body: bytes) -> str:
    """What Triton says, on one line."""
    try:
        return " ".join(str(orjson.loads(body)["error"]).split())
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return repr(body[:200])
