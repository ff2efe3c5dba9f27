"""A folder of class folders: `<root>/<class>/<image>`, at any depth below the class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

from secondread.data.fingerprint import fingerprint_files
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits, read_bounded
from secondread.data.sources.folder_scan import IMAGE_SUFFIXES, FolderScan, scan_folder
from secondread.data.sources.names import readable_name, shown
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

log = get_logger(__name__)


class FolderSource:
    """A folder of class folders. Patients are not known. What `scan_folder` leaves out is said once, in the log.

    Args:
        root: the folder.
        modality: of every image, where the class name does not say.
        limits: a file with more bytes is not read.
    Raises:
        InputError: the folder cannot be listed, or holds no class folder with an image in it.
    """

    public = False
    synthetic = False

    def __init__(self, root: Path, *, modality: str = "", limits: DecodeLimits = DEFAULT_LIMITS) -> None:
        self.uri = str(root)
        self._root = root
        self._modality = modality
        self._limits = limits
        if not self._scan.classes:
            left_out = "".join(f" It {sentence}" for sentence in self._scan.left_out)
            raise InputError(
                f"{root} holds no images in class folders: expected <class>/<image> with the endings "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}, or a manifest.csv. Name another folder.{left_out}"
            )

    @cached_property
    def _scan(self) -> FolderScan:
        return scan_folder(self._root)

    def taxonomy(self) -> Taxonomy:
        """One class a folder."""
        return taxonomy_of(self._scan.classes, modality=self._modality)

    def images(self) -> Iterator[SourceImage]:
        """Every image, by class and name."""
        for sentence in self._scan.left_out:
            log.warning("%s: %s", self.uri, shown(sentence))
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for label, files in self._scan.classes.items():
            for path in files:
                name = readable_name(path.relative_to(self._root))
                read = partial(read_bounded, path, self._limits)
                yield SourceImage(name=name, label=label, read=read, modality=modality[label])

    def fingerprint(self) -> str:
        """Over every image's name and bytes."""
        return fingerprint_files(self._root, (path for files in self._scan.classes.values() for path in files))
