"""DICOM files that would take a reader far more memory or time than a film: refused before they do."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from secondread.data.pixels.codestream import jpeg_frame
from secondread.data.pixels.decode import DecodeLimits, decode
from secondread.data.pixels.dicom import _encoded
from secondread.errors import ImageError, TooLargeError

Dicom = Callable[..., bytes]
LINES = np.linspace(1500, 2500, 24 * 32).round().astype(np.uint16).reshape(24, 32)


def full_range(values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


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
