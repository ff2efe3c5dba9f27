"""A line to a server that breaks at the n-th request: before it arrives, or before its answer comes back."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3


class BreakingProxy:
    """Passes HTTP on to a server, until it is told to break.

    Args:
        target: URL of the server.
    """

    def __init__(self, target: str) -> None:
        self._pool, self._target = urllib3.PoolManager(), target
        self._left: int | None = None
        self._heard = False
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                proxy._pass(self)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any  # noqa: N815 - as http.server calls them

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def break_after(self, requests: int, *, heard: bool) -> None:
        """Pass so many on, then none.

        Args:
            requests: that are answered.
            heard: the server still gets the next one, and its answer is lost.
        """
        self._left, self._heard = requests, heard

    def mend(self) -> None:
        """Pass everything on again."""
        self._left = None

    def _pass(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        broken = self._left is not None and self._left <= 0
        if self._left is not None:
            self._left -= 1
        if broken and not (self._heard and self._left == -1):
            handler.close_connection = True
            return
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        answer = self._pool.request(
            handler.command, self._target + handler.path, body=body, headers=headers, retries=False
        )
        if broken:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        handler.send_header("Content-Length", str(len(answer.data)))
        handler.end_headers()
        handler.wfile.write(answer.data)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._pool.clear()
