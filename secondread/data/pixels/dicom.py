"""A DICOM file to a grey uint8 picture, as PS3.3 says: C.7.6.3 pixels, C.11.1 modality LUT, C.11.2 VOI LUT and window.

The grey value is the position inside the output range of the last transformation that the file states:

- VOI LUT or window: the range of its output, so that a film that fills a tenth of its window fills a tenth of 0..255;
- neither, at most 8 bits: all values that so many bits can hold, so that a PNG of the same film gives the same grey;
- neither, more than 8 bits: the least to the greatest value of the film, as with a 16-bit PNG, its padding apart.

The first of several windows counts. MONOCHROME1 is inverted, unless the presentation LUT shape says otherwise. Colour
and palettes become luma. Of a file with several frames, such as a volume of the retina, `decode_dicom` gives the middle
one unless another is asked for; `data ingest` of a DICOM folder takes each. Where frames have windows or scales of
their own, as in enhanced files, a frame is read only if these change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.data.pixels.codestream import JPEG_EXTENDED, JpegFrame, check_codestream
from secondread.data.pixels.dicom_facts import frame_count
from secondread.data.pixels.dicom_file import open_dicom, reading
from secondread.data.pixels.frame_groups import take_over_frame_groups
from secondread.data.pixels.gdcm_frame import FrameLayout, decode_frame
from secondread.data.pixels.grey import look_up, spread, values_present
from secondread.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = npt.NDArray[np.float64]
Stored = npt.NDArray[Any]

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom gives all of them as RGB
_JPEG_8_BIT = "1.2.840.10008.1.2.4.50"
# lossless JPEG and JPEG-LS, which GDCM alone can read; like 12 bits of extended JPEG, in a process of its own
_BY_GDCM = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 81))
# pydicom would take GDCM for these too, in this process, and GDCM does not survive damage
_PLUGINS = {_JPEG_8_BIT: "pillow", JPEG_EXTENDED: "pillow"}
_PLUGINS |= {f"1.2.840.10008.1.2.4.{number}": "pylibjpeg" for number in (90, 91, 201, 202, 203)}

_ITEM, _MOST_FRAGMENTS = b"\xfe\xff\x00\xe0", 100_000  # PS3.5 A.4


def decode_dicom(
    data: bytes, *, check_size: Callable[[int, int], None], max_bytes: int, frame: int | None = None
) -> npt.NDArray[np.uint8]:
    """Decode one frame.

    Args:
        data: a DICOM file.
        check_size: called with height and width in pixels before anything is decoded; raises to refuse them.
        max_bytes: that a deflated file may inflate to.
        frame: counted from 0; None for the middle one.
    Returns:
        uint8 (height, width), 0 black.
    Raises:
        ImageError: no pixels, a codec that is not supported, or a damaged file.
        TooLargeError: from `check_size`, or inflated above `max_bytes`.
    """
    dataset = open_dicom(data, max_bytes=max_bytes)
    if "Rows" not in dataset or "PixelData" not in dataset:
        raise ImageError("the DICOM file holds no picture, or is cut off before it. Export the film again.")
    with reading("header"):
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    check_size(rows, columns)
    frames = frame_count(str(dataset.get("NumberOfFrames") or ""))
    index = frames // 2 if frame is None else frame
    stored = _stored(dataset, index, frames)
    with reading("pixels"):
        photometric, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    if photometric in _MONOCHROME and stored.ndim == 2:
        return _grey(dataset, stored, index, inverted=_is_inverted(dataset, photometric))
    if photometric == "PALETTE COLOR" and stored.ndim == 2:
        with reading("palette"):
            return _luma(*_through_palette(dataset, stored))
    if photometric in _COLOUR and stored.ndim == 3 and stored.shape[2] == 3:
        return _luma(stored, bits)
    raise ImageError(f"DICOM pixels of the kind '{photometric}' are not read. Convert them to MONOCHROME2.")


def _stored(dataset: Dataset, index: int, frames: int) -> Stored:
    """The stored values of one frame; RGB where they are colours."""
    with reading("pixels"):
        from pydicom.pixels.utils import pixel_array

        syntax = dataset.file_meta.TransferSyntaxUID
        encoded = _encoded(dataset, index, frames) if syntax.is_compressed and not syntax.is_deflated else b""
    if encoded:
        header = check_codestream(encoded, str(syntax), rows=int(dataset.Rows), columns=int(dataset.Columns))
        if header and (syntax in _BY_GDCM or (syntax == JPEG_EXTENDED and header.bits > 8)):
            return _by_gdcm(dataset, encoded, header)
    with reading("pixels"):
        return pixel_array(dataset, index=index, decoding_plugin=_PLUGINS.get(str(syntax), ""))


def _encoded(dataset: Dataset, index: int, frames: int) -> bytes:
    """One frame as encoded, its fragments joined."""
    from pydicom.encaps import get_frame

    # where the element says its length, all of them came in one read, which nothing has counted
    if not dataset["PixelData"].is_undefined_length and dataset.PixelData.count(_ITEM) > _MOST_FRAGMENTS:
        raise ImageError("the DICOM file's pixels are in far more parts than a film's. Export the film again.")
    return bytes(get_frame(dataset.PixelData, index, number_of_frames=frames))


def _by_gdcm(dataset: Dataset, encoded: bytes, header: JpegFrame) -> Stored:
    with reading("pixels"):
        syntax, photometric = str(dataset.file_meta.TransferSyntaxUID), str(dataset.PhotometricInterpretation)
        bits, signed = int(dataset.BitsStored), bool(int(dataset.PixelRepresentation))
        layout = FrameLayout(
            transfer_syntax=syntax,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            samples=header.samples,
            bits=header.bits,
            signed=signed,
            photometric=photometric,
            extended=syntax == JPEG_EXTENDED,
        )
    decoded = decode_frame(encoded, layout)
    with reading("pixels"):
        if header.samples == 3 and photometric.startswith("YBR"):
            from pydicom.pixels.processing import convert_color_space

            return np.asarray(convert_color_space(decoded, photometric, "RGB"))
        # PS3.5 8.1.1: what stands above the stored bits is no part of the value
        above = 8 * decoded.dtype.itemsize - bits
        return (decoded << above) >> above if above > 0 else decoded


def _grey(dataset: Dataset, stored: npt.NDArray[Any], frame: int, *, inverted: bool) -> npt.NDArray[np.uint8]:
    if stored.dtype.kind not in "ui" or stored.dtype.itemsize > 2:
        raise ImageError(f"DICOM pixels of type {stored.dtype} are not read. Export the film with at most 16 bits.")
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    unsigned = native.view(f"u{native.dtype.itemsize}")
    # every value that a pixel can have, once: what holds for it holds for all pixels that have it
    levels = np.arange(256**native.dtype.itemsize, dtype=unsigned.dtype).view(native.dtype).astype(np.float64)
    present = values_present(unsigned)
    table = _table(dataset, levels, present)
    with reading("grey scale"):
        framed = take_over_frame_groups(dataset, frame)
    # to read by them would give such files other pixels, which takes a new decode rule
    if framed and np.abs(_table(dataset, levels, present).astype(int) - table).max() > 1:
        raise ImageError(
            "the DICOM file has a window or scale for each frame, by which it would look otherwise than it is read "
            "here. Export its frames as films of their own."
        )
    return look_up(255 - table if inverted else table, unsigned)


def _table(dataset: Dataset, levels: Values, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The grey of every level that the picture has, 0 for all others."""
    with reading("grey scale"):
        values, low, high = _scaled(dataset, levels, present & ~_padding(dataset, levels))
    if not (np.isfinite(values[present]).all() and np.isfinite([low, high]).all()):
        raise ImageError("the DICOM grey scale gives values that are no numbers. Export the film again.")
    table = np.zeros(len(levels), np.uint8)
    table[present] = spread(values[present], low, high)
    return table


def _is_inverted(dataset: Dataset, photometric: str) -> bool:
    """Whether large values are dark: as the presentation LUT shape says (PS3.3 C.11.6), else the pixels' own kind."""
    shape = str(dataset.get("PresentationLUTShape") or "")
    return shape == "INVERSE" if shape in ("IDENTITY", "INVERSE") else photometric == "MONOCHROME1"


def _padding(dataset: Dataset, levels: Values) -> npt.NDArray[np.bool_]:
    """Which levels stand for no picture (PS3.3 C.7.5.1.1.2): around it, and no part of its range."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(len(levels), np.bool_)
    last = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((int(first), int(first if last is None else last)))
    return (levels >= ends[0]) & (levels <= ends[1])


def _scaled(dataset: Dataset, levels: Values, present: npt.NDArray[np.bool_]) -> tuple[Values, float, float]:
    """The levels after the modality and the VOI transformation, and the values that become black and white.

    Args:
        dataset: with the transformations.
        levels: every value that a pixel can have.
        present: which of them the picture has.
    """
    from pydicom.pixels.processing import apply_windowing

    values, bits = _modality(dataset, levels)
    item = _first(dataset, "VOILUTSequence")
    if item is not None and None not in (item.get("LUTDescriptor"), item.get("LUTData")):
        values, bits = _through_lut(item, values, little_endian=_is_little_endian(dataset))
        return values, 0.0, 2.0**bits - 1
    if dataset.get("WindowCenter") not in (None, "") and dataset.get("WindowWidth") not in (None, ""):
        # what lies far below and far above the window comes out at the ends of the output range
        low, high = apply_windowing(np.array([-np.inf, np.inf]), dataset)
        return np.asarray(apply_windowing(values, dataset), np.float64), float(low), float(high)
    if bits > 8:
        shown = values[present] if present.any() else values[:1]  # none: all of it is padding
        return values, float(shown.min()), float(shown.max())
    if _first(dataset, "ModalityLUTSequence") is not None:
        return values, 0.0, 2.0**bits - 1
    least = -(2.0 ** (bits - 1)) if int(dataset.PixelRepresentation) else 0.0
    ends, _ = _modality(dataset, np.array([least, least + 2.0**bits - 1]))
    return values, float(ends.min()), float(ends.max())


def _modality(dataset: Dataset, levels: Values) -> tuple[Values, int]:
    """The levels in the units of the modality, and the bits that they were stored with."""
    from pydicom.pixels.processing import apply_modality_lut

    item = _first(dataset, "ModalityLUTSequence")
    if item is not None:
        return _through_lut(item, levels, little_endian=_is_little_endian(dataset))
    return np.asarray(apply_modality_lut(levels, dataset), np.float64), int(dataset.BitsStored)


def _through_lut(item: Dataset, values: Values, *, little_endian: bool) -> tuple[Values, int]:
    """The entries of a lookup table (PS3.3 C.11.1.1), and the bits of one.

    Not pydicom's own: it counts positions in the type of the entries, so that 8-bit entries of a 12-bit film overflow.
    """
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries = entries or 1 << 16  # the standard writes 65536, which 16 bits cannot hold, as 0
    table = np.atleast_1d(item.LUTData)
    if isinstance(item.LUTData, bytes):
        wide = "<u2" if little_endian else ">u2"
        table = np.frombuffer(item.LUTData, wide if len(item.LUTData) >= 2 * entries else np.uint8)
    if len(table) < entries or not 1 <= bits <= 16:
        raise NotImplementedError(f"a lookup table of {len(table)} entries for {entries}, of {bits} bits each")
    position = np.clip(np.rint(values) - first, 0, entries - 1).astype(np.int64)
    return table[position].astype(np.float64), bits


def _through_palette(dataset: Dataset, stored: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """The colours of a palette (PS3.3 C.7.6.3.1.5), and the bits of each."""
    from pydicom.pixels.processing import apply_color_lut

    entries, first, bits = (int(number) for number in dataset.RedPaletteColorLookupTableDescriptor)
    # the standard gives what lies outside the first or last colour; pydicom's own positions overflow
    inside = np.clip(stored.astype(np.int32), first, first + (entries or 1 << 16) - 1)
    return apply_color_lut(inside, dataset)[..., :3], bits


def _luma(colours: npt.NDArray[Any], bits: int) -> npt.NDArray[np.uint8]:
    """ITU-R BT.601 luma, by the same arithmetic as for a PNG."""
    eight = colours if bits == 8 else spread(colours, 0.0, 2.0**bits - 1)
    return np.asarray(Image.fromarray(np.ascontiguousarray(eight, np.uint8)).convert("L"))


def _first(dataset: Dataset, sequence: str) -> Dataset | None:
    items = dataset.get(sequence)
    return items[0] if items else None


def _is_little_endian(dataset: Dataset) -> bool:
    return bool(dataset.file_meta.TransferSyntaxUID.is_little_endian)
