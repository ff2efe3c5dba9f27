"""A stand-in for a cluster's API server: the few calls that a rollout makes, over real HTTP.

Objects lie under their paths; a JSON merge patch (RFC 7396) changes one if its resourceVersion is still that of the
patch. What was asked is kept, so that a test can compare the whole exchange. Who asks has the rights of the Role in
`manifests/rollout/`, and no others.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

ISVC = "/apis/serving.kserve.io/v1beta1/namespaces/site/inferenceservices/secondread"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/site/httproutes/secondread"
SCHEMA = "/openapi/v3/apis/serving.kserve.io/v1beta1"
GATEWAY = "/apis/gateway.networking.k8s.io/v1"
KNATIVE = "/apis/serving.knative.dev/v1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/site/leases/secondread-rollout"
ROLE = Path(__file__).resolve().parents[3] / "manifests/rollout/role.yaml"
TOKEN = "of-a-test"  # noqa: S105 - of this stand-in


class KubernetesApi:
    """What the stand-in has and was asked."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.patches: list[dict[str, Any]] = []
        self.refusals: list[tuple[str, int, str]] = []  # (method, status, message), each once
        self.others: list[dict[str, Any]] = []  # patches that somebody else is faster with, one for each of ours
        self.rules: list[dict[str, list[str]]] = yaml.safe_load(ROLE.read_text())["rules"]
        self.strangers = 0
        self.url = ""
        self._answered = threading.Condition()

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        """One call."""
        with self._answered:
            answer = self._answer(method, path, token, body)
            self._answered.notify_all()
            return answer

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, which is asked after each call."""
        with self._answered:
            assert self._answered.wait_for(holds, timeout=60)

    def _answer(self, method: str, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        if token != f"Bearer {TOKEN}":
            self.strangers += 1
            return 401, {"message": "Unauthorized"}
        for refusal in self.refusals:
            if refusal[0] == method:
                self.refusals.remove(refusal)
                return refusal[1], {"kind": "Status", "message": refusal[2], "code": refusal[1]}
        if not self._allowed(method.lower(), path):
            return 403, {"kind": "Status", "message": f"cannot {method.lower()} {path}", "code": 403}
        if path not in self.objects:
            return 404, {"kind": "Status", "message": f'"{path.rpartition("/")[2]}" not found', "code": 404}
        if method == "PATCH":
            return self._patch(path, json.loads(body))
        return 200, self.objects[path]

    def _allowed(self, verb: str, path: str) -> bool:
        top, *rest = path.strip("/").split("/")
        if "namespaces" not in rest:  # what the ClusterRole system:discovery lets every account ask
            return verb == "get" and top in ("apis", "openapi")
        group, _, _, _, plural, name = rest
        asked = (("apiGroups", group), ("resources", plural), ("resourceNames", name), ("verbs", verb))
        return any(all(value in rule[key] for key, value in asked) for rule in self.rules)

    def _patch(self, path: str, patch: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.others:
            self.change(path, self.others.pop(0))
        if patch["metadata"].pop("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            return 409, {"kind": "Status", "message": "the object has been modified", "code": 409}
        if not patch["metadata"]:
            del patch["metadata"]
        self.patches.append(patch)
        self.change(path, patch)
        return 200, self.objects[path]

    def change(self, path: str, patch: dict[str, Any]) -> None:
        """Change an object, as somebody who writes it."""
        with self._answered:
            document = _merged(self.objects[path], patch)
            document["metadata"]["resourceVersion"] = str(int(document["metadata"]["resourceVersion"]) + 1)
            self.objects[path] = document


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    """Run the stand-in on a free port."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_patch = self.command == "PATCH"
            assert not is_patch or self.headers["Content-Type"] == "application/merge-patch+json"
            status, document = api.answer(self.command, self.path, self.headers.get("authorization"), body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_GET = do_PATCH = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, url: str, *, token: str = TOKEN) -> Path:
    """A kubeconfig for a stand-in."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def schema(*, canary: bool) -> dict[str, Any]:
    """The part of the API's own description that says whether there is `spec.canary`."""
    fields = {"predictor": {"type": "object"}} | ({"canary": {"type": "array"}} if canary else {})
    spec = {"type": "object", "properties": fields}
    service = {"type": "object", "properties": {"spec": spec}}
    return {"components": {"schemas": {"io.kserve.serving.v1beta1.InferenceService": service}}}
