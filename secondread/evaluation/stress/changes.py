"""The named changes to a film, on the pixels that a model is given.

What changes the file and not the film (`as_png`, `as_dicom`) is encoded and goes through the library's own decoder and
preprocessing, as every film does. Everything else is drawn on the pixels, in shares of their shorter side.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from secondread.config.changes import AsDicom, AsPng, Border, Brightness, Change, Opacity, SideMarker
from secondread.data.pixels.preprocess import Preprocessing, preprocess
from secondread.data.pixels.resize import resize

Grey = npt.NDArray[np.uint8]

_LEAD = 235  # grey of a lead letter: bright, not quite white
_DRAWN_SIDE = 448  # pixels that a letter is drawn at, before it is made as small as the film


def apply(change: Change, images: npt.NDArray[np.uint8], preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Change images.

    Args:
        change: which, and by how much.
        images: uint8 (images, 1, size, size).
        preprocessing: the model's, for changes of the file.
    Returns:
        uint8 (images, 1, size, size), a copy.
    """
    changed = np.empty_like(images)
    for position, image in enumerate(images[:, 0]):
        changed[position, 0] = _changed(change, image, preprocessing)
    return changed


def encode_png(grey: Grey) -> bytes:
    """A grey PNG; `grey` is uint8 (height, width), 0 black."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_dicom(grey: Grey, *, bits: int = 12, inverted: bool = False) -> bytes:
    """A DICOM file with a window that gives back the same grey, and nothing about anybody.

    Args:
        grey: uint8 (height, width), 0 black.
        bits: stored a pixel, 8 to 16.
        inverted: stored as MONOCHROME1, where 0 is white.
    Source: DICOM PS3.3, C.7.6.3 (pixels) and C.11.2.1.2 (window).
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    factor = 1 << (bits - 8)
    stored = (255 - grey if inverted else grey).astype(np.uint16) * factor
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    dataset = FileDataset(io.BytesIO(), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = grey.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    # from 0 to the greatest value that is stored
    dataset.WindowWidth = 255 * factor + 1
    dataset.WindowCenter = (255 * factor + 1) / 2
    dataset.PixelData = stored.astype("<u2").tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _changed(change: Change, image: Grey, preprocessing: Preprocessing) -> Grey:
    match change:
        case AsPng():
            return preprocess(encode_png(image), preprocessing)
        case AsDicom():
            return preprocess(encode_dicom(image, bits=change.bits, inverted=change.inverted), preprocessing)
        case Brightness():
            return _to_bytes(image + np.float32(255 * change.by))
        case SideMarker():
            return _with_marker(image, change)
        case Border():
            return _with_border(image, change)
        case Opacity():
            return _with_opacity(image, change)


def _to_bytes(grey: npt.NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(np.rint(grey), 0, 255), dtype=np.uint8)


def _with_marker(image: Grey, change: SideMarker) -> Grey:
    picture = Image.new("L", (_DRAWN_SIDE, _DRAWN_SIDE))
    size = change.height * _DRAWN_SIDE / 0.7  # capitals have seven tenths of a font's size
    on_right = change.letter == "L"
    place = (_DRAWN_SIDE - size / 2 if on_right else size / 2, size / 4)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text(place, change.letter, fill=255, font=font, anchor="rt" if on_right else "lt")
    height, width = image.shape
    cover = np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    return _to_bytes(image + (np.maximum(image, _LEAD) - image.astype(np.float32)) * cover)


def _with_border(image: Grey, change: Border) -> Grey:
    height, width = image.shape
    edge = max(1, round(change.width * min(image.shape)))
    framed = np.full_like(image, change.grey)
    framed[edge : height - edge, edge : width - edge] = resize(image, height - 2 * edge, width - 2 * edge)
    return framed


def _with_opacity(image: Grey, change: Opacity) -> Grey:
    height, width = image.shape
    y, x = ((np.arange(length, dtype=np.float32) + 0.5) for length in (height, width))
    reach = change.radius * min(image.shape)
    squares = ((x[None, :] - change.x * width) ** 2 + (y[:, None] - change.y * height) ** 2) / reach**2
    return _to_bytes(image + 255 * change.by * np.maximum(1 - squares, 0) ** 2)
