"""Features of border and corners: they see the border and the corners, and nothing else."""

import numpy as np

from secondread.data.audit.features import border_features, corner_features


def film() -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (128, 128), dtype=np.uint8)


def test_the_border_is_a_thin_frame() -> None:
    inside, edge = film(), film()
    inside[10:-10, 10:-10] = 0
    np.testing.assert_array_equal(border_features(inside), border_features(film()))
    edge[:, -2:] = 255
    changed = np.flatnonzero(border_features(edge) != border_features(film()))
    assert {8, 9} <= set(changed)  # mean and deviation of the right side
    assert not {6, 7} & set(changed)  # the left side is as it was


def test_the_border_s_figures_are_those_of_its_pixels() -> None:
    found = border_features(np.full((100, 50), 40, np.uint8))
    np.testing.assert_allclose(found, [40, 0] * 5 + [0, 1, 0, 0, 0, 0, 0, 0])


def test_the_corners_are_corners() -> None:
    middle, corner = film(), film()
    middle[40:88, :] = 0
    middle[:, 40:88] = 0
    np.testing.assert_array_equal(corner_features(middle), corner_features(film()))
    corner[:25, :25] = 0
    changed = (corner_features(corner) != corner_features(film())).reshape(6, 6)
    assert changed[:3, :3].all()
    assert not changed[3:].any()
    assert not changed[:, 3:].any()


def test_a_small_picture_has_them_too() -> None:
    assert border_features(np.zeros((16, 20), np.uint8)).shape == (18,)
    assert corner_features(np.zeros((5, 9), np.uint8)).shape == (36,)
