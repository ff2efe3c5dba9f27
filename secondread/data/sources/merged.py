"""A YAML file that maps the classes of several sources to ours, as one source.

    sources:
      - uri: covid-radiography:downloads/covid19-radiography-database.zip
        classes: {cxr-covid: cxr-covid, cxr-normal: cxr-normal, cxr-opacity: null}   # null leaves a class out
      - uri: scans/                 # a path is relative to the file
        name: own                   # before the names of its images; by default the end of the URI
        modality: oct               # where the source does not say
        public_ids: true            # its patient ids are published, and kept as they are
        patients: hospital-a        # who gave its patient ids, where other sources have the same ids for other people
                                    # without `classes`, all are taken as they are

Images keep apart what has the same name in two sources. One patient id in two sources is one patient, and their films
stay in one split: that is so for one hospital's folders and for collections made of one another. It is only a wrong
count where it is not so, while a patient taken for two would leak; so ids are told apart only where `patients` says so,
and shared ids are told of. The published datasets put their name before theirs.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import yaml

from secondread.data.sources.names import readable_name
from secondread.data.sources.source import Source, SourceImage, own_patient
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import DependencyError, InputError
from secondread.logging import get_logger
from secondread.taxonomy import Taxonomy

SUFFIXES = (".yaml", ".yml")

_FIELDS = frozenset({"uri", "name", "classes", "modality", "public_ids", "patients"})
_MAX_BYTES = 1 << 20  # of the YAML file
_SHARED = (
    "%s: %d patient id(s) are in both %s and %s, and are taken for the same people. To say that they are, or are not, "
    "give each of the two a field 'patients'."
)
log = get_logger(__name__)

Opener = Callable[..., Source]


@dataclass(frozen=True)
class _Part:
    """One source, and what its classes are called here."""

    name: str
    source: Source
    classes: Mapping[str, str | None]
    patients: str  # who gave the patient ids; empty where it is not said

    def named(self, image: SourceImage, label: str) -> SourceImage:
        """One of its images, as the merged set has it."""
        return replace(
            image,
            name=f"{self.name}/{image.name}",
            label=label,
            source=image.source or self.name,
            patient_id=own_patient(self.patients, image.patient_id),
            patients=self.patients,
            public_ids=self.source.public,
        )


class MergedSource:
    """Several sources under our class names.

    Args:
        path: the YAML file.
        open_uri: opens one of its sources: `open_uri(uri, modality=..., public_ids=...)`.
        uri: as the source is to be opened again.
        base: URI of the store's folder that the file was fetched from; then a path is relative to that, and leads
            nowhere else. Empty for a file of this machine.
    Raises:
        InputError: the file is no such list, a source cannot be opened, or a class of the map is not in its source.
    """

    def __init__(self, path: Path, open_uri: Opener, *, uri: str = "", base: str = "") -> None:
        self.uri = uri or str(path)
        entries = _entries(path)
        names = _unique([readable_name(entry.get("name") or _name_of(entry["uri"])) for entry in entries])
        self._parts = []
        for number, (entry, name) in enumerate(zip(entries, names, strict=True), start=1):
            with _which(f"{path}: source {number} ({name})"):
                self._parts.append(_part(entry, name, path.parent, open_uri, base=base))
        self.public = all(part.source.public for part in self._parts)
        self.synthetic = any(part.source.synthetic for part in self._parts)
        if not self.taxonomy().classes:
            raise InputError(f"{path} leaves out every class. Map at least one to a name.")

    def taxonomy(self) -> Taxonomy:
        """The classes that the maps lead to; those of the seeds first, in their order."""
        stated: dict[str, str] = {}
        for part in self._parts:
            modality = {info.name: info.modality for info in part.source.taxonomy().classes}
            for theirs, ours in part.classes.items():
                if ours is not None and stated.setdefault(ours, modality[theirs]) != modality[theirs]:
                    raise InputError(
                        f"{self.uri}: class '{ours}' has the modality '{stated[ours]}' from one source and "
                        f"'{modality[theirs]}' from {part.source.uri}. Make two classes of it."
                    )
        return taxonomy_of(stated, stated=stated)

    def images(self) -> Iterator[SourceImage]:
        """Every image, source by source, that has a class here."""
        seen: dict[str, str] = {}  # patient ids of the sources that do not say who gave them, and which had each first
        for part in self._parts:
            left_out: Counter[str] = Counter()
            shared: dict[str, set[str]] = defaultdict(set)
            for image in part.source.images():
                ours = part.classes.get(image.label)
                if ours is None:
                    left_out[image.label] += 1
                    continue
                if image.patient_id and not part.patients:
                    first = seen.setdefault(image.patient_id, part.name)
                    shared[first].add(image.patient_id)
                yield part.named(image, ours)
            for other in sorted(shared.keys() - {part.name}):
                log.warning(_SHARED, self.uri, len(shared[other]), other, part.name)
            for label, count in sorted(left_out.items()):
                log.warning("%s: left out %d image(s) of class '%s' of %s.", self.uri, count, label, part.name)

    def fingerprint(self) -> str:
        """Over each source's own, its name, its map and how its patients are called."""
        total = hashlib.sha256()
        for part in self._parts:
            text = f"{part.name}\0{part.source.fingerprint()}\0{sorted(part.classes.items(), key=str)}\0"
            text += f"{part.source.public}\0{part.patients}\0"
            total.update(text.encode())
        return total.hexdigest()


@contextmanager
def _which(entry: str) -> Iterator[None]:
    """Say in an error which entry of the list it is about."""
    try:
        yield
    except (InputError, DependencyError) as error:
        raise type(error)(f"{entry}: {error}") from error


def _part(entry: Mapping[str, Any], name: str, folder: Path, open_uri: Opener, *, base: str) -> _Part:
    uri = _relative_to(folder, entry["uri"], base)
    if uri.lower().endswith(SUFFIXES):
        raise InputError(f"{readable_name(entry['uri'])} is a list of sources itself. Name its sources here.")
    options = {key: entry[key] for key in ("modality", "public_ids") if key in entry}
    source = open_uri(uri, **options)
    there, patients = source.taxonomy().names, readable_name(entry.get("patients", ""))
    classes = entry.get("classes")
    if classes is None:
        return _Part(name, source, {label: label for label in there}, patients)
    unknown = next((label for label in classes if label not in there), None)
    if unknown is not None:
        raise InputError(
            f"class '{readable_name(unknown)}' is not one of {readable_name(entry['uri'])} "
            f"({', '.join(there)}). Mend the map, or remove it."
        )
    return _Part(name, source, {theirs: ours and readable_name(ours) for theirs, ours in classes.items()}, patients)


def _entries(path: Path) -> list[dict[str, Any]]:
    """The list, every entry checked."""
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise InputError(f"{path} has {len(data)} bytes: too many for a list of sources.")
        document = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no YAML ({' '.join(str(error).split())}). Mend it.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Allow it to be read.") from error
    entries = document.get("sources") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} has no list 'sources'. Give each source a uri and a map 'classes'.")
    for number, entry in enumerate(entries, start=1):
        _check(entry, f"{path}: source {number}")
    return entries


def _check(entry: object, where: str) -> None:
    if not isinstance(entry, dict) or not isinstance(entry.get("uri"), str) or not entry["uri"]:
        raise InputError(f"{where} has no 'uri'. Give a path or a URI.")
    unknown = next((key for key in entry if key not in _FIELDS), None)
    if unknown is not None:
        raise InputError(
            f"{where} has the field '{readable_name(str(unknown))}', which is none of {', '.join(sorted(_FIELDS))}."
        )
    classes = entry.get("classes")
    texts = isinstance(classes, dict) and all(
        isinstance(theirs, str) and (ours is None or (isinstance(ours, str) and ours))
        for theirs, ours in classes.items()
    )
    if classes is not None and not texts:
        raise InputError(f"{where}: 'classes' must map each class of the source to a name, or to null. Quote numbers.")
    for key, kind in (("name", str), ("modality", str), ("public_ids", bool), ("patients", str)):
        if key in entry and not isinstance(entry[key], kind):
            raise InputError(f"{where}: '{key}' must be a {kind.__name__}.")


def _name_of(uri: str) -> str:
    return PurePath(uri.partition("?")[0].rstrip("/")).name or "source"


def _unique(names: list[str]) -> list[str]:
    """Names, a number after those that come again."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique


def _relative_to(folder: Path, uri: str, base: str) -> str:
    """The URI with its path made absolute, so that the file can be opened from anywhere."""
    scheme, mark, rest = uri.rpartition(":")
    if "://" in uri and not rest.startswith("///"):
        return uri  # an object store, or phantoms
    rest = rest.removeprefix("//")
    if scheme == "file":  # says that a path follows, which it does without it too
        scheme = mark = ""
    if not base:
        return f"{scheme}{mark}{folder / Path(rest).expanduser()}"
    if rest.startswith(("/", "~")) or ".." in rest.split("/"):
        raise InputError(
            f"'{readable_name(uri)}' leads out of {base}, where the list of sources lies. Name a path below it, or a "
            "whole URI."
        )
    return f"{scheme}{mark}{base}/{rest.removeprefix('./')}"
