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
from scipy.special import betaln, chdtri, xlog1py, xlogy

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


def alike(events: Floats, trials: Floats) -> Floats:
    """How many requests count as one: Pearson's dispersion of one side's shares over windows (quasi-binomial).

    Of windows whose requests are independent it is 1 on average. Bursts, and patients with many films, make it larger.

    Args:
        events: float64 (windows, tests).
        trials: float64 (windows,).
    Returns:
        float64 (tests,), at least 1.
    Source: McCullagh and Nelder, Generalized Linear Models, 1989, section 4.5.
    """
    trials = trials[:, np.newaxis]
    share = _share(events.sum(axis=0), np.full(events.shape[1], trials.sum()))
    squares = _share((events - trials * share) ** 2, trials * share * (1 - share)).sum(axis=0)
    return np.asarray(np.maximum(1.0, squares / max(1, len(trials) - 1)))


def alike_beside(events: Floats, trials: Floats, base_events: Floats, base_trials: Floats, *, sure: float) -> Floats:
    """How many requests count as one where both sides are compared window by window: an upper bound.

    What a busy minute does to both sides at once cancels in their difference; what it does to one does not, and few
    windows tell little of how much that is.

    Args:
        events: of one side, float64 (windows, tests).
        trials: of that side, float64 (windows,).
        base_events: of the other side.
        base_trials: of the other side.
        sure: confidence with which it is no larger; the bound is that of a normal variance.
    Returns:
        float64 (tests,), at least 1; infinite of a single window, which tells nothing.
    """
    freedom = len(trials) - 1
    if freedom < 1:
        return np.full(events.shape[1], np.inf)
    differences, variances = np.zeros_like(events), np.zeros_like(events)
    for counts, totals, sign in ((events, trials, 1), (base_events, base_trials, -1)):
        totals = totals[:, np.newaxis]
        share = counts.sum(axis=0) / totals.sum()
        differences += sign * (counts / totals - share)
        variances += share * (1 - share) / totals
    squares = _share(differences**2, variances).sum(axis=0)
    return np.asarray(np.maximum(1.0, squares / chdtri(freedom, sure)))


def _share(events: Floats, trials: Floats) -> Floats:
    return np.divide(events, trials, out=np.zeros(np.broadcast_shapes(events.shape, trials.shape)), where=trials > 0)


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
