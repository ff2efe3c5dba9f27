"""What a model answered on some images: on val, as the reference that lies beside a served graph, or lately.

`reference.npz` has the four arrays of `Answers` under their names, uncompressed; the same answers give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from secondread.errors import IntegrityError

REFERENCE_FILE = "reference.npz"
_MOST_BYTES = 64 << 20  # 500 images with embeddings of 32,000 numbers


@dataclass(frozen=True)
class Answers:
    """One element or row an image.

    Attributes:
        predicted: int64 (images,), index of the class with the highest probability.
        confidence: float32 (images,), that probability.
        embedding: float32 (images, dim).
        group: int64 (images,), the same number for images that come together and are no independent witnesses, such as
            those of one patient.
    Raises:
        IntegrityError: the arrays do not fit together.
    """

    predicted: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]
    group: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        images = len(self.predicted)
        wanted = {"predicted": (np.int64, 1), "confidence": (np.float32, 1), "embedding": (np.float32, 2)}
        for name, (dtype, dimensions) in {**wanted, "group": (np.int64, 1)}.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions or len(array) != images:
                raise IntegrityError(
                    f"{name} is {array.dtype} {array.shape}, not {np.dtype(dtype)} of {dimensions} dimensions for "
                    f"{images} images."
                )

    def __len__(self) -> int:
        return len(self.predicted)


def encode_answers(answers: Answers) -> bytes:
    """What `reference.npz` holds."""
    buffer = io.BytesIO()
    np.savez(buffer, **asdict(answers))
    return buffer.getvalue()


def read_answers(path: Path) -> Answers:
    """Read a file of `encode_answers`; nothing in it is run.

    Raises:
        IntegrityError: it is missing, or something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(f"{size} bytes, more than {_MOST_BYTES}")
        with np.load(path, allow_pickle=False) as arrays:
            return Answers(**{name: arrays[name] for name in Answers.__dataclass_fields__})
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, IntegrityError) as error:
        raise IntegrityError(
            f"{path} does not hold a model's answers ({error}). Register the model again, or copy it again."
        ) from error
