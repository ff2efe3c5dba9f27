"""Of the images that both versions were asked about, how many they read differently.

Who mirrors requests drops the answers, and Prometheus knows no image. So each version's server writes down what it said
of which (`answer_log`), and here the two are joined.
"""

from __future__ import annotations

from pathlib import Path

from secondread.logging import get_logger
from secondread.rollout.analysis.observations import Agreement
from secondread.serving.transformer import answer_log

# Between the two answers to one request, and until both are written. A version that takes longer has other faults.
SLACK_SECONDS = 5.0

log = get_logger(__name__)


def agreement(stable: Path, candidate: Path, start: float, end: float) -> Agreement | None:
    """How many of the images of a window the two versions read, and how many of these differently.

    An image is of the window in which the stable version answered it, by a clock that is `SLACK_SECONDS` late: at the
    window's end the candidate may not have answered yet, and of windows that follow one another none may lose it. One
    that was asked several times counts once, with what each version said last.

    Args:
        stable: file in which the stable version's server writes what it answered.
        candidate: the same of the candidate's.
        start: seconds since 1970, by the servers' clock.
        end: likewise; not in the window.
    Returns:
        None where a file is not there, or one of the two read nothing: then nothing is known.
    """
    late, until = start - SLACK_SECONDS, end - SLACK_SECONDS
    try:
        base = _labels(stable, late, until)
        new = _labels(candidate, late - SLACK_SECONDS, end)
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("what both versions said of the same images is not known: %s", error)
        return None
    if not base or not new:
        return None
    both = base.keys() & new.keys()
    return Agreement(len(both), sum(base[image] != new[image] for image in both))


def _labels(path: Path, start: float, end: float) -> dict[str, str]:
    """Of each image, what was said of it last."""
    return {image: label for _, image, label in answer_log.read(path, start, end)}
