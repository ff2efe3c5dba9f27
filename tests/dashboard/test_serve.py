"""How the dashboard is started: on this machine alone, silent towards others, and refused in one line."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from secondread.cli.main import main
from secondread.config.dashboard import DashboardConfig
from secondread.dashboard.serve import command, serve
from secondread.errors import DependencyError, InputError


def test_it_listens_on_this_machine_and_tells_nobody() -> None:
    line = command(DashboardConfig(root="var"))
    assert "--server.address=127.0.0.1" in line
    assert "--server.port=9002" in line
    assert "--browser.gatherUsageStats=false" in line
    assert "--client.showErrorDetails=none" in line
    assert line[-2:] == ["--", "var"]


def test_another_address_is_taken_when_it_is_said() -> None:
    line = command(DashboardConfig(root="var", host="0.0.0.0", port=9003))  # noqa: S104 - it is what is tested
    assert "--server.address=0.0.0.0" in line
    assert "--server.port=9003" in line


def test_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        serve(DashboardConfig(root=str(tmp_path / "nothing")))
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is no folder"):
        serve(DashboardConfig(root=str(tmp_path / "file")))
    with pytest.raises(InputError, match="names no store"):
        serve(DashboardConfig(root="ftp://films"))


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(DashboardConfig(root=str(tmp_path), port=port))


def test_a_store_that_does_not_answer_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_S3_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DependencyError, match="does not answer"):
        serve(DashboardConfig(root="s3://films"))


def test_the_command_says_where_it_is_and_becomes_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda path, line: became.append([path, *line]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    monkeypatch.setattr(sys, "argv", ["secondread", "data", "dashboard", str(tmp_path), "--port", port])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert f"http://127.0.0.1:{port}" in capsys.readouterr().out
    assert became[0][0] == sys.executable
    assert became[0][-1] == str(tmp_path)


@pytest.mark.parametrize("settings", [{"root": ""}, {"host": ""}, {"port": 0}, {"port": 70_000}])
def test_settings_that_cannot_be_are_refused(settings: dict) -> None:
    with pytest.raises(InputError):
        DashboardConfig(**{"root": "var", **settings})
