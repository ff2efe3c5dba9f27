"""A stand-in for the API of Kubeflow Pipelines: the few calls that `submit` makes, over real HTTP.

Of version 2 (v2beta1), but for one: what a run's pods said when they ended only version 1 gives out. As on a server of
many users a pipeline is of a namespace, and is found in no other; without one it is everybody's.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse


class KubeflowApi:
    """What the stand-in was told, and what it answers for a run."""

    def __init__(self) -> None:
        self.pipelines: dict[tuple[str, str], dict[str, Any]] = {}  # by namespace and name
        self.versions: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.refusals: list[int] = []  # HTTP statuses that the next looks at a run get
        self.nodes: dict[str, Any] | None = None  # of Argo's workflow; None: a server without version 1
        self.tokens: set[str | None] = set()
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, dict[str, Any]]:
        """One call."""
        if path.endswith("/healthz"):
            return 200, {"multi_user": False}
        if path.endswith("/pipelines/upload"):
            place = query.get("namespace", [""])[0], query["name"][0]
            if place in self.pipelines:
                return 409, {"message": f"pipeline {place} is there already"}
            self.pipelines[place] = {"pipeline_id": f"p{len(self.pipelines) + 1}", "display_name": place[1]}
            return 200, self.pipelines[place]
        if path.endswith("/pipelines/upload_version"):
            version = {
                "pipeline_id": query["pipelineid"][0],
                "pipeline_version_id": f"v{len(self.versions)}",
                "display_name": query["name"][0],
            }
            self.versions.append(version | {"bytes": len(body), "body": body})
            return 200, version
        if of := re.search(r"/pipelines/(p\d+)/versions$", path):
            known = ("pipeline_id", "pipeline_version_id", "display_name")
            found = [each for each in self.versions if each["pipeline_id"] == of[1]]
            return 200, {"pipeline_versions": [{key: each[key] for key in known} for each in found]}
        if path.endswith("/pipelines"):
            (asked,) = json.loads(query["filter"][0])["predicates"]
            place = query.get("namespace", [""])[0], asked["stringValue"]
            return 200, {"pipelines": [self.pipelines[place]]} if place in self.pipelines else {}
        if path.endswith("/experiments"):
            experiment = {"experiment_id": "e1", "display_name": "secondread"}
            return 200, experiment if method == "POST" else {"experiments": [experiment]}
        if path.endswith("/runs") and method == "POST":
            self.runs.append(json.loads(body))
            return 200, {"run_id": "r1"}
        if path.endswith("/v1beta1/runs/r1") and self.nodes is not None:
            workflow = json.dumps({"status": {"nodes": self.nodes}})
            return 200, {"run": {"id": "r1"}, "pipeline_runtime": {"workflow_manifest": workflow}}
        if path.endswith("/v2beta1/runs/r1") and self.refusals:
            return self.refusals.pop(0), {"message": "not now"}
        if path.endswith("/v2beta1/runs/r1"):
            return 200, self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return 404, {"message": path}


@contextmanager
def kubeflow_api() -> Iterator[KubeflowApi]:
    """Run the stand-in on a free port."""
    api = KubeflowApi()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            url = urlparse(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            api.tokens.add(self.headers.get("authorization"))
            status, document = api.answer(self.command, url.path, parse_qs(url.query), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
