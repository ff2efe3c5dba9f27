"""Log lines: plain, or JSON with ECS names; always on stderr."""

import json

import pytest

from secondread.logging import configure, get_logger


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    get_logger("secondread.data").info("read %d images", 3)
    captured = capsys.readouterr()
    assert captured.err == "I secondread.data: read 3 images\n"
    assert captured.out == ""


def test_ecs_documents(capsys: pytest.CaptureFixture[str]) -> None:
    configure(as_json=True)
    try:
        raise ValueError("odd")
    except ValueError:
        get_logger("serving").exception("request failed", extra={"fields": {"http.response.status_code": 500}})
    document = json.loads(capsys.readouterr().err)
    assert document["log.level"] == "error"
    assert document["log.logger"] == "secondread.serving"
    assert document["message"] == "request failed"
    assert document["http.response.status_code"] == 500
    assert document["error.type"] == "ValueError"
