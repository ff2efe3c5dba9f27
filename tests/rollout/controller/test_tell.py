"""Who is told: what is new once, and a webhook that is not there stops nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from secondread.config.rollout import RolloutConfig
from secondread.errors import DependencyError
from secondread.rollout.controller.tell import News, Webhook
from secondread.rollout.record.record import Event, Plan

PLAN = Plan("chest", 1, 2, RolloutConfig(), "Ada", "it reads effusions", 1_000_000.0)


def event(what: str, stage: str = "canary", *, alarm: bool = False) -> Event:
    return Event(1_000_060.0, what, stage, "because", {"requests": 12.0}, alarm)


def test_that_it_goes_on_as_before_is_no_news_and_an_alarm_is_news_once() -> None:
    told: list[Event] = []
    news = News(lambda _, each: told.append(each))
    alarm = event("hold", alarm=True)
    events = [event("begun"), event("hold"), alarm, alarm, event("hold"), alarm, event("advance"), event("advance")]
    for each in events:
        news(PLAN, each)
    assert told == [events[0], alarm, alarm, events[6], events[7]]


@pytest.fixture
def hook() -> Iterator[tuple[str, list[Any]]]:
    """A webhook's address, and what came; one that is sent to /broken fails."""
    came: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", came
        server.shutdown()


def test_a_webhook_gets_the_event_and_of_which_rollout_it_is(hook: tuple[str, list[Any]]) -> None:
    url, came = hook
    Webhook(url, timeout_seconds=5)(PLAN, event("advance"))
    (document,) = came
    assert document == {
        "name": "chest",
        "stable": 1,
        "candidate": 2,
        "at": 1_000_060.0,
        "what": "advance",
        "stage": "canary",
        "reason": "because",
        "figures": {"requests": 12.0},
        "alarm": False,
    }


def test_a_webhook_that_fails_is_named_without_its_address(hook: tuple[str, list[Any]]) -> None:
    url, _ = hook
    for address in (f"{url}/broken", "http://127.0.0.1:9/secret"):
        with pytest.raises(DependencyError, match=r"the webhook does not take an event \((500|URLError)\)") as refused:
            Webhook(address, timeout_seconds=5)(PLAN, event("advance"))
        assert "secret" not in str(refused.value)


def test_what_speaks_no_http_is_no_webhook(no_http: str) -> None:
    with pytest.raises(DependencyError, match=r"the webhook does not take an event \(BadStatusLine\)"):
        Webhook(f"{no_http}/secret", timeout_seconds=5)(PLAN, event("advance"))
