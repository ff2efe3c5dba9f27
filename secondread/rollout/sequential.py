"""How strongly counts speak against a share being no larger than another's, however often they are looked at.

Waiting until a figure looks bad, and looking every minute, finds something bad in every version. An e-process does not:
the chance that it ever reaches 1 / alpha, over all looks, is alpha at most where there is nothing to find (Ville's
inequality). Ours is that of universal inference, with a mixture in the numerator (Wasserman, Ramdas and Balakrishnan,
"Universal inference", PNAS 117, 2020, section 8; the mixture is Robbins', Annals of Mathematical Statistics 41, 1970):

    probability of both sides' counts, each share averaged over Jeffreys' Beta(1/2, 1/2)
    -----------------------------------------------------------------------------------
    the highest probability that shares allowed by the hypothesis give to the counts

It holds for any number of requests, rare events and none at all included, since nothing is taken to be normal. It takes
requests to be independent. Those of a patient or of a burst are not, so that counts are divided by `alike` before.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, xlog1py, xlogy

Floats = npt.NDArray[np.float64]

_JEFFREYS = 0.5
_HALVINGS = 45  # of the interval that a share lies in: to 1e-13, and the probability is flat there


def log_evidence(events: Floats, trials: Floats, base_events: Floats, base_trials: Floats, margin: Floats) -> Floats:
    """Against "the share of events is no more than the base's share plus a margin", side by side.

    Args:
        events: of one side, float64 (tests,), from 0 to trials; parts of one are allowed.
        trials: of that side, float64 (tests,).
        base_events: of the other side.
        base_trials: of the other side.
        margin: from -1 to 1.
    Returns:
        float64 (tests,): natural logarithm of the e-value; log(1 / alpha) or more rejects at level alpha at any look.
            0 or less without data.
    """
    events, trials, base_events, base_trials, margin = np.broadcast_arrays(
        *(np.asarray(each, dtype=np.float64) for each in (events, trials, base_events, base_trials, margin))
    )
    share, base_share = _share(events, trials), _share(base_events, base_trials)
    at, base_at = share.copy(), base_share.copy()
    # inside the hypothesis the shares as they are have the highest probability; outside, some on its border do
    outside = share - base_share > margin
    if outside.any():
        border = _border(*(each[outside] for each in (events, trials, base_events, base_trials, margin)))
        at[outside], base_at[outside] = border + margin[outside], border
    allowed = _log_probability(events, trials, at) + _log_probability(base_events, base_trials, base_at)
    return _log_mixture(events, trials) + _log_mixture(base_events, base_trials) - allowed


def log_evidence_above(events: Floats, trials: Floats, limit: Floats) -> Floats:
    """Against "the share of events is no more than a limit", of one side alone.

    Args:
        events: float64 (tests,), from 0 to trials.
        trials: float64 (tests,).
        limit: from 0 to 1.
    Returns:
        float64 (tests,): as of `log_evidence`.
    """
    events, trials, limit = (np.asarray(each, dtype=np.float64) for each in (events, trials, limit))
    allowed = _log_probability(events, trials, np.minimum(_share(events, trials), limit))
    return _log_mixture(events, trials) - allowed


def alike(events: Floats, trials: Floats, *, at_least: float) -> Floats:
    """How many requests count as one: Pearson's dispersion of the shares over windows (quasi-binomial).

    Of windows whose requests are independent it is 1 on average. Bursts, a busy minute and patients with many films
    make it larger. It is asked of the stable version alone: a new one that fails in bursts is not excused by them.

    Args:
        events: float64 (windows, tests).
        trials: float64 (windows,) or (windows, 1).
        at_least: it is taken to be, whatever the windows say.
    Returns:
        float64 (tests,).
    Source: McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5.
    """
    trials = np.reshape(trials, (-1, 1))
    used = trials[:, 0] > 0
    events, trials = events[used], trials[used]
    if len(trials) < 2:
        return np.full(events.shape[1], at_least)
    share = events.sum(axis=0) / trials.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = (events - trials * share) ** 2 / (trials * share * (1 - share))
    found = np.nan_to_num(squares.sum(axis=0), nan=0.0, posinf=0.0) / (len(trials) - 1)
    return np.asarray(np.maximum(at_least, found))


def _share(events: Floats, trials: Floats) -> Floats:
    return np.divide(events, trials, out=np.zeros(np.broadcast(events, trials).shape), where=trials > 0)


def _border(events: Floats, trials: Floats, base_events: Floats, base_trials: Floats, margin: Floats) -> Floats:
    """The base's share that gives the counts their highest probability where the other's is a margin above it.

    The logarithm is concave along the border, so that its slope says in which half.
    """
    low, high = np.maximum(0.0, -margin), np.minimum(1.0, 1.0 - margin)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        rises = _slope(events, trials, middle + margin) + _slope(base_events, base_trials, middle) > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    return np.asarray((low + high) / 2)


def _slope(events: Floats, trials: Floats, share: Floats) -> Floats:
    return np.asarray(events / share - (trials - events) / (1 - share))


def _log_probability(events: Floats, trials: Floats, share: Floats) -> Floats:
    return np.asarray(xlogy(events, share) + xlog1py(trials - events, -share))


def _log_mixture(events: Floats, trials: Floats) -> Floats:
    mixed = betaln(events + _JEFFREYS, trials - events + _JEFFREYS)
    return np.asarray(mixed - betaln(_JEFFREYS, _JEFFREYS))
