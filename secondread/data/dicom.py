"""A DICOM file to a grey uint8 picture, as PS3.3 says: C.7.6.3 pixels, C.11.1 modality LUT, C.11.2 VOI LUT and window.

The grey value is the position inside the output range of the last transformation that the file states:

- VOI LUT or window: the range of its output, so that a film that fills a tenth of its window fills a tenth of 0..255;
- neither, at most 8 bits: all values that so many bits can hold, so that a PNG of the same film gives the same grey;
- neither, more than 8 bits: the least to the greatest value of the film, as with a 16-bit PNG.

MONOCHROME1 is inverted. Colour and palettes become luma.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from secondread.data.codestream import check_codestream
from secondread.data.grey import look_up, spread, values_present
from secondread.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = npt.NDArray[np.float64]

# our one line says what is wrong; pydicom's warnings and logged tracebacks may quote a patient's name
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom\.")

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom gives all of them as RGB
# pydicom inflates such a file whole, however large it becomes
_DEFLATED = b"1.2.840.10008.1.2.1.99"


def decode_dicom(data: bytes, *, check_size: Callable[[int, int], None]) -> npt.NDArray[np.uint8]:
    """Decode the first frame.

    Args:
        data: a DICOM file with its preamble.
        check_size: called with height and width in pixels before anything is decoded; raises to refuse them.
    Returns:
        uint8 (height, width), 0 black.
    Raises:
        ImageError: no pixels, a codec that is not supported, or a damaged file.
        TooLargeError: from `check_size`.
    """
    dataset = _read(data)
    with _reading("header"):
        rows, columns = int(dataset.Rows), int(dataset.Columns)
    check_size(rows, columns)
    with _reading("pixels"):
        from pydicom.pixels.utils import pixel_array

        frame, syntax = _first_frame(dataset), dataset.file_meta.TransferSyntaxUID
    if frame:
        check_codestream(frame, str(syntax), rows=rows, columns=columns)
    with _reading("pixels"):
        stored = pixel_array(dataset, index=0)
        photometric, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    if photometric in _MONOCHROME and stored.ndim == 2:
        return _grey(dataset, stored, inverted=photometric == "MONOCHROME1")
    if photometric == "PALETTE COLOR" and stored.ndim == 2:
        with _reading("palette"):
            return _luma(*_through_palette(dataset, stored))
    if photometric in _COLOUR and stored.ndim == 3 and stored.shape[2] == 3:
        return _luma(stored, bits)
    raise ImageError(f"DICOM pixels of the kind '{photometric}' are not read. Convert them to MONOCHROME2.")


def dicom_ids(data: bytes) -> tuple[str, str]:
    """PatientID and StudyInstanceUID of a DICOM file, empty where it has none.

    Raises:
        ImageError: the file is damaged.
    """
    dataset = _read(data, stop_before_pixels=True, specific_tags=["PatientID", "StudyInstanceUID"])
    with _reading("header"):
        patient, study = (str(dataset.get(name) or "").strip() for name in ("PatientID", "StudyInstanceUID"))
    return patient, study


@contextmanager
def _reading(part: str) -> Iterator[None]:
    """Turn whatever pydicom raises on a damaged file into an ImageError that quotes no value of the header."""
    try:
        yield
    except Exception as error:  # pydicom's errors share no base class, and damaged bytes raise numpy's and Python's too
        # these speak of codecs and of what is missing; others may quote a value, and a value may be a name
        told = isinstance(error, AttributeError | NotImplementedError | RuntimeError)
        reason = " ".join(str(error).split()) if told else type(error).__name__
        raise ImageError(f"the DICOM {part} cannot be read ({reason}). Export the film again, uncompressed.") from error


def _read(data: bytes, **options: Any) -> Dataset:
    if _DEFLATED in data:
        raise ImageError("a deflated DICOM file is not read, since its size is not known. Export it without deflate.")
    with _reading("header"):
        # pydicom takes a quarter of a second to import, which `predict` on a JPEG should not pay
        import pydicom

        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values
        return pydicom.dcmread(io.BytesIO(data), **options)


def _first_frame(dataset: Dataset) -> bytes:
    """The first frame as encoded; empty where pixels are not compressed."""
    from pydicom.encaps import get_frame

    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        return b""
    return bytes(get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))


def _grey(dataset: Dataset, stored: npt.NDArray[Any], *, inverted: bool) -> npt.NDArray[np.uint8]:
    if stored.dtype.kind not in "ui" or stored.dtype.itemsize > 2:
        raise ImageError(f"DICOM pixels of type {stored.dtype} are not read. Export the film with at most 16 bits.")
    native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    unsigned = native.view(f"u{native.dtype.itemsize}")
    # every value that a pixel can have, once: what holds for it holds for all pixels that have it
    levels = np.arange(256**native.dtype.itemsize, dtype=unsigned.dtype).view(native.dtype).astype(np.float64)
    present = values_present(unsigned)
    with _reading("grey scale"):
        values, low, high = _scaled(dataset, levels, present)
    if not (np.isfinite(values[present]).all() and np.isfinite([low, high]).all()):
        raise ImageError("the DICOM grey scale gives values that are no numbers. Export the film again.")
    table = np.zeros(len(levels), np.uint8)
    table[present] = spread(values[present], low, high)
    return look_up(255 - table if inverted else table, unsigned)


def _scaled(dataset: Dataset, levels: Values, present: npt.NDArray[np.bool_]) -> tuple[Values, float, float]:
    """The levels after the modality and the VOI transformation, and the values that become black and white."""
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
        return values, float(values[present].min()), float(values[present].max())
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
