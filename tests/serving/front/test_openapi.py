"""The OpenAPI document says what the server does: schemathesis asks for all that it allows, and for what it does not.

`make test` sends some hundred requests, `make test-full` ten thousand; a run that fails names its seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis

from secondread.config.serve import ServeConfig
from secondread.export.repository.layout import read_repository
from secondread.serving.front.access import Access
from secondread.serving.front.openapi import ServedPaths, openapi_document
from secondread.serving.front.rest import create_app
from secondread.serving.transformer.transformer import Transformer
from secondread.serving.transformer.versions import Served, ServedVersion

HERE = Path(__file__).parent
RULES = """
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
checks.negative_data_rejection.expected-statuses = ["400", "401", "404", "413"]
"""
TOKEN = "a-token-of-16-characters-or-more"  # noqa: S105 - of this test alone


@pytest.fixture
def ask_all(white: bytes, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Have schemathesis ask a server by its own document; gives its report."""

    def run(url: str, *options: str, each: int, more: str = "") -> dict[str, Any]:
        rules, report = tmp_path / "rules.toml", tmp_path / "report.json"
        rules.write_text(RULES + more)
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(rules), "run"]
        command += [f"{url}/openapi.json", "--checks", "all", "--phases", "coverage,fuzzing", "--no-color"]
        command += ["--max-examples", str(each), "--report", "json", "--report-json-path", str(report), *options]
        hooks = {"SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(HERE), "FILM": white.hex()}
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
        return json.loads(report.read_text())

    return run


def document_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=30) as response:
        assert response.headers["content-type"] == "application/json"
        return json.load(response)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("each", "at_least"),
    [pytest.param(5, 300, id="few"), pytest.param(1_000, 10_000, id="many", marks=pytest.mark.full)],
)
def test_every_answer_is_one_of_the_document(
    served: Any, ask_all: Callable[..., dict[str, Any]], each: int, at_least: int
) -> None:
    report = ask_all(served.url, each=each)
    assert report["test_cases"]["generated"] >= at_least
    document = operations(document_of(served.url))
    assert report["operations"]["tested"] == len(document) - 1  # it has read /openapi.json already
    assert "Traceback" not in served.log.read_text()


def test_whoever_sends_no_token_is_told_as_the_document_says(
    triton_address: str,
    start: Callable[..., Any],
    stop: Callable[[Any], int],
    tmp_path: Path,
    ask_all: Callable[..., dict[str, Any]],
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    server = start(predictor=triton_address, token_file=str(tokens), max_request_bytes=1 << 20)
    try:
        document = document_of(server.url)
        guarded = {path for path, operation in operations(document).items() if "security" in operation}
        assert guarded == {path for path in operations(document) if path.endswith(("infer", ":predict"))}
        # among its checks: each guarded route is asked again with another token and with none
        ask_all(
            server.url,
            "--include-path-regex",
            "secondread(/infer|:predict)",
            each=2,
            more=f'auth.openapi.bearer.bearer = "{TOKEN}"',
        )
    finally:
        assert stop(server) == 0


def test_the_document_is_openapi_and_names_the_routes_that_there_are(
    transformer: Transformer,
) -> None:
    paths = create_app(transformer, Access(""), ServeConfig()).openapi()["paths"]
    routes = {path.replace("{model_name}", name) for path in paths for name in transformer.versions.current.models}
    document = openapi_document(transformer.versions, ServeConfig())
    schemathesis.openapi.from_dict(document).validate()
    assert set(operations(document)) == routes
    assert "securitySchemes" not in document["components"]


def test_the_paths_that_are_served_are_those_of_the_versions_of_now(transformer: Transformer) -> None:
    paths = ServedPaths(transformer.versions)
    before, after = (f"/v2/models/secondread/versions/{number}/infer" for number in (3, 4))
    assert before in paths
    assert after not in paths
    newer = replace(transformer.versions.find("secondread").model, version="4")
    transformer.versions.switch(ServedVersion([Served.at("127.0.0.1:1", newer, ServeConfig())]))
    assert before in paths
    assert after in paths
    assert "/v2/models/Mueller/infer" not in paths


def test_images_by_address_are_described_where_they_are_read(transformer: Transformer) -> None:
    def inputs(config: ServeConfig) -> str:
        schemas = openapi_document(transformer.versions, config)["components"]["schemas"]
        return json.dumps(schemas["secondread.Request"]["properties"]["inputs"])

    assert '"url"' not in inputs(ServeConfig())
    assert '"url"' in inputs(ServeConfig(url_hosts=("pacs.example.org",)))


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_no_page_that_loads_its_code_from_the_internet(served: Any, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(served.url + path, timeout=30)
    with caught.value as error:
        assert error.code == 404


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """Each route's one operation, by path."""
    return {path: item.get("get") or item["post"] for path, item in document["paths"].items()}


@pytest.fixture
def transformer(repository: Path) -> Iterator[Transformer]:
    """Both models, before a Triton that is not there."""
    models = [read_repository(repository, name) for name in ("secondread", "secondread-explain")]
    version = ServedVersion([Served.at("127.0.0.1:1", each, ServeConfig()) for each in models])
    transformer = Transformer(version, ServeConfig())
    yield transformer
    transformer.close()
