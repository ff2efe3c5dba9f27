"""DICOM: grey values as PS3.3 says, computed here a second time with plain numpy, and one line for what is damaged."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from secondread.data.pixels.decode import DecodeLimits, decode
from secondread.data.pixels.dicom import decode_dicom
from secondread.data.pixels.dicom_facts import dicom_facts
from secondread.errors import ImageError, TooLargeError

Dicom = Callable[..., bytes]
LINES = np.linspace(1500, 2500, 24 * 32).round().astype(np.uint16).reshape(24, 32)


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, with an output range of 0 to 255."""
    y = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    y = np.where(values <= center - 0.5 - (width - 1) / 2, 0, y)
    return np.rint(np.where(values > center - 0.5 + (width - 1) / 2, 255, y))


def linear_exact(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.3.2."""
    y = ((values - center) / width + 0.5) * 255
    y = np.where(values <= center - width / 2, 0, y)
    return np.rint(np.where(values > center + width / 2, 255, y))


def sigmoid(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.3.1."""
    return np.rint(255 / (1 + np.exp(-4 * (values - center) / width)))


FUNCTIONS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}


def lookup_table(data: list[int] | bytes, *, first: int, bits: int, entries: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [entries, first, bits])
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return Sequence([item])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("window", [(2048, 4096), (1900, 300), (2000, 1001)])
def test_a_window_gives_the_position_inside_its_output_range(
    dicom: Dicom, function: str, window: tuple[float, float]
) -> None:
    grey = decode(dicom(LINES, WindowCenter=window[0], WindowWidth=window[1], VOILUTFunction=function))
    np.testing.assert_array_equal(grey, FUNCTIONS[function](LINES.astype(float), *window))


def test_a_film_that_fills_a_part_of_its_window_is_not_stretched(dicom: Dicom) -> None:
    grey = decode(dicom(LINES, WindowCenter=2048, WindowWidth=4096))
    assert (grey.min(), grey.max()) == (93, 156)


def test_the_first_of_several_windows_counts(dicom: Dicom) -> None:
    grey = decode(dicom(LINES, WindowCenter=[2048, 100], WindowWidth=[4096, 10]))
    np.testing.assert_array_equal(grey, linear(LINES.astype(float), 2048, 4096))


@pytest.mark.parametrize("slope", [2.0, -1.0, 0.25])
def test_the_window_is_in_rescaled_units(dicom: Dicom, slope: float) -> None:
    values = LINES.astype(float) * slope - 1024
    data = dicom(LINES, RescaleSlope=slope, RescaleIntercept=-1024, WindowCenter=values.mean(), WindowWidth=900)
    np.testing.assert_array_equal(decode(data), linear(values, float(f"{values.mean():.10g}"), 900))


def test_signed_values_and_their_window(dicom: Dicom) -> None:
    signed = (LINES.astype(np.int32) - 2000).astype(np.int16)
    grey = decode(dicom(signed, WindowCenter=0, WindowWidth=800))
    np.testing.assert_array_equal(grey, linear(signed.astype(float), 0, 800))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_gives_the_position_inside_its_entries_range(dicom: Dicom, bits: int, packed: bool) -> None:
    """Also with 8-bit entries for a 12-bit film, as words and as bytes, and for values outside the table."""
    top = 2**bits - 1
    table = np.rint(top * (np.arange(800) / 799) ** 2).astype(int)
    data = table.astype("<u2" if bits > 8 else "u1").tobytes() if packed else table.tolist()
    voi = lookup_table(data, first=1600, bits=bits, entries=800)
    expected = table[np.clip(LINES.astype(int) - 1600, 0, 799)] / top * 255
    # the table wins where the file has a window too
    grey = decode(dicom(LINES, VOILUTSequence=voi, WindowCenter=1, WindowWidth=2))
    np.testing.assert_array_equal(grey, np.rint(expected))


def test_a_modality_lut_comes_before_the_window(dicom: Dicom) -> None:
    table = np.arange(4096)[::-1] * 4
    modality = lookup_table(table.tolist(), first=0, bits=16, entries=4096)
    grey = decode(dicom(LINES, ModalityLUTSequence=modality, WindowCenter=8000, WindowWidth=9000))
    np.testing.assert_array_equal(grey, linear(table[LINES].astype(float), 8000, 9000))


def full_range(values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless])
def test_without_a_window_the_full_range_of_the_film_is_spread(dicom: Dicom, syntax: str) -> None:
    data = dicom(LINES)
    if syntax != ImplicitVRLittleEndian:
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.compress(syntax)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        data = buffer.getvalue()
    np.testing.assert_array_equal(decode(data), full_range(LINES))


def test_big_endian_is_read(dicom: Dicom) -> None:
    np.testing.assert_array_equal(decode(dicom(LINES.astype(">u2"), syntax=ExplicitVRBigEndian)), full_range(LINES))


def test_a_16_bit_png_of_the_same_film_gives_the_same_grey(dicom: Dicom) -> None:
    buffer = io.BytesIO()
    Image.fromarray(LINES).save(buffer, format="PNG")
    np.testing.assert_array_equal(decode(buffer.getvalue()), decode(dicom(LINES)))


def test_8_bits_without_a_window_stay_as_they_are_as_in_a_png(dicom: Dicom) -> None:
    film = (LINES // 20).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, format="PNG")
    np.testing.assert_array_equal(decode(dicom(film, bits=8)), film)
    np.testing.assert_array_equal(decode(buffer.getvalue()), film)


def test_monochrome1_is_inverted_after_the_window(dicom: Dicom) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    inverted = decode(dicom(LINES, PhotometricInterpretation="MONOCHROME1", **window))
    np.testing.assert_array_equal(inverted, 255 - decode(dicom(LINES, **window)))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_the_luma_of_its_colours(dicom: Dicom, bits: int) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (3, 256))
    indices = rng.integers(0, 256, (24, 32), dtype=np.uint8)
    dtype, scale = ("<u2", 257) if bits == 16 else ("u1", 1)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    palette = {f"{name}Descriptor": [256, 0, bits] for name in names}
    palette |= {
        f"{name}Data": (table * scale).astype(dtype).tobytes() for name, table in zip(names, colours, strict=True)
    }
    grey = decode(dicom(indices, bits=8, PhotometricInterpretation="PALETTE COLOR", **palette))
    expected = np.tensordot([0.299, 0.587, 0.114], colours[:, indices], axes=1)
    assert np.abs(grey - expected).max() <= 1


def test_a_palette_without_its_table_is_refused(dicom: Dicom) -> None:
    with pytest.raises(ImageError, match="palette"):
        decode(dicom(np.zeros((8, 8), np.uint8), bits=8, PhotometricInterpretation="PALETTE COLOR"))


def test_colour_becomes_the_luma_of_the_same_png(dicom: Dicom) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colour).save(buffer, format="PNG")
    data = dicom(colour, bits=8, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB")
    np.testing.assert_array_equal(decode(data), decode(buffer.getvalue()))


def test_other_kinds_of_pixels_are_refused(dicom: Dicom) -> None:
    with pytest.raises(ImageError, match="at most 16 bits"):
        decode(dicom(LINES.astype(np.uint32), bits=32))


@pytest.mark.parametrize("name", ["Rows", "Columns", "RescaleSlope", "BitsStored", "PhotometricInterpretation"])
def test_an_empty_element_is_an_image_error(dicom: Dicom, name: str) -> None:
    with pytest.raises(ImageError, match="DICOM"):
        decode(dicom(LINES, **({"RescaleSlope": 1, "RescaleIntercept": 0} | {name: ""})))


def test_random_damage_is_an_image_error_or_still_a_picture(dicom: Dicom) -> None:
    whole = dicom(LINES, RescaleSlope=1, RescaleIntercept=0, WindowCenter=2048, WindowWidth=4096, PatientID="P1")
    refused = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for position in rng.integers(132, len(data) - LINES.nbytes, 3):
            data[position] = rng.integers(256)
        try:
            dicom_facts(bytes(data), max_bytes=1 << 20)
            assert decode(bytes(data)).dtype == np.uint8
        except (ImageError, TooLargeError) as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in reason for reason in refused)


def test_an_error_quotes_no_value_of_the_header(dicom: Dicom) -> None:
    data = dicom(LINES, WindowCenter=1, WindowWidth=10).replace(b"10.0", b"John")
    with pytest.raises(ImageError, match="grey scale") as caught:
        decode(data)
    assert "John" not in str(caught.value)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_file_without_preamble_or_without_any_header_is_read(dicom: Dicom, syntax: str) -> None:
    whole = dicom(LINES, syntax=syntax, Modality="DX", WindowCenter=2048, WindowWidth=4096)
    body = whole[whole.index(b"\x08\x00\x60\x00") :]  # the modality, the first element behind the file's header
    for data in (whole[132:], body):
        np.testing.assert_array_equal(decode(data), decode(whole))


def test_the_middle_frame_stands_for_a_file_of_several(dicom: Dicom) -> None:
    volume = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 20, 30, 40, 50)])
    data = dicom(volume, bits=8, Rows=8, Columns=8, NumberOfFrames=5)
    assert decode(data)[0, 0] == 30
    frames = [decode_dicom(data, check_size=lambda *_: None, max_bytes=1 << 20, frame=index) for index in range(5)]
    assert [int(frame[0, 0]) for frame in frames] == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", ["IDENTITY", "INVERSE"])
def test_the_presentation_lut_shape_says_what_is_dark(dicom: Dicom, photometric: str, shape: str) -> None:
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    grey = decode(dicom(LINES, PhotometricInterpretation=photometric, PresentationLUTShape=shape, **window))
    plain = decode(dicom(LINES, **window))
    np.testing.assert_array_equal(grey, 255 - plain if shape == "INVERSE" else plain)


def test_padding_is_no_part_of_the_range_of_a_film(dicom: Dicom) -> None:
    padded = LINES.copy()
    padded[:, :4] = 4000
    grey = decode(dicom(padded, PixelPaddingValue=3990, PixelPaddingRangeLimit=4095))
    np.testing.assert_array_equal(grey[:, 4:], full_range(padded[:, 4:]))
    assert (grey[:, :4] == 255).all()
    assert decode(dicom(np.full((8, 8), 7, np.uint16), PixelPaddingValue=7)).shape == (8, 8)


@pytest.mark.parametrize("missing", ["PixelData", "Rows"])
def test_a_file_without_pixels_is_refused(dicom: Dicom, missing: str) -> None:
    with pytest.raises(ImageError, match="holds no picture"):
        decode(dicom(LINES, **{missing: None}))


def test_pixels_are_counted_before_they_are_decoded(dicom: Dicom) -> None:
    with pytest.raises(TooLargeError, match="32 x 24 pixels"):
        decode(dicom(LINES), limits=DecodeLimits(max_pixels=767))


@pytest.mark.parametrize("name", ["rsna-cr-pa-jpegbaseline", "nema-wg04-rg1-chest-j2k-15bit-mono1", "udacity-test1"])
def test_real_films_are_read_whatever_their_transfer_syntax(shared_data: Path, name: str) -> None:
    path = shared_data / "dicom" / f"{name}.dcm"
    dataset = pydicom.dcmread(path)
    stored, grey = dataset.pixel_array.astype(float), decode(path.read_bytes())
    if "WindowCenter" in dataset:  # the film of the NEMA, MONOCHROME1
        np.testing.assert_array_equal(grey, 255 - linear(stored, dataset.WindowCenter, dataset.WindowWidth))
    else:
        np.testing.assert_array_equal(grey, stored)


def test_a_jpeg_inside_a_dicom_gives_the_grey_of_the_jpeg_alone(shared_data: Path) -> None:
    path = shared_data / "dicom" / "rsna-cr-pa-jpegbaseline.dcm"
    frame = next(pydicom.encaps.generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))
    assert np.abs(decode(path.read_bytes()).astype(int) - decode(frame)).max() <= 1
