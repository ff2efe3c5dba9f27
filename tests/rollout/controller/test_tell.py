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


def event(
    what: str, stage: str = "canary", *, alarm: bool = False, reason: str = "because", minute: float = 1
) -> Event:
    return Event(1_000_000.0 + 60 * minute, what, stage, reason, {"requests": 12.0}, alarm)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def news(told: list[Event]) -> News:
    return News(lambda _, each: told.append(each))


def test_that_it_goes_on_as_before_is_no_news_and_all_else_is(news: News, told: list[Event]) -> None:
    events = [event("begun"), event("hold"), event("hold"), event("advance"), event("advance"), event("roll_back")]
    for each in events:
        news(PLAN, each)
    assert told == [events[0], *events[3:]]


def test_an_alarm_that_each_look_gives_again_is_news_once_whatever_it_counts_and_whatever_else_a_look_says(
    news: News, told: list[Event]
) -> None:
    """A check that cannot be done fails at every look, or at every other one, and the rollout holds meanwhile."""
    for minute in range(0, 180, 2):
        reason = f"load_test: no server answers after {minute}.5 s, 1,{minute:03} tries"
        news(PLAN, event("failed", alarm=True, reason=reason, minute=minute))
        news(PLAN, event("hold", minute=minute))
        news(PLAN, event("hold", minute=minute + 1))
    assert [each.at for each in told] == [1_000_000.0]


def test_another_alarm_is_news_and_so_is_one_of_another_stage(news: News, told: list[Event]) -> None:
    alarms = [
        event("hold", alarm=True, reason="nothing is known"),
        event("hold", alarm=True, reason="the traffic is not split as asked"),
        event("failed", alarm=True, reason="the traffic is not split as asked"),
        event("hold", "half", alarm=True, reason="nothing is known"),
    ]
    for each in [*alarms, *alarms]:
        news(PLAN, each)
    assert told == alarms


def test_an_alarm_that_was_gone_for_an_hour_is_news_again(news: News, told: list[Event]) -> None:
    for minute in (0, 59, 118, 178):
        news(PLAN, event("hold", alarm=True, minute=minute))
    assert [each.at for each in told] == [1_000_000.0, 1_000_000.0 + 60 * 178]


def test_an_alarm_that_could_not_be_told_is_told_at_the_next_look(told: list[Event]) -> None:
    def tell(plan: Plan, each: Event) -> None:
        told.append(each)
        if len(told) == 1:
            raise DependencyError("the webhook does not take an event")

    news = News(tell)
    with pytest.raises(DependencyError):
        news(PLAN, event("hold", alarm=True))
    for minute in (2, 3):
        news(PLAN, event("hold", alarm=True, minute=minute))
    assert len(told) == 2


def test_that_a_person_must_decide_is_news_each_time(news: News, told: list[Event]) -> None:
    for minute in (0, 10):
        news(PLAN, event("inconclusive", alarm=True, minute=minute))
    assert len(told) == 2


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
