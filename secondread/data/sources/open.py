"""From a URI to the source that reads it."""

from __future__ import annotations

from pathlib import Path

from secondread.data.decode import DEFAULT_LIMITS, DecodeLimits
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.manifest_csv import CSV_FILE, ManifestCsvSource
from secondread.data.sources.medmnist import MedMnistSource
from secondread.data.sources.names import readable_name
from secondread.data.sources.phantom.source import PhantomSource
from secondread.data.sources.source import Source
from secondread.errors import InputError

KINDS = "a folder of class folders, a folder with manifest.csv, a MedMNIST .npz, or phantom://demo"


def is_local(uri: str) -> bool:
    """Whether the URI names a path on this machine, which a pod on a cluster could not reach."""
    return "://" not in uri or uri.startswith("file://")


def open_source(
    uri: str, *, modality: str = "", public_ids: bool = False, limits: DecodeLimits = DEFAULT_LIMITS
) -> Source:
    """Open a source of labelled images.

    Args:
        uri: a path or `phantom://...`.
        modality: of images whose source does not say, `cxr` or `oct`.
        public_ids: patient ids of the source are published, so that they need no hashing.
        limits: a file with more bytes is not read.
    Raises:
        InputError: there is nothing there, or nothing that can be read.
    """
    if uri.startswith("phantom://"):
        return PhantomSource(uri)
    if not is_local(uri):
        raise InputError(f"source '{readable_name(uri)}' is of a kind that is not read yet. Use {KINDS}.")
    path = _resolved(uri)
    if path.is_file():
        if path.suffix.lower() != ".npz":
            raise InputError(f"source {path} is a file, but no .npz. Use {KINDS}.")
        return MedMnistSource(path, modality=modality)
    if not path.is_dir():
        raise InputError(f"source {path} is neither a folder nor a file. Use {KINDS}.")
    if (path / CSV_FILE).is_file():
        return ManifestCsvSource(path, modality=modality, public_ids=public_ids, limits=limits)
    return FolderSource(path, modality=modality, limits=limits)


def _resolved(uri: str) -> Path:
    """The path of what is there, absolute, links followed."""
    shown = readable_name(uri)
    try:
        path = Path(uri.removeprefix("file://")).expanduser()
        if not path.exists():
            raise InputError(f"source {readable_name(path)} does not exist. Use {KINDS}.")
        path = path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # no such user, a circle of links, too long a name
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split()).rstrip(".")
        raise InputError(f"source '{shown}' cannot be reached ({reason}). Use {KINDS}.") from error
    if readable_name(path) != str(path):
        # it goes on as text, into the pipeline's parameters and the records of its steps
        raise InputError(f"source '{readable_name(path)}' has a name that is no line of UTF-8. Rename it.")
    return path
