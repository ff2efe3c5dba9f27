"""Log lines on stderr: plain for people, JSON with ECS field names for machines.

stdout is kept for results. No log line names a patient: callers log counts, class names, image ids (content
hashes) and paths that the user gave. Source of the field names: Elastic Common Schema 8.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from secondread import __version__

ROOT = "secondread"


class EcsFormatter(logging.Formatter):
    """One JSON document a line, with ECS field names."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        document: dict[str, Any] = {
            "@timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": record.getMessage(),
            "ecs.version": "8.11.0",
            "service.name": ROOT,
            "service.version": __version__,
        }
        document.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            document["error.type"] = record.exc_info[0].__name__
            document["error.stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(document)


def configure(*, as_json: bool = False, level: str = "INFO") -> None:
    """Send the project's log lines to stderr. Calling it again replaces the former setting.

    Args:
        as_json: ECS documents instead of plain lines.
        level: name of the lowest level that is shown.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(EcsFormatter() if as_json else logging.Formatter("%(levelname).1s %(name)s: %(message)s"))
    # No line has them, and to ask for them takes half the time of one: the server writes one for each request.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def get_logger(name: str) -> logging.Logger:
    """The logger of a module, always below the project's root logger.

    Args:
        name: usually `__name__`.
    """
    return logging.getLogger(name if name.startswith(ROOT) else f"{ROOT}.{name}")
