"""The lot that says which closed studies a physician reads again.

    lot = the first 13 hex digits of HMAC-SHA256(key: seed, message: image_id), over 16^13; a number in [0, 1)

A closed study is drawn where its lot is below the share that is audited.

A shuffle would not do. What it draws hangs on the order of the list, on what else is in it and on the program: whoever
adds a film, sorts the list or starts the program again draws once more, as often as he likes, and nobody can see it
afterwards. This lot hangs on the film's bytes and on the seed alone. It comes out the same in any order, in any other
batch and in any other program:

    printf %s IMAGE_ID | openssl dgst -sha256 -hmac SEED

To steer it one would have to change the film, whose SHA-256 is then no longer that of the archive's, or the seed, which
is written down beside the list. By default the seed is the model's digest, which was settled before the first film
came, so that nobody chooses it. The other side of that is that whoever has a film can tell beforehand whether it will
be drawn, and read it with more care. Where that is to be feared, take a seed that nobody knows before the first
readings are in: a public beacon's or a lottery's number of the day, named before.

HMAC is a pseudorandom function (FIPS 198-1), so that the share that is drawn is the one that was stated, whatever the
films show.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from secondread.config.require import require

_DIGITS = 13  # 52 bits: a float64 holds every such number, and none is rounded up to 1
_LONGEST_SEED = 200


def lots(image_ids: Iterable[str], seed: str) -> npt.NDArray[np.float64]:
    """The lot of each study.

    Args:
        image_ids: SHA-256 of each film's bytes, hex in small letters.
        seed: printable text.
    Returns:
        float64 (studies,), in [0, 1).
    Raises:
        InputError: the seed is empty, longer than 200 characters, or not printable.
    """
    fit = 0 < len(seed) <= _LONGEST_SEED and seed.isprintable()
    require(fit, f"the lot's seed must be a printable text of 1 to {_LONGEST_SEED} characters.")
    key = seed.encode()
    digests = (hmac.digest(key, each.encode(), "sha256").hex() for each in image_ids)
    return np.array([int(each[:_DIGITS], 16) / 16**_DIGITS for each in digests], dtype=np.float64)
