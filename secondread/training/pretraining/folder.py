"""The folder that a pre-training writes: weights without the classifier's head, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from secondread.atomic import read_json, write_json
from secondread.errors import IntegrityError
from secondread.model.folder import WEIGHTS_FILE

PRETRAINED_FILE = "pretrained.json"


@dataclass(frozen=True)
class Pretrained:
    """What such a folder holds.

    Attributes:
        document: architecture, preprocessing, dataset version, images, losses, recipe.
        weights: by name, without those of the head.
    """

    document: Mapping[str, Any]
    weights: Mapping[str, Tensor]

    def write(self, folder: Path) -> None:
        """Write it into a folder that exists."""
        (folder / WEIGHTS_FILE).write_bytes(save(dict(self.weights)))
        write_json(folder / PRETRAINED_FILE, dict(self.document))


def read_pretrained(folder: Path) -> Pretrained:
    """Read what was written.

    Raises:
        IntegrityError: it is damaged.
    """
    document = read_json(folder / PRETRAINED_FILE)
    try:
        return Pretrained(document, load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError) as error:
        raise IntegrityError(f"{folder / WEIGHTS_FILE} is damaged ({error}). Pre-train again.") from error
