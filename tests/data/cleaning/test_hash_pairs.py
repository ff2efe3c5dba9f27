"""Which hashes are close: the same pairs as comparing all with all gives."""

import numpy as np
import pytest

from secondread.data.cleaning import hash_pairs
from secondread.data.cleaning.hash_pairs import close_pairs


def random_hashes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64, endpoint=False)


def flipped(row: np.ndarray, bits: list[int]) -> np.ndarray:
    changed = row.copy()
    for bit in bits:
        changed[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return changed


def compare_all(hashes: np.ndarray) -> list[list[int]]:
    return [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if np.bitwise_count(hashes[i, 0] ^ hashes[j, 0]) <= 7
        and np.bitwise_count(hashes[i] ^ hashes[j]).sum(dtype=int) <= 32
    ]


@pytest.mark.parametrize("block", [1, 7, 1 << 21])
def test_the_pairs_are_those_of_comparing_all_with_all(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_pairs, "_BLOCK", block)
    rng, rows = np.random.default_rng(1), list(random_hashes(60))
    for number in range(60):
        bits = rng.choice(64, number % 12, replace=False).tolist() + (64 + rng.choice(192, number, False)).tolist()
        rows.append(flipped(rows[number % 40], bits))
    hashes = np.stack(rows)
    expected = compare_all(hashes)
    assert len(expected) > 20
    assert close_pairs(hashes).tolist() == expected


def test_many_equal_hashes_give_every_pair_once() -> None:
    assert len(close_pairs(np.repeat(random_hashes(1), 50, axis=0))) == 50 * 49 / 2


def test_no_hash_and_one_hash_have_no_pairs() -> None:
    assert close_pairs(random_hashes(0)).shape == close_pairs(random_hashes(1)).shape == (0, 2)
