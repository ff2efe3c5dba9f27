"""The lot: the stated share, the same for everybody, and nothing but the film and the seed decide it."""

import hashlib

import numpy as np
import pytest
from scipy.stats import binom, kstest, spearmanr

from secondread.errors import InputError
from secondread.evaluation.reading_room.lot import lots

IDS = [hashlib.sha256(f"film {index}".encode()).hexdigest() for index in range(20_000)]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
@pytest.mark.parametrize("seed", ["a", "98cba86cee73"])
def test_the_share_that_is_drawn_is_the_one_that_was_stated(share: float, seed: str) -> None:
    drawn = int((lots(IDS, seed) < share).sum())
    low, high = binom.interval(0.999, len(IDS), share)
    assert low <= drawn <= high


def test_every_lot_is_as_likely_as_any_other_and_another_seed_draws_anew() -> None:
    one, two = lots(IDS, "monday"), lots(IDS, "tuesday")
    for found in (one, two):
        assert (found.min() >= 0, found.max() < 1) == (True, True)
        assert kstest(found, "uniform").pvalue > 1e-3
    assert spearmanr(one, two).pvalue > 1e-3
    assert not np.isin(one, two).any()


def test_films_that_differ_by_a_digit_draw_as_if_they_had_nothing_in_common() -> None:
    names = [f"{index:064x}" for index in range(5_000)]
    found = lots(names, "seed")
    assert kstest(found, "uniform").pvalue > 1e-3
    assert spearmanr(found[:-1], found[1:]).pvalue > 1e-3


def test_order_and_company_change_nothing() -> None:
    whole = dict(zip(IDS, lots(IDS, "seed"), strict=True))
    some = IDS[700:100:-3]
    assert lots(some, "seed").tolist() == [whole[each] for each in some]
    assert lots(IDS[:1], "seed")[0] == whole[IDS[0]]
    assert lots([], "seed").shape == (0,)


def test_it_is_the_standards_hmac() -> None:
    """FIPS 198-1 written out, and what `printf %s IMAGE_ID | openssl dgst -sha256 -hmac seed` printed once."""
    key = b"seed".ljust(64, b"\0")
    inner, outer = (bytes(each ^ pad for each in key) for pad in (0x36, 0x5C))
    image = IDS[0]
    digest = hashlib.sha256(outer + hashlib.sha256(inner + image.encode()).digest()).hexdigest()
    assert digest.startswith("e00b4a57b111cbae")
    assert lots([image], "seed")[0] == int(digest[:13], 16) / 16**13


@pytest.mark.parametrize("seed", ["", "a\nb", "x" * 201])
def test_a_seed_that_cannot_be_written_down_in_a_line_is_refused(seed: str) -> None:
    with pytest.raises(InputError, match="seed must be a printable text of 1 to 200 characters"):
        lots(IDS[:1], seed)
