"""The one pixel path: size, aspect ratio, and the same pixels for the same picture."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.data.pixels.borders import trim_borders
from secondread.data.pixels.contrast import equalise
from secondread.data.pixels.decode import decode
from secondread.data.pixels.preprocess import DECODE_RULE, Preprocessing, preprocess
from secondread.errors import ImageError, InputError


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_wide_film_keeps_its_aspect_ratio_on_black() -> None:
    pixels = preprocess(png(np.full((50, 100), 200, np.uint8)), Preprocessing(size=64))
    assert pixels.shape == (64, 64)
    assert (pixels[16:48] == 200).all()
    assert (pixels[:16] == 0).all()
    assert (pixels[48:] == 0).all()


def test_a_square_film_of_the_right_size_is_left_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(preprocess(png(picture), Preprocessing(size=32)), picture)


def test_scaling_in_the_decoder_changes_little(shared_data: Path) -> None:
    """Against full decoding and Pillow's own resize: the mean difference stays below 2 of 255 grey values."""
    for path in sorted((shared_data / "nih-covid-3" / "cxr-normal").glob("*.jpg"))[:20]:
        with Image.open(path) as image:
            full = np.asarray(image.convert("L").resize((96, 96), Image.Resampling.BILINEAR), float)
            if image.width != image.height:
                continue
        ours = preprocess(path.read_bytes(), Preprocessing(size=96))
        assert np.abs(ours - full).mean() < 2


def test_a_sliver_is_refused_whatever_the_size() -> None:
    for size in (16, 64, 512):
        with pytest.raises(ImageError, match="is no film"):
            preprocess(png(np.zeros((4, 1000), np.uint8)), Preprocessing(size=size))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_no_side_of_what_is_a_film_vanishes(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((101, 1601), 200, np.uint8)).save(buffer, format=kind)
    pixels = preprocess(buffer.getvalue(), Preprocessing(size=16))
    assert (pixels[pixels > 0] > 190).all()
    assert pixels.any(axis=1).sum() == 1


@pytest.mark.parametrize("rule", ["other/9", "grey-dct-scaled/1"])
def test_another_rule_is_refused_by_name(rule: str) -> None:
    with pytest.raises(InputError, match=f"not 'pad, {rule}'"):
        Preprocessing.from_dict({"size": 64, "fit": "pad", "decode_rule": rule})


@pytest.mark.parametrize("option", [{"contrast": "clahe/9"}, {"trim_borders": "yes"}])
def test_an_option_of_another_version_is_refused(option: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"this version reads .* with contrast none or clahe and trim_borders true"):
        Preprocessing.from_dict({"size": 64, **option})


def test_what_was_stored_without_options_has_none() -> None:
    spec = Preprocessing.from_dict({"size": 64, "fit": "pad", "decode_rule": DECODE_RULE})
    assert spec == Preprocessing(size=64, contrast="none", trim_borders=False)
    chosen = Preprocessing(size=64, contrast="clahe", trim_borders=True)
    assert Preprocessing.from_dict(json.loads(json.dumps(chosen.to_dict()))) == chosen
    assert str(spec) == f"64 px ({DECODE_RULE})"
    assert str(chosen) == f"64 px ({DECODE_RULE}, contrast clahe, borders trimmed)"


def test_clahe_is_of_the_small_film_without_the_padding() -> None:
    rng = np.random.default_rng(0)
    data = png(rng.normal(60, 10, (200, 400)).clip(0, 255).astype(np.uint8))
    plain, equalised = (preprocess(data, Preprocessing(size=64, contrast=each)) for each in ("none", "clahe"))
    np.testing.assert_array_equal(equalised[16:48], equalise(plain[16:48]))
    assert equalised[16:48].std() > 1.5 * plain[16:48].std()
    assert not equalised[:16].any()
    assert not equalised[48:].any()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_trimmed_film_is_as_sharp_as_one_that_never_had_a_frame(shared_data: Path, kind: str) -> None:
    """The decoder halves a JPEG only as far as what remains allows."""
    path = sorted((shared_data / "nih-covid-3" / "cxr-normal").glob("*.jpg"))[3]
    film = trim_borders(decode(path.read_bytes()))
    buffer = io.BytesIO()
    Image.fromarray(np.pad(film, ((220, 180), (200, 200)))).save(
        buffer, format=kind, **{"quality": 95} if kind == "JPEG" else {}
    )
    found = preprocess(buffer.getvalue(), Preprocessing(size=200, trim_borders=True))
    expected = preprocess(png(film), Preprocessing(size=200))
    assert np.abs(found.astype(int) - expected).mean() < 1.5
    framed = preprocess(buffer.getvalue(), Preprocessing(size=200))
    assert np.abs(framed.astype(int) - expected).mean() > 20
