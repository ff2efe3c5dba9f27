"""A small API server in place of a cluster, to which the real SDK of Kubeflow speaks over HTTP.

It runs the node of a job as a process here, as Kubeflow's torch runtime would: the command of the TrainJob with the
variables of the runtime.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TIME = "2026-01-01T00:00:00Z"
RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
                            "spec": {"template": {"spec": {"containers": [{"name": "node", "image": "pytorch"}]}}},
                        },
                    }
                ]
            }
        },
    },
}


class Cluster(ThreadingHTTPServer):
    """Keeps TrainJobs, and runs them where `runs` says so; else each fails when it is looked at.

    Attributes:
        jobs: by name, those that are there.
        created: names of all that ever were.
        most: that were there at the same time.
        code: exit code of jobs that do not run; None while they train.
        away: it answers no question about a job.
        lingers: looks that a job is there after it was deleted, as long as its pods end.
        asked: of the cluster's roles or a namespace's, each verb and resource that was asked for.
    """

    def __init__(self, *, runs: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.runs = runs
        self.jobs: dict[str, dict[str, Any]] = {}
        self.created: list[str] = []
        self.most = 0
        self.code: int | None = 1
        self.away = False
        self.lingers = 0
        self.asked: set[tuple[str, str, str]] = set()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        job["metadata"] |= {"namespace": "default", "creationTimestamp": TIME}
        name = job["metadata"]["name"]
        self.jobs[name] = job
        self.created.append(name)
        self.most = max(self.most, len(self.jobs))
        if self.runs:
            command = [sys.executable, *job["spec"]["trainer"]["command"][1:]]
            variables = {**os.environ, "PET_NNODES": "1", "PET_NPROC_PER_NODE": "auto"}
            self.processes[name] = subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)
        return job

    def get(self, name: str) -> dict[str, Any] | None:
        job = self.jobs.get(name)
        if job is None:
            return None
        code = self.processes[name].poll() if self.runs else self.code
        if code is not None:
            condition = {"type": "Failed" if code else "Complete", "status": "True", "message": "", "reason": "Ended"}
            job["status"] = {"conditions": [{**condition, "lastTransitionTime": TIME}]}
        if "deletionTimestamp" in job["metadata"]:
            self.lingers -= 1
            if self.lingers < 0:
                del self.jobs[name]
                return None
        return job

    def delete(self, name: str, how: str) -> dict[str, Any] | None:
        assert how == "propagationPolicy=Foreground", "else it is gone before its pods are"
        if name in self.jobs:
            self.jobs[name]["metadata"]["deletionTimestamp"] = TIME
        return self.get(name)


class _Handler(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        self._note("get", "list")
        what, _, name = self.path.partition("?")[0].rpartition("/")
        if what.endswith("/trainjobs"):
            self._answer(None if self.server.away else self.server.get(name), 503 if self.server.away else 404)
        elif what.endswith("/clustertrainingruntimes"):
            self._answer(RUNTIME)
        elif name == "pods":
            self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})
        else:
            self._answer(None)

    def do_POST(self) -> None:
        self._note("create", "create")
        self._answer(self.server.create(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

    def do_DELETE(self) -> None:
        self._note("delete", "deletecollection")
        path, _, how = self.path.partition("?")
        self._answer(self.server.delete(path.rpartition("/")[2], how))

    def _note(self, of_one: str, of_many: str) -> None:
        path = self.path.partition("?")[0]
        place = re.fullmatch(r"/apis?(?:/([\w.]+))?/v\w+(/namespaces/[\w-]+)?/(\w+)(/.+)?", path)
        assert place, path
        group, namespace, resource, name = place.groups()
        role = "role" if namespace else "clusterrole"
        self.server.asked.add((role, of_one if name else of_many, f"{resource}.{group}" if group else resource))

    def _answer(self, document: dict[str, Any] | None, code: int = 404) -> None:
        data = json.dumps(document or {"kind": "Status", "status": "Failure"}).encode()
        self.send_response(200 if document else code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass
