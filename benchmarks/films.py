"""The JPEG films that reading and serving are measured on: public ones where they are, else phantoms drawn here."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from secondread.atomic import atomic_folder
from secondread.data.sources.phantom.source import PhantomSource
from secondread.logging import get_logger

PUBLIC_SET = "nih-covid-3"
VARIABLE = "SECONDREAD_TEST_DATA"
PHANTOMS = "phantom://cxr?images=400&size=512"
JPEG_QUALITY = 90

log = get_logger(__name__)


@dataclass(frozen=True)
class Films:
    """JPEG films of at most 512 pixels a side, in one folder a class.

    Attributes:
        folder: of the class folders.
        name: what they are, for whoever reads a figure.
    """

    folder: Path
    name: str

    def paths(self, count: int) -> list[Path]:
        """At most that many files, evenly from all of them, so that every class is among them."""
        files = sorted(self.folder.rglob("*.jpg"))
        picked = np.unique(np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int))
        return [files[i] for i in picked]

    def encoded(self, count: int) -> list[bytes]:
        """The bytes of at most that many files."""
        return [path.read_bytes() for path in self.paths(count)]


def find_films(home: Path, *, root: Path) -> Films:
    """The public set from SECONDREAD_TEST_DATA or from shared/data beside the checkout; else phantoms.

    Args:
        home: folder for phantoms, which are drawn once.
        root: the checkout.
    """
    public = public_folder(root) / PUBLIC_SET
    if public.is_dir():
        return Films(public, f"512-pixel films of {PUBLIC_SET}")
    source = PhantomSource(PHANTOMS)
    folder = home / f"films-{source.fingerprint()[:12]}"
    if not folder.is_dir():
        count = source.spec.images
        log.info("%s is not there (%s names its parent): drawing %d phantom films instead", public, VARIABLE, count)
        _draw(source, folder)
    return Films(folder, "512-pixel phantom films")


def public_folder(root: Path) -> Path:
    """Where the public sets are, if they are: SECONDREAD_TEST_DATA, or shared/data beside the checkout."""
    return Path(os.environ.get(VARIABLE) or root.parent / "shared" / "data")


def _draw(source: PhantomSource, output: Path) -> None:
    with atomic_folder(output, marker="SYNTHETIC.txt") as folder:
        (folder / "SYNTHETIC.txt").write_text(f"{PHANTOMS}\n", encoding="utf-8")
        for image in source.images():
            path = folder / Path(image.name).with_suffix(".jpg")
            path.parent.mkdir(exist_ok=True)
            with Image.open(io.BytesIO(image.read())) as picture:
                picture.convert("L").save(path, quality=JPEG_QUALITY)
