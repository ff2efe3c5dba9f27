"""The bytes of a DICOM file to a data set: with and without preamble and file header, and all of it within bounds.

DICOM PS3.10, section 7.1: preamble and file header. PS3.5: section 7.1 elements, annex A.5 deflate.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from secondread.errors import ImageError, SecondReadError, TooLargeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

HEAD_BYTES = 256  # of a file, enough to tell whether it is DICOM

# our one line says what is wrong; pydicom's warnings and logged tracebacks may quote a patient's name
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module=r"pydicom\.")

_MAGIC_AT, _MAGIC = 128, b"DICM"
_PLAIN_HEADER = bytes(_MAGIC_AT) + _MAGIC + b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"  # explicit, little endian
_FIRST_GROUPS = (0x02, 0x08, 0x10, 0x18, 0x20, 0x28)  # that a file without preamble can start with
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT")  # a length of 4 bytes
_VRS = (*_LONG_VRS, *b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_FIRST_ELEMENT_MOST = 224  # bytes; without a preamble a longer first element is taken for something else
# three for an element, and some for each fragment of pixels; a volume of 1,000 frames needs about 150,000
_MOST_READS = 400_000
# bytes of one value, by the groups that are looked at: of words and tables, and of what is said of each frame
_LONGEST_VALUE = dict.fromkeys((0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x2050), 1 << 20) | {0x5200: 4 << 20}
_ANY = 1 << 62  # bytes
_ELEMENT_HEAD = 8  # bytes


def looks_like_dicom(head: bytes) -> bool:
    """Whether a file is DICOM, with the mark behind its preamble or, as some exports are, without either.

    Args:
        head: the first `HEAD_BYTES` bytes.
    """
    if head[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] == _MAGIC:
        return True
    if len(head) < 16 or _tag(head)[0] not in _FIRST_GROUPS:
        return False
    if head[4:6] in _VRS:
        return True
    # implicit: a short first element, and a second one behind it in order
    (length,) = struct.unpack("<I", head[4:8])
    following = head[8 + length : 12 + length]
    return length <= _FIRST_ELEMENT_MOST and (not following or _tag(following) > _tag(head))


def open_dicom(data: bytes | BinaryIO, *, max_bytes: int, **options: Any) -> Dataset:
    """Read a file.

    Args:
        data: its bytes, or the open file at its start.
        max_bytes: that a deflated one may inflate to.
        options: of `pydicom.dcmread`.
    Returns:
        The data set, whose `file_meta` has a transfer syntax.
    Raises:
        ImageError: damaged.
        TooLargeError: it would inflate to more than `max_bytes`, or has far more elements than a film.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    head = file.read(HEAD_BYTES)
    file.seek(0)
    with reading("header"):
        # pydicom takes a quarter of a second to import, which `predict` on a JPEG should not pay
        import pydicom
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

        pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # its warnings quote values
        try:
            dataset = pydicom.dcmread(_Bounded(file), force=head[_MAGIC_AT : _MAGIC_AT + 4] != _MAGIC, **options)
        except _DeflatedFromHere:
            plain = io.BytesIO(_PLAIN_HEADER + _inflated(file.read(max_bytes), max_bytes))
            dataset = pydicom.dcmread(_Bounded(plain), **options)
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = guessed
        return dataset


@contextmanager
def reading(part: str) -> Iterator[None]:
    """Turn whatever pydicom raises on a damaged file into an ImageError that quotes no value of the header."""
    try:
        yield
    except SecondReadError:
        raise
    except Exception as error:  # pydicom's errors share no base class, and damaged bytes raise numpy's and Python's too
        # these speak of codecs and of what is missing; others may quote a value, and a value may be a name
        told = isinstance(error, AttributeError | NotImplementedError | RuntimeError)
        reason = " ".join(str(error).split()) if told else type(error).__name__
        raise ImageError(f"the DICOM {part} cannot be read ({reason}). Export the film again, uncompressed.") from error


class _DeflatedFromHere(Exception):  # noqa: N818 - no fault
    """What follows in the file is deflated."""


class _Bounded:
    """A file that ends a reader which makes too much of it, since 64 MiB may hold 8 million empty elements."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads, self._value, self._longest = 0, 0, _ANY
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """As of a file; without a size, pydicom is about to inflate all that it gets, however large it becomes.

        Raises:
            TooLargeError: more reads, or a longer value, than a film has.
        """
        if size < 0:
            raise _DeflatedFromHere
        self._reads += 1
        if self._reads > _MOST_READS:
            raise TooLargeError("the DICOM file has far more elements than a film. Export the film alone.")
        if size == _ELEMENT_HEAD:
            head = self._file.read(size)
            groups = (int.from_bytes(head[:2], order) for order in ("little", "big"))
            self._value, self._longest = 0, min(_LONGEST_VALUE.get(group, _ANY) for group in groups)
            return head
        self._value += size
        if self._value > self._longest:
            raise TooLargeError(
                f"the DICOM header has a value of more than {self._longest} bytes. Export the film alone."
            )
        return self._file.read(size)


def _tag(head: bytes) -> tuple[int, ...]:
    return struct.unpack("<HH", head[:4]) if len(head) >= 4 else (0, 0)


def _inflated(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise ImageError("the deflated DICOM file is damaged. Export the film again, without deflate.") from error
    if len(content) > max_bytes:
        raise TooLargeError(f"the deflated DICOM file has more than {max_bytes} bytes. Send a smaller image.")
    if not unpacker.eof:
        raise ImageError("the deflated DICOM file is cut off. Export the film again, without deflate.")
    return content
