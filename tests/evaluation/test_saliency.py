"""What a saliency map is made into: regions, and a picture that is read without colours too."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.measure import label, regionprops

from secondread.errors import InputError
from secondread.evaluation.saliency import COLOURS, colours, hits, overlay, strongest_regions


def bumps(*places: tuple[int, int, float], side: int = 40) -> np.ndarray:
    """A map with a round bump of some strength at each row and column."""
    rows, columns = np.mgrid[:side, :side]
    parts = [strength * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / 18) for r, c, strength in places]
    return np.maximum.reduce(parts).astype(np.float32)


def test_regions_are_the_parts_above_half_of_the_strongest_place() -> None:
    saliency = bumps((8, 10, 1.0), (30, 28, 0.8), (8, 32, 0.6), (32, 6, 0.3))
    found = strongest_regions(saliency, count=9)
    theirs = regionprops(label(saliency >= 0.5, connectivity=1), intensity_image=saliency)
    expected = sorted(theirs, key=lambda part: -part.intensity_max)
    assert [(region.top, region.left, region.bottom, region.right) for region in found] == [
        part.bbox for part in expected
    ]
    assert [region.strength for region in found] == pytest.approx([1.0, 0.8, 0.6])
    shares = [part.image_intensity.sum() / saliency.sum() for part in expected]
    assert [region.share for region in found] == pytest.approx(shares, rel=1e-5)


def test_no_more_regions_than_asked_for_the_strongest_first() -> None:
    saliency = bumps((8, 10, 0.8), (30, 28, 1.0))
    (region,) = strongest_regions(saliency, count=1)
    assert region.top <= 30 < region.bottom
    assert region.left <= 28 < region.right


def test_parts_that_touch_at_a_corner_are_two() -> None:
    saliency = np.zeros((6, 6), np.float32)
    saliency[1, 1] = saliency[2, 2] = 1
    assert len(strongest_regions(saliency)) == 2


def test_an_empty_map_has_no_region_and_hides_nothing() -> None:
    image = np.arange(36, dtype=np.uint8).reshape(6, 6)
    nothing = np.zeros((6, 6), np.float32)
    assert strongest_regions(nothing) == ()
    np.testing.assert_array_equal(overlay(image, nothing), np.repeat(image[..., None], 3, axis=2))


def test_the_film_stays_where_the_map_is_weak_and_shows_through_where_it_is_strong() -> None:
    saliency = bumps((10, 10, 1.0))
    dark, bright = (overlay(np.full((40, 40), grey, np.uint8), saliency) for grey in (0, 200))
    weak = saliency <= 0.1
    assert (dark[weak] == 0).all()
    assert (bright[weak] == 200).all()
    assert (bright[10, 10].astype(int) - dark[10, 10] > 50).all()
    np.testing.assert_allclose(dark[10, 10], 0.65 * np.array(COLOURS[-1]), atol=1)


def test_the_stronger_the_lighter() -> None:
    scale = colours(np.linspace(0, 1, 101)) / 255
    lightness = rgb2lab(scale[None])[0, :, 0]
    assert (np.diff(lightness) > 0.2).all()
    assert np.diff(lightness).max() < 3 * np.diff(lightness).min()
    chroma = np.hypot(*rgb2lab(scale[None])[0, :, 1:].T)
    assert chroma.min() > 40, "nothing on the scale is grey, as a film is"


def test_pointing_counts_maps_whose_strongest_place_is_in_the_finding() -> None:
    saliency = np.stack([bumps((5, 5, 1.0)), bumps((30, 30, 1.0))])
    masks = np.zeros((2, 40, 40), bool)
    masks[:, :10, :10] = True
    assert hits(saliency, masks).tolist() == [True, False]
    with pytest.raises(InputError, match="mask of the same size"):
        hits(saliency, masks[:, :20])


@pytest.mark.parametrize(
    "saliency",
    [np.zeros((1, 4, 4)), np.full((4, 4), 1.5), np.full((4, 4), -0.1), np.full((4, 4), np.nan)],
    ids=["several", "above 1", "below 0", "no number"],
)
def test_what_is_no_map_is_refused(saliency: np.ndarray) -> None:
    for use in (strongest_regions, lambda each: overlay(np.zeros((4, 4), np.uint8), each)):
        with pytest.raises(InputError, match="numbers from 0 to 1"):
            use(saliency.astype(np.float32))


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="give the pixels it was made of"):
        overlay(np.zeros((5, 5), np.uint8), np.zeros((4, 4), np.float32))
