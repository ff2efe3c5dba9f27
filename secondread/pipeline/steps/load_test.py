"""Step: load on a model that is served, and whether it bears it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.atomic import write_json
from secondread.config.environment import Environment
from secondread.config.loadtest import LoadTestConfig
from secondread.config.mapping import from_mapping
from secondread.config.require import require
from secondread.pipeline.steps.begin import Settings, begin
from secondread.pipeline.success import recorded, verify_success, write_success

if TYPE_CHECKING:
    from secondread.serving.front.server import Endpoints

FIGURES_FILE = "loadtest.json"
PAGE_FILE = "loadtest.html"
SUMMARY_FILE = "summary.md"
_SHOWN = ("requests", "failures", "failure_share", "p50_ms", "p95_ms", "p99_ms", "slowest_ms", "rate_per_second")


def load_test(
    output: str,
    *,
    name: str,
    url: str = "",
    grpc_url: str = "",
    repository: str = "",
    digest: str = "",
    images: str = "",
    token_file: str = "",
    settings: Settings,
) -> dict[str, Any]:
    """Test a server, and ask the gate. A refusal is an answer, not a failure.

    Args:
        output: folder to write.
        name: of the model.
        url: of REST, such as that of an InferenceService; empty for none.
        grpc_url: host:port of gRPC; empty for none.
        repository: instead of an address: signed Triton repository, which is served here for as long as it is tested.
        digest: of the model that must answer; empty: any may.
        images: what step `ingest` wrote, whose images are sent; empty: phantoms.
        token_file: file of the token that the server wants; empty for none.
        settings: further fields of `LoadTestConfig`.
    Returns:
        `passed`, the gate's `reasons` and `lines`, the `figures`, and the `config`.
    Raises:
        SystemExit: with the exit code of the error that ended the step.
    """
    from secondread.serving.front.access import read_token
    from secondread.serving.load.loadtest import loadtest
    from secondread.serving.load.page import load_test_markdown

    environment, folder = begin(), Path(output)
    inputs = {"images": Path(images)} if images else {}
    with recorded("load test", folder):
        if images:
            verify_success(Path(images), step="ingest")
        require(
            bool(repository) != bool(url or grpc_url),
            "say what is tested: url and grpc_url of a server, or a repository to be served here, and not both.",
        )
        token = read_token(Path(token_file)) if token_file else ""
        where = {} if repository else {"url": url, "grpc_url": grpc_url}
        given = {**settings, "name": name, "digest": digest, **where}
        config = from_mapping(LoadTestConfig, given, stage="load test")
        sent, page = Path(images) if images else None, folder / PAGE_FILE
        if repository:
            with _served(repository, name, environment) as at:
                config = replace(config, url=at.url, grpc_url=at.grpc_url)
                result = loadtest(config, images=sent, report=page, token=token)
        else:
            result = loadtest(config, images=sent, report=page, token=token)
        gate = result.gate(config)
        figures = result.to_json()
        facts = {
            "passed": gate.passed,
            "reasons": list(gate.reasons),
            "lines": [asdict(line) for line in gate.lines],
            "figures": {each: figures[each] for each in _SHOWN},
            "config": asdict(config),
        }
        write_json(folder / FIGURES_FILE, {**figures, "gate": asdict(gate), "config": asdict(config)})
        (folder / SUMMARY_FILE).write_text(load_test_markdown(result, config), encoding="utf-8")
        write_success(folder, step="load_test", inputs=inputs, facts=facts)
    return facts


@contextlib.contextmanager
def _served(repository: str, name: str, environment: Environment) -> Iterator[Endpoints]:
    """A repository behind a server of this machine."""
    from secondread.export.repository.opened import opened_repository
    from secondread.serving.local.local_server import local_server

    trusted = environment.signing.trusted
    with (
        opened_repository(repository, environment) as folder,
        tempfile.TemporaryDirectory() as work,
        local_server(folder, name=name, trusted=trusted, folder=Path(work)) as endpoints,
    ):
        yield endpoints
