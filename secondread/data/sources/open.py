"""From a URI to the source that reads it.

    films/                            a folder of class folders, or one with manifest.csv
    downloads/archive.zip             an archive (.zip, .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz) of what a folder may be
    nine-classes.yaml                 several sources under one set of classes: `secondread.data.sources.merged`
    pneumoniamnist.npz                a set of MedMNIST
    covid-radiography:downloads/a.zip a public dataset, by the name in `secondread.data.sources.layouts`
    dicom:films/                      DICOM films, with what their headers say
    s3://bucket/films                 any of these in a store, S3 or Swift: a prefix, or one object that is a file of
    swift://container/set.zip         these kinds; `covid-radiography:s3://bucket/a.zip` says which dataset it is
    phantom://demo                    images that are made up

A path may follow `<name>:` as it is, or as `///absolute/path`. A folder or archive without a name is recognised as a
public dataset when it has the layout of exactly one; as DICOM when it holds nothing else; else its folders are classes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from secondread.atomic import sha256_bytes
from secondread.config.environment import Environment
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits
from secondread.data.sources.archive import MARKER, extracted, is_archive, unwrapped
from secondread.data.sources.dicom_folder import DicomFolderSource, holds_dicom_alone
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.layouts import LAYOUTS, recognised, top_of
from secondread.data.sources.manifest_csv import CSV_FILE, ManifestCsvSource
from secondread.data.sources.medmnist import MedMnistSource
from secondread.data.sources.merged import SUFFIXES, MergedSource
from secondread.data.sources.names import readable_name
from secondread.data.sources.phantom.source import PhantomSource
from secondread.data.sources.published import PublishedSource
from secondread.data.sources.remote import Remote, StoredSource, look_up
from secondread.data.sources.source import Source
from secondread.data.store.open import is_stored
from secondread.errors import InputError
from secondread.logging import get_logger

KINDS = (
    "a folder of class folders, a folder with manifest.csv, an archive of one, a MedMNIST .npz, a .yaml of sources, "
    "s3:// or swift:// with one of these, or phantom://demo"
)
DICOM = "dicom"
FILE = "file"

log = get_logger(__name__)


def is_local(uri: str) -> bool:
    """Whether the URI names a path on this machine, which a pod on a cluster could not reach."""
    return "://" not in _scheme_and_path(uri)[1]


def local_path(uri: str) -> Path | None:
    """The path that a URI names on this machine; None where it names none."""
    return Path(_scheme_and_path(uri)[1]) if is_local(uri) else None


def open_source(
    uri: str, *, modality: str = "", public_ids: bool = False, limits: DecodeLimits = DEFAULT_LIMITS
) -> Source:
    """Open a source of labelled images. What lies in a store is fetched.

    Args:
        uri: as this module's docstring says.
        modality: of images whose source does not say, `cxr` or `oct`.
        public_ids: patient ids of the source are published, so that they need no hashing.
        limits: a file with more bytes is not read.
    Returns:
        The source. Its `uri` opens the same source again, from any folder.
    Raises:
        InputError: there is nothing there, or nothing that can be read.
        DependencyError: the store that it lies in does not answer.
    """
    if uri.startswith("phantom://"):
        return PhantomSource(uri)
    scheme, text = _scheme_and_path(uri)
    if is_stored(text):
        remote = look_up(text, Environment.read())
        return _open_stored(remote, scheme, modality=modality, public_ids=public_ids, limits=limits)
    if not is_local(uri):
        raise InputError(f"source '{readable_name(uri)}' is of a kind that is not read. Use {KINDS}.")
    path = _resolved(text)
    source = _open_path(path, scheme, "", modality=modality, public_ids=public_ids, limits=limits)
    is_file = isinstance(source, MedMnistSource | MergedSource)
    source.uri = f"{scheme}:{path}" if scheme and scheme != FILE and not is_file else str(path)
    return source


def identify(uri: str, *, modality: str = "", public_ids: bool = False) -> tuple[str, str]:
    """URI and fingerprint of the source that `open_source` would give.

    What lies in a store is only listed, unless it is a list of other sources.

    Raises:
        InputError, DependencyError: as `open_source` does.
    """
    scheme, text = _scheme_and_path(uri)
    if is_stored(text):
        remote = look_up(text, Environment.read())
        if not remote.names_others:
            return _joined(scheme, remote), remote.fingerprint
    source = open_source(uri, modality=modality, public_ids=public_ids)
    return source.uri, source.fingerprint()


def _open_stored(remote: Remote, scheme: str, *, modality: str, public_ids: bool, limits: DecodeLimits) -> StoredSource:
    path, held = remote.fetched(Environment.read().home)
    try:
        inner = _open_path(path, scheme, remote.base, modality=modality, public_ids=public_ids, limits=limits)
    except InputError as error:
        raise type(error)(str(error).replace(str(path), remote.uri)) from error  # where it is, not where it is kept
    fingerprint = remote.fingerprint
    if remote.names_others:
        fingerprint = sha256_bytes(f"{fingerprint} {inner.fingerprint()}".encode())
    return StoredSource(inner, uri=_joined(scheme, remote), fingerprint=fingerprint, held=held)


def _joined(scheme: str, remote: Remote) -> str:
    return f"{scheme}:{remote.uri}" if scheme else remote.uri


def _open_path(path: Path, scheme: str, base: str, *, modality: str, public_ids: bool, limits: DecodeLimits) -> Source:
    """A file or folder of this machine; `base` is the store's folder that it was fetched from, if it was."""
    if path.is_file() and path.suffix.lower() == ".npz":
        return MedMnistSource(path, modality=modality)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return MergedSource(path, partial(open_source, limits=limits), base=base)
    return _open_folder(_folder(path), scheme, modality=modality, public_ids=public_ids, limits=limits)


def _open_folder(folder: Path, scheme: str, *, modality: str, public_ids: bool, limits: DecodeLimits) -> Source:
    if scheme in LAYOUTS:
        layout = LAYOUTS[scheme]
        return PublishedSource(layout, top_of(layout, folder), limits=limits)
    if scheme == DICOM:
        return DicomFolderSource(folder, modality=modality, public_ids=public_ids, limits=limits)
    inner = unwrapped(folder) if (folder / MARKER).is_file() else folder
    if (inner / CSV_FILE).is_file():
        return ManifestCsvSource(inner, modality=modality, public_ids=public_ids, limits=limits)
    found = recognised(folder)
    if found:
        layout, top = found
        log.info("%s has the layout of %s", top, layout.publication.title)
        return PublishedSource(layout, top, limits=limits)
    folder = inner
    if holds_dicom_alone(folder):
        return DicomFolderSource(folder, modality=modality, public_ids=public_ids, limits=limits)
    return FolderSource(folder, modality=modality, limits=limits)


def _folder(path: Path) -> Path:
    """The folder itself, or that with an archive's content."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise InputError(f"source {path} is neither a folder nor a file. Use {KINDS}.")
    if not is_archive(path):
        raise InputError(f"source {path} is a file, but no .npz, archive or .yaml. Use {KINDS}.")
    return extracted(path, Environment.read().home / "sources")


def _scheme_and_path(uri: str) -> tuple[str, str]:
    """The name of a dataset, `dicom`, `file` or nothing, and the path after it."""
    scheme, mark, rest = uri.partition(":")
    known = scheme in LAYOUTS or scheme == DICOM or (scheme == FILE and rest.startswith("//"))
    if not mark or not known:
        return "", uri
    return scheme, rest.removeprefix("//") if rest.startswith("///") or scheme == FILE else rest


def _resolved(text: str) -> Path:
    """The path of what is there, absolute, links followed."""
    shown = readable_name(text)
    try:
        path = Path(text).expanduser()
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
