"""A folder of class folders: `<root>/<class>/<image>`, at any depth below the class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from secondread.data.fingerprint import fingerprint_files
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".dcm", ".dicom"})


def image_files(folder: Path) -> list[Path]:
    """Image files below a folder, sorted, hidden ones left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


class FolderSource:
    """A folder of class folders. Patients are not known.

    Args:
        root: the folder.
        modality: of every image, where the class name does not say.
    Raises:
        InputError: the folder holds no class folder with an image in it.
    """

    public = False
    synthetic = False

    def __init__(self, root: Path, *, modality: str = "") -> None:
        self.uri = str(root)
        self._root = root
        self._modality = modality
        if not self._files:
            raise InputError(
                f"{root} holds no images: expected <class>/<image> with the endings "
                f"{', '.join(sorted(IMAGE_SUFFIXES))}, or a manifest.csv. Name another folder."
            )

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Files by class folder."""
        folders = sorted(path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = {folder.name: image_files(folder) for folder in folders}
        return {name: files for name, files in found.items() if files}

    def taxonomy(self) -> Taxonomy:
        """One class a folder."""
        return taxonomy_of(self._files, modality=self._modality)

    def images(self) -> Iterator[SourceImage]:
        """Every image, by class and name."""
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for label, files in self._files.items():
            for path in files:
                name = path.relative_to(self._root).as_posix()
                yield SourceImage(name=name, label=label, read=path.read_bytes, modality=modality[label])

    def fingerprint(self) -> str:
        """Over every image's name and bytes."""
        return fingerprint_files(self._root, (path for files in self._files.values() for path in files))
