"""From a URI to the source that reads it."""

from __future__ import annotations

from pathlib import Path

from secondread.data.sources.folder import FolderSource
from secondread.data.sources.manifest_csv import CSV_FILE, ManifestCsvSource
from secondread.data.sources.medmnist import MedMnistSource
from secondread.data.sources.phantom.source import PhantomSource
from secondread.data.sources.source import Source
from secondread.errors import InputError

KINDS = "a folder of class folders, a folder with manifest.csv, a MedMNIST .npz, or phantom://demo"


def is_local(uri: str) -> bool:
    """Whether the URI names a path on this machine, which a pod on a cluster could not reach."""
    return "://" not in uri or uri.startswith("file://")


def open_source(uri: str, *, modality: str = "", public_ids: bool = False) -> Source:
    """Open a source of labelled images.

    Args:
        uri: a path or `phantom://...`.
        modality: of images whose source does not say, `cxr` or `oct`.
        public_ids: patient ids of the source are published, so that they need no hashing.
    Raises:
        InputError: there is nothing there, or nothing that can be read.
    """
    if uri.startswith("phantom://"):
        return PhantomSource(uri)
    if not is_local(uri):
        raise InputError(f"source '{uri}' is of a kind that is not read yet. Use {KINDS}.")
    path = Path(uri.removeprefix("file://")).expanduser()
    if not path.exists():
        raise InputError(f"source {path} does not exist. Use {KINDS}.")
    if path.is_file():
        if path.suffix != ".npz":
            raise InputError(f"source {path} is a file, but no .npz. Use {KINDS}.")
        return MedMnistSource(path.resolve(), modality=modality)
    if (path / CSV_FILE).is_file():
        return ManifestCsvSource(path.resolve(), modality=modality, public_ids=public_ids)
    return FolderSource(path.resolve(), modality=modality)
