"""The load test on a real server, and its verdict."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from secondread.config.loadtest import LoadTestConfig
from secondread.errors import DependencyError, GateRefused, InputError
from secondread.export.repository.layout import read_repository
from secondread.serving.load.loadtest import loadtest
from secondread.serving.load.setting import encoded_images

ANY = {"p99_below_ms": 60_000, "requests_at_least": 1}  # a gate that a busy machine does not fail


def test_a_server_under_load(served: Any, repository: Path, shared_data: Path, tmp_path: Path) -> None:
    digest = read_repository(repository, "secondread").digest
    config = LoadTestConfig(url=served.url, grpc_url=served.grpc_url, digest=digest, users=2, seconds=2, **ANY)
    report = tmp_path / "sub" / "report.html"
    result = loadtest(config, images=shared_data / "oct-samples", report=report)
    result.check(config)
    assert result.requests >= 1
    assert result.failures == 0
    assert result.p50_ms is not None
    assert result.p95_ms is not None
    assert result.p99_ms is not None
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
    assert set(result.by_protocol) == {"REST", "gRPC"}
    assert result.users == 2
    assert sum(part.requests for part in result.intervals) == result.requests
    assert "P50, P95, P99" in report.read_text()
    assert f"p99 {result.p99_ms:.1f} ms" in result.table()
    with pytest.raises(GateRefused, match=r"not below 0\.001 ms"):
        result.check(replace(config, p99_below_ms=0.001))


def test_failures_are_counted_and_refused(served: Any, tmp_path: Path) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff torn")
    config = LoadTestConfig(url=served.url, grpc_url="", users=1, seconds=1, **ANY)
    result = loadtest(config, images=tmp_path, report=tmp_path / "report.html")
    assert result.failures == result.requests > 0
    assert result.p99_ms is None
    with pytest.raises(GateRefused, match=r"100\.00% of \d+ requests failed.*image 0"):
        result.check(config)


def test_the_load_takes_the_shape_that_was_asked_for(served: Any, tmp_path: Path) -> None:
    config = LoadTestConfig(url=served.url, grpc_url=served.grpc_url, shape="spike", users=5, seconds=6, **ANY)
    parts = loadtest(config, report=tmp_path / "report.html").intervals
    assert (parts[0].users, max(part.users for part in parts), parts[-1].users) == (1, 5, 1)


def test_callers_think_before_they_ask_again(served: Any, tmp_path: Path) -> None:
    config = LoadTestConfig(url=served.url, grpc_url="", users=1, seconds=1, think_seconds=0.3)
    assert 0 < loadtest(config, report=tmp_path / "report.html").requests < 30  # some three; 100 without a pause


def test_the_answer_of_another_model_is_a_failure(served: Any, tmp_path: Path) -> None:
    config = LoadTestConfig(url=served.url, grpc_url=served.grpc_url, digest="f" * 64, users=2, seconds=1)
    result = loadtest(config, report=tmp_path / "report.html")
    assert set(result.by_protocol) == {"REST", "gRPC"}
    assert result.failures == result.requests
    assert result.failure_counts == {"the answer is of another model than ffffffffffff": result.requests}


class Reader(BaseHTTPRequestHandler):
    """Answers as a server does, to whoever comes."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.append(self.headers["Authorization"])
        self._answer(b'{"outputs": [{"name": "label"}]}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Key and certificate of 127.0.0.1, which signs itself."""
    file, key = tmp_path / "authority.pem", tmp_path / "key"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=server"]
    request += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)]
    subprocess.run(request, check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    return file


@pytest.fixture
def over_tls(authority: Path) -> Iterator[ThreadingHTTPServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority)
    with ThreadingHTTPServer(("127.0.0.1", 0), Reader) as server:
        server.daemon_threads, server.tokens = True, []
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_token_and_films_go_to_no_server_whose_certificate_nobody_vouches_for(
    over_tls: ThreadingHTTPServer, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LoadTestConfig(url=f"https://127.0.0.1:{over_tls.server_port}", grpc_url="", users=1, seconds=1, **ANY)
    report = tmp_path / "report.html"
    with pytest.raises(DependencyError, match=r"not trusted here \(self-signed certificate\)\. Name"):
        loadtest(config, report=report, token="secret")  # noqa: S106 - of this test
    with monkeypatch.context() as patch:  # as where another takes the server's place later
        patch.setattr("secondread.serving.load.loadtest._check_server", lambda _: None)
        result = loadtest(config, report=report, token="secret")  # noqa: S106 - of this test
    assert result.failures == result.requests > 0
    assert over_tls.tokens == []
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    result = loadtest(config, report=report, token="secret")  # noqa: S106 - of this test
    assert (result.failures, set(over_tls.tokens)) == (0, {"Bearer secret"})


def command(*options: str) -> subprocess.CompletedProcess[str]:
    """Run it as a user does."""
    call = [sys.executable, "-m", "secondread", "loadtest", *options]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_the_command_says_what_the_gate_found_and_ends_with_4(served: Any, tmp_path: Path) -> None:
    where = ["--url", served.url, "--grpc-url", served.grpc_url, "--report", str(tmp_path / "report.html")]
    done = command(*where, "--shape", "ramp", "--users", "2", "--seconds", "1", "--requests-at-least", "9999", "--json")
    assert done.returncode == 4, done.stderr
    said = json.loads(done.stdout)
    assert said["requests"] > 0
    assert not said["gate"]["passed"]
    assert said["gate"]["lines"][0]["name"] == "requests_at_least"
    assert re.search(r"^error: load test: \d+ requests are too few to tell, at least 9999 asked", done.stderr, re.M)


def test_the_search_for_the_limit_has_a_load_of_its_own() -> None:
    done = command("--find-limit", "--shape", "spike")
    assert done.returncode == 2
    assert "leave --shape and --think-seconds out" in done.stderr


def test_of_very_many_images_some_from_everywhere_are_sent(tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / f"{number:03d}.png").write_bytes(bytes([number // 256, number % 256]))
    sent = [int.from_bytes(data) for data in encoded_images(str(tmp_path))]
    assert sent == list(range(0, 600, 3))


def test_a_report_that_cannot_be_written_is_said_before_the_load(served: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = LoadTestConfig(url=served.url, grpc_url=served.grpc_url, shape="soak")
    with pytest.raises(InputError, match="cannot write"):
        loadtest(config, report=tmp_path / "file" / "report.html")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(DependencyError, match=r"no server answers at http://127\.0\.0\.1:1"):
        loadtest(LoadTestConfig(url="http://127.0.0.1:1"), report=tmp_path / "report.html")
    with pytest.raises(DependencyError, match=r"no server answers at 127\.0\.0\.1:1 \(gRPC\)"):
        loadtest(LoadTestConfig(url="", grpc_url="127.0.0.1:1"), report=tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no image"):
        loadtest(LoadTestConfig(), images=tmp_path, report=tmp_path / "report.html")
