"""DICOM: grey values as PS3.3 says, computed here a second time with plain numpy, and one line for what is damaged."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from secondread.data.pixels.codestream import jpeg_frame
from secondread.data.pixels.decode import DecodeLimits, decode
from secondread.data.pixels.dicom import _encoded, decode_dicom
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


def test_a_small_header_on_a_huge_compressed_frame_is_refused_before_it_is_decoded(dicom: Dicom) -> None:
    frames = {}
    for kind, syntax in (("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000Lossless)):
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((512, 512), np.uint8)).save(buffer, format=kind, **{"no_jp2": True})
        frames[syntax] = buffer.getvalue()
    for syntax, frame in frames.items():
        data = dicom(np.zeros((24, 32), np.uint8), bits=8, syntax=syntax, PixelData=encapsulate([frame]))
        with pytest.raises(ImageError, match="32 x 24 pixels and its compressed frame 512 x 512"):
            decode(data)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
def test_a_frame_that_passes_over_its_picture_again_and_again_is_refused(dicom: Dicom, syntax: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(buffer, format="JPEG", progressive=True)
    head, first, second, *others = buffer.getvalue().split(b"\xff\xda")
    frames = [b"\xff\xda".join([head, first, *[second] * times, *others]) for times in (1, 250)]
    films = [
        dicom(np.zeros((24, 32), np.uint8), bits=8, syntax=syntax, PixelData=encapsulate([each])) for each in frames
    ]
    assert decode(films[0]).shape == (24, 32)
    with pytest.raises(ImageError, match="a JPEG of 255 scans is not read"):
        decode(films[1])


def test_an_rle_frame_that_grows_beyond_its_pixels_is_refused(dicom: Dicom) -> None:
    header = np.array([1, 64, *[0] * 14], "<u4").tobytes()
    bomb = header + b"\x81\x00" * 10_000  # each pair becomes 128 bytes
    data = dicom(np.zeros((24, 32), np.uint8), bits=8, syntax=RLELossless, PixelData=encapsulate([bomb]))
    with pytest.raises(ImageError, match="more than its 768 pixels"):
        decode(data)


def deflated(whole: bytes) -> bytes:
    """As PS3.5 A.5 says: all behind the file's own header."""
    start = whole.index(b"\x28\x00\x02\x00")  # the first element behind it
    head = whole[:start].replace(b"1.2.840.10008.1.2.1\0", DeflatedExplicitVRLittleEndian.encode())
    length = int.from_bytes(head[140:144], "little") + 2  # of the header, which the longer name makes longer
    head = head[:140] + length.to_bytes(4, "little") + head[144:]
    at = head.index(b"\x02\x00\x10\x00UI") + 6
    head = head[:at] + len(DeflatedExplicitVRLittleEndian).to_bytes(2, "little") + head[at + 2 :]
    return head + zlib.compress(whole[start:])[2:-4]


def test_a_deflated_file_is_read_up_to_the_limit_on_bytes_and_never_inflated_beyond(dicom: Dicom) -> None:
    np.testing.assert_array_equal(decode(deflated(dicom(LINES))), full_range(LINES))
    bomb = deflated(dicom(np.zeros((4000, 4000), np.uint8), bits=8))
    assert len(bomb) < 20_000
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="more than 1000000 bytes"):
        decode(bomb, limits=DecodeLimits(max_bytes=1_000_000))
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("starts", [(64, 64), (66, 64), (64, 1 << 20)], ids=["the same", "falling", "outside"])
def test_rle_segments_that_do_not_follow_each_other_are_refused(dicom: Dicom, starts: tuple[int, int]) -> None:
    """Fifteen segments that are all of the frame would be gone through fifteen times."""
    frame = np.array([2, *starts, *[0] * 13], "<u4").tobytes() + b"\x81\x00" * 12
    data = dicom(np.zeros((24, 32), np.uint16), syntax=RLELossless, PixelData=encapsulate([frame]))
    with pytest.raises(ImageError, match="RLE frame is damaged"):
        decode(data)


@pytest.mark.parametrize("marks", [b"\xff", b"\xff\xd0", b"\xff\xfe\0\x02"], ids=["filling", "restarts", "comments"])
def test_a_frame_header_behind_far_too_many_marks_is_refused(dicom: Dicom, marks: bytes) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((24, 32), np.uint8)).save(buffer, format="JPEG")
    plain = buffer.getvalue()
    for times, fits in ((100, True), (10_001, False)):
        frame = plain[:2] + marks * times + plain[2:]
        if fits:
            assert jpeg_frame(frame, (0xC0,)).height == 24
            continue
        data = dicom(np.zeros((24, 32), np.uint8), bits=8, syntax=JPEGBaseline8Bit, PixelData=encapsulate([frame]))
        with pytest.raises(ImageError, match="JPEG frame is damaged"):
            decode(data)


def test_far_more_fragments_than_a_film_has_are_refused_though_the_pixels_say_their_length() -> None:
    dataset = Dataset()
    dataset.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" * 100_001
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", False
    with pytest.raises(ImageError, match="far more parts than a film's"):
        _encoded(dataset, 0, 1)


def file_header(*elements: tuple[int, bytes, bytes], implicit: bool = False) -> bytes:
    """Preamble and group 2, of element numbers with their kinds and values."""
    parts = []
    for number, kind, value in elements:
        long = len(value).to_bytes(4, "little")
        said = long if implicit else kind + (b"\0\0" + long if kind == b"OB" else long[:2])
        parts.append(b"\x02\0" + number.to_bytes(2, "little") + said + value)
    return bytes(128) + b"DICM" + b"".join(parts)


@pytest.mark.parametrize(
    "head",
    [
        file_header((0x01, b"OB", bytes(5000)), (0x10, b"UI", DeflatedExplicitVRLittleEndian.encode())),
        file_header((0x10, b"UI", DeflatedExplicitVRLittleEndian.encode()), implicit=True),
        file_header((0x10, b"UI", DeflatedExplicitVRLittleEndian.encode()), (0x102, b"OB", bytes(5000))),
    ],
    ids=["a long version before it", "implicit", "a long private value behind it"],
)
@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_no_header_hides_that_a_file_is_deflated(dicom: Dicom, head: bytes) -> None:
    whole = dicom(LINES)
    body = whole[whole.index(b"\x28\x00\x02\x00") :]
    np.testing.assert_array_equal(decode(head + zlib.compress(body)[2:-4]), full_range(LINES))
    bomb = head + zlib.compress(bytes(8 << 20))[2:-4]
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="more than 1000000 bytes"):
        decode(bomb, limits=DecodeLimits(max_bytes=1_000_000))
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_a_uid_that_only_mentions_deflate_does_not_make_a_film_deflated(dicom: Dicom) -> None:
    data = dicom(LINES, SOPInstanceUID=f"{DeflatedExplicitVRLittleEndian}.7")
    np.testing.assert_array_equal(decode(data), full_range(LINES))


SEQUENCE = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff"


MANY = {
    "elements": b"".join(struct.pack("<HH4s", 8 + 2 * (i >> 16), i & 0xFFFF, b"LO") for i in range(450_000)),
    "items": SEQUENCE + b"\xfe\xff\x00\xe0\0\0\0\0" * 200_000,
    "elements of one item": SEQUENCE + b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + b"\x10\0\x10\0LO\0\0" * 450_000,
}


@pytest.mark.parametrize(("kind", "deflate"), [*((kind, False) for kind in MANY), ("elements of one item", True)])
def test_far_more_elements_than_a_film_has_are_refused_before_all_are_made(kind: str, deflate: bool) -> None:
    syntax = DeflatedExplicitVRLittleEndian.encode() if deflate else ExplicitVRLittleEndian.encode() + b"\0"
    elements = zlib.compress(MANY[kind])[2:-4] if deflate else MANY[kind]
    with pytest.raises(TooLargeError, match="far more elements than a film"):
        decode(file_header((0x10, b"UI", syntax)) + elements)


@pytest.mark.parametrize("tag", [(0x0008, 0x0005), (0x0028, 0x0010), (0x0028, 0x1050)])
@pytest.mark.parametrize("ends", [True, False])
def test_a_value_far_longer_than_any_is_not_taken_apart(tag: tuple[int, int], ends: bool) -> None:
    """2 MiB of separators would become 2 million strings, and 64 MiB 64 million."""
    values = b"1\\" * (1 << 20)
    length = len(values) if ends else 0xFFFFFFFF
    implicit = file_header((0x10, b"UI", ImplicitVRLittleEndian.encode() + b"\0"))
    with pytest.raises(TooLargeError, match="a value of more than 1048576 bytes"):
        decode(implicit + struct.pack("<HHI", *tag, length) + values + b"\xfe\xff\xdd\xe0\0\0\0\0")


def test_a_long_value_of_a_kind_that_is_not_looked_at_is_no_fault(dicom: Dicom) -> None:
    data = dicom(LINES)
    private = struct.pack("<HH2sHI", 0x0029, 0x1010, b"OB", 0, 8 << 20) + bytes(8 << 20)
    at = data.index(b"\xe0\x7f\x10\x00")
    np.testing.assert_array_equal(decode(data[:at] + private + data[at:]), full_range(LINES))


def test_a_deflated_file_that_is_cut_off_or_damaged_is_refused(dicom: Dicom) -> None:
    whole = deflated(dicom(LINES))
    with pytest.raises(ImageError, match="cut off"):
        decode(whole[:-20])
    with pytest.raises(ImageError, match="damaged"):
        decode(whole[: 144 + int.from_bytes(whole[140:144], "little")] + b"\xff" * 400)


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
