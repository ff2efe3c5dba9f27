"""What happened with a version, kept as its tags: one a time, JSON, and never longer than MLflow stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from secondread.logging import get_logger
from secondread.tracking.runs import mlflow_errors

EVENT = "event."  # tags of a version, by time
_LONGEST_TAG = 5000  # characters that MLflow stores
_LONGEST_TEXTS = (1000, 300, 100)  # of each text of an event, tried in turn

log = get_logger(__name__)


def events(tags: Mapping[str, str], *, of: str) -> list[dict[str, object]]:
    """What a version's tags say of promotions and rollbacks to it, in order.

    Args:
        tags: of the version.
        of: the version, as a person is told that one of its events cannot be read; that one is left out.
    """
    found = []
    for key in sorted(key for key in tags if key.startswith(EVENT)):
        try:
            found.append({"at": key.removeprefix(EVENT), **json.loads(tags[key])})
        except (ValueError, TypeError):
            log.warning("%s of %s is no event, and is not shown: %.100s", key, of, tags[key])
    return found


def write_down(
    client: MlflowClient,
    name: str,
    version: str,
    event: Mapping[str, object],
    *,
    prefix: str = EVENT,
    at: datetime | None = None,
) -> None:
    """Keep something that happened with a version, as a tag.

    Args:
        client: of the registry.
        name: of the model.
        version: its number.
        event: what, as JSON has it; where it is too long for a tag, without its `figures`, and then with its texts
            shortened.
        prefix: of the tag's name.
        at: when; now by default.
    Raises:
        InputError: there is no such version.
        DependencyError: the registry does not answer.
    """
    when = (at or datetime.now(UTC)).strftime("%Y-%m-%dT%H-%M-%S.%fZ")  # MLflow takes no colon in every version
    with mlflow_errors(client):
        client.set_model_version_tag(name, version, f"{prefix}{when}", _fitting(event))


def _fitting(event: Mapping[str, object]) -> str:
    """An event as JSON that a tag holds whole."""
    text = _json(event)
    if len(text) <= _LONGEST_TAG:
        return text
    event = {key: each for key, each in event.items() if key != "figures"}
    texts = (_json(event), *(_json(_shortened(event, most)) for most in _LONGEST_TEXTS))
    return next((text for text in texts if len(text) <= _LONGEST_TAG), texts[-1])


def _json(event: object) -> str:
    # as it is, since an escaped letter has six characters; but for what is no text, as of a terminal's other encoding
    return json.dumps(event, ensure_ascii=False).encode(errors="replace").decode()


def _shortened(value: Any, most: int) -> Any:
    """The same with no text longer than so many characters."""
    if isinstance(value, str):
        return value if len(value) <= most else f"{value[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
    if isinstance(value, Mapping):
        return {key: _shortened(each, most) for key, each in value.items()}
    return [_shortened(each, most) for each in value] if isinstance(value, list | tuple) else value
