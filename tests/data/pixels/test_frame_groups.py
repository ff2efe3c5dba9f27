"""Files whose frames have windows and scales of their own: read where these change nothing, else refused."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from secondread.data.pixels.decode import decode
from secondread.data.pixels.dicom import decode_dicom
from secondread.errors import ImageError

Dicom = Callable[..., bytes]
LINES = np.linspace(1500, 2500, 24 * 32).round().astype(np.uint16).reshape(24, 32)


def full_range(values: np.ndarray) -> np.ndarray:
    values = values.astype(float)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 255)


def sequence(**elements: object) -> Sequence:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return Sequence([item])


WINDOWED = {"FrameVOILUTSequence": sequence(WindowCenter=2048, WindowWidth=4096)}
RESCALED = {"PixelValueTransformationSequence": sequence(RescaleSlope=-1, RescaleIntercept=0)}


@pytest.mark.parametrize("macro", [WINDOWED, RESCALED], ids=["window", "scale"])
@pytest.mark.parametrize("group", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize("defined", [True, False])
def test_an_enhanced_file_whose_frames_look_otherwise_by_their_own_window_is_refused(
    dicom: Dicom, macro: dict[str, Sequence], group: str, defined: bool
) -> None:
    own = sequence(**macro)
    own.is_undefined_length = not defined
    with pytest.raises(ImageError, match="window or scale for each frame"):
        decode(dicom(LINES, **{group: own}))


def test_the_window_that_counts_is_of_the_frame_that_is_read(dicom: Dicom) -> None:
    groups = Sequence([Dataset(), *sequence(**WINDOWED), Dataset()])
    frames = {"Rows": 24, "Columns": 32, "NumberOfFrames": 3, "PerFrameFunctionalGroupsSequence": groups}
    data = dicom(np.stack([LINES] * 3), **frames)
    for index, fits in enumerate((True, False, True)):
        if fits:
            grey = decode_dicom(data, check_size=lambda *_: None, max_bytes=1 << 20, frame=index)
            np.testing.assert_array_equal(grey, full_range(LINES))
    with pytest.raises(ImageError, match="window or scale for each frame"):
        decode(data)


@pytest.mark.parametrize(
    ("film", "bits", "macros"),
    [
        (LINES, 16, {"PixelValueTransformationSequence": sequence(RescaleSlope=1, RescaleIntercept=-1024)}),
        ((LINES // 20).astype(np.uint8), 8, {"FrameVOILUTSequence": sequence(WindowCenter=128, WindowWidth=256)}),
        (LINES, 16, {"FrameAnatomySequence": sequence(FrameLaterality="R")}),
    ],
    ids=["rescaled CT without a window", "retina of 8 bits in its whole range", "neither"],
)
def test_an_enhanced_file_whose_frames_look_the_same_by_their_own_window_is_read(
    dicom: Dicom, film: np.ndarray, bits: int, macros: dict[str, Sequence]
) -> None:
    data = dicom(film, bits=bits, SharedFunctionalGroupsSequence=sequence(**macros))
    np.testing.assert_array_equal(decode(data), decode(dicom(film, bits=bits)))


def test_far_more_items_than_frames_are_refused_before_they_are_made(dicom: Dicom) -> None:
    groups = b"\xfe\xff\x00\xe0\0\0\0\0" * 50_001
    element = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, len(groups)) + groups
    data = dicom(LINES)
    at = data.index(b"\xe0\x7f\x10\x00")
    with pytest.raises(ImageError, match="says far more of its frames"):
        decode(data[:at] + element + data[at:])
