"""A source whose bytes lie in a store: `s3://bucket/prefix` or `swift://container/prefix`.

Everything below the prefix is mirrored into `<home>/sources/stores/`, and read there as the folder that it is; so is a
single object that is an archive, a `.npz` or a `.yaml`. A second look fetches only what has changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from secondread.atomic import sha256_bytes
from secondread.config.environment import Environment
from secondread.data.sources.archive import is_archive
from secondread.data.sources.merged import SUFFIXES
from secondread.data.sources.source import Source, SourceImage
from secondread.data.store.mirror import Mirror, list_objects, listing_hash, mirror
from secondread.data.store.open import open_object_store
from secondread.data.store.store import Listed, ObjectStore
from secondread.taxonomy import Taxonomy

_URI_HASH = 32  # hex digits of the folder's name


@dataclass(frozen=True)
class Remote:
    """What a URI of a store names, listed but not fetched.

    Attributes:
        uri: without a slash at its end.
        base: URI of the folder that it lies in, or is.
        file: name of the single object that it is; empty for all below a prefix.
        store: opened at `base`.
        objects: what there is.
    """

    uri: str
    base: str
    file: str
    store: ObjectStore
    objects: list[Listed]

    @property
    def fingerprint(self) -> str:
        """Over keys, sizes and etags; so nothing need be fetched to see that nothing has changed.

        An etag is the MD5 of an object, or of those of its parts: it changes with the content unless somebody who may
        write there constructs a collision.
        """
        return listing_hash(self.objects)

    @property
    def names_others(self) -> bool:
        """It is a list of sources, whose content is elsewhere."""
        return self.file.lower().endswith(SUFFIXES)

    def fetched(self, home: Path) -> tuple[Path, Mirror]:
        """The folder or file that it is on this machine, and what keeps it as it is."""
        held = mirror(
            self.store, self.objects, home / "sources" / "stores" / sha256_bytes(self.uri.encode())[:_URI_HASH]
        )
        return held.content / self.file, held


def look_up(uri: str, environment: Environment) -> Remote:
    """List what a URI names.

    Args:
        uri: s3:// or swift://, of a prefix or of one object that is an archive, a .npz or a .yaml.
        environment: endpoints and credentials.
    Raises:
        InputError: there is nothing, its bucket does not exist, or the credentials are refused.
        TooLargeError: there is more than is fetched.
        DependencyError: the server does not answer, or what speaks to it is not installed.
    """
    uri = uri.rstrip("/")
    base, _, file = uri.rpartition("/")
    if not base.endswith("/") and (is_archive(Path(file)) or file.lower().endswith((".npz", *SUFFIXES))):
        store = open_object_store(base, environment)
        found = store.objects(file, at_most=1)
        if found and found[0].key == file:
            return Remote(uri, base, file, store, list_objects(store, file)[:1])
    store = open_object_store(uri, environment)
    return Remote(uri, uri, "", store, list_objects(store))


class StoredSource:
    """A source that was fetched from a store.

    Args:
        inner: reads what was fetched.
        uri: as the source is to be opened again.
        fingerprint: of the listing.
        held: keeps the fetched files as they are while this object lives.
    """

    def __init__(self, inner: Source, *, uri: str, fingerprint: str, held: Mirror) -> None:
        inner.uri = uri  # which it uses to say where something is
        self.uri = uri
        self.public, self.synthetic = inner.public, inner.synthetic
        self._inner, self._fingerprint, self._held = inner, fingerprint, held

    def taxonomy(self) -> Taxonomy:
        """The classes, in order."""
        return self._inner.taxonomy()

    def images(self) -> Iterator[SourceImage]:
        """Every image, in a stable order."""
        return self._inner.images()

    def fingerprint(self) -> str:
        """Of what was listed when it was fetched."""
        return self._fingerprint
