"""Adding dataset versions to the catalogue, and asking it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Engine, Select, func, insert, select
from sqlalchemy.exc import IntegrityError as DuplicateError

from secondread.atomic import read_json
from secondread.data.catalogue.engine import open_engine, writer
from secondread.data.catalogue.models import Image, Version
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion
from secondread.errors import InputError

# What can be asked for; each is a column of `Image`.
FILTERS = (
    *("label", "split", "modality", "source", "sex", "view", "body_part", "laterality", "burnt_in_text"),
    *("image_id", "pixel_hash", "group_id"),
)
_COLUMNS = (*FILTERS, "patient_id", "age")
_CHUNK_ROWS = 10_000  # rows on their way to the database at a time


class Catalogue:
    """A catalogue that was opened."""

    def __init__(self, uri: str) -> None:
        """Open it, and make its tables if it has none: see `open_engine` for the URI and the errors."""
        self._engine: Engine = open_engine(uri)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def add(self, version: DatasetVersion) -> bool:
        """Add a version with all its images, in one transaction: all of it is there, or nothing.

        Returns:
            False if it is there already, or another process is quicker: then nothing changes.
        """
        document = read_json(version.root / DATASET_FILE)
        record = {
            "content_hash": version.content_hash,
            "parent": version.parent,
            "added_at": datetime.now(UTC),
            "images": len(version.manifest),
            "synthetic": version.synthetic,
            "counts": document["counts"],
            "preprocessing": version.preprocessing.to_dict(),
            "taxonomy": version.taxonomy.to_dict(),
            "source_uri": public_uri(document.get("source", {}).get("uri", "")),
        }
        with writer(self._engine).connect() as connection, connection.begin() as transaction:
            try:
                # first of all: whoever adds the same version waits here, and then fails
                connection.execute(insert(Version), record)
            except DuplicateError:
                transaction.rollback()
                return False
            for rows in _image_rows(version):
                connection.execute(insert(Image), rows)
        return True

    def versions(self) -> list[dict[str, Any]]:
        """All versions, the latest added first."""
        with self._engine.connect() as connection:
            found = connection.execute(
                select(Version.__table__).order_by(Version.added_at.desc(), Version.content_hash)
            )
            return [_plain(row) for row in found.mappings()]

    def find(self, start: str) -> str:
        """The content hash that starts so.

        Raises:
            InputError: none does, or several do.
        """
        with self._engine.connect() as connection:
            hashes = connection.scalars(
                select(Version.content_hash).where(Version.content_hash.startswith(start, autoescape=True)).limit(2)
            ).all()
        if len(hashes) != 1:
            how_many = "several versions" if hashes else "no version"
            raise InputError(
                f"the catalogue has {how_many} whose hash begins with '{start}'. See `secondread data catalogue list`."
            )
        return hashes[0]

    def query(self, *, version: str = "", limit: int = 20, **wanted: str) -> tuple[int, list[dict[str, Any]]]:
        """Images that have all that is asked for.

        Args:
            version: content hash, or its start; empty: of all versions, each image once, as it is in the version added
                last of those in which it has all that is asked for.
            limit: images to give at most.
            **wanted: any of `FILTERS`; empty values are not asked for.
        Returns:
            How many there are, and the first of them, by version and place in its manifest.
        Raises:
            InputError: no such version, or no such filter.
        """
        unknown = sorted(set(wanted) - set(FILTERS))
        if unknown:
            raise InputError(f"the catalogue cannot be asked for {', '.join(unknown)}, but for {', '.join(FILTERS)}.")
        asked = [getattr(Image, name) == value for name, value in wanted.items() if value]
        found = _of_version(self.find(version), asked) if version else _once_each(asked)
        images = found.subquery()
        with self._engine.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(images))
            ordered = select(images).order_by(images.c.version, images.c.position).limit(limit)
            return int(total or 0), [_plain(row) for row in connection.execute(ordered).mappings()]

    def history(self, image_id: str) -> list[dict[str, Any]]:
        """What an image was in each version, in the order in which these were added.

        Args:
            image_id: of the file, or its start.
        Returns:
            `version`, `added_at`, `label`, `split` and `group_id` of each.
        Raises:
            InputError: several images begin so.
        """
        with self._engine.connect() as connection:
            begin_so = select(Image.image_id).where(Image.image_id.startswith(image_id, autoescape=True))
            found = connection.scalars(begin_so.distinct().limit(2)).all()
        if len(found) > 1:
            raise InputError(f"the catalogue has several images whose hash begins with '{image_id}'. Give more of it.")
        asked = (
            select(Image.version, Version.added_at, Image.label, Image.split, Image.group_id)
            .join(Version, Version.content_hash == Image.version)
            .where(Image.image_id.in_(found))
            .order_by(Version.added_at, Image.version, Image.position)
        )
        with self._engine.connect() as connection:
            return [_plain(row) for row in connection.execute(asked).mappings()]


def _of_version(version: str, asked: list[ColumnElement[bool]]) -> Select[Any]:
    """Rows of one version."""
    return select(Image.__table__).where(Image.version == version, *asked)


def _once_each(asked: list[ColumnElement[bool]]) -> Select[Any]:
    """Of each image the row of the version added last. Frames of one file are images of their own."""
    latest_first = func.row_number().over(
        partition_by=(Image.image_id, Image.pixel_hash),
        order_by=(Version.added_at.desc(), Image.version, Image.position),
    )
    rows = select(Image.__table__, latest_first.label("place")).join(Version, Version.content_hash == Image.version)
    placed = rows.where(*asked).subquery()
    return select(*(placed.c[column.name] for column in Image.__table__.columns)).where(placed.c.place == 1)


def public_uri(uri: str) -> str:
    """The URI without user, password and query; `local` for a path, since a folder may be named after a person."""
    parts = urlsplit(uri)
    if not parts.scheme or not uri.startswith(f"{parts.scheme}://") or parts.scheme == "file":
        return "local"
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _image_rows(version: DatasetVersion) -> Iterator[list[dict[str, Any]]]:
    """The manifest as rows of the table, some thousands at a time."""
    manifest = version.manifest[list(_COLUMNS)]
    for start in range(0, len(manifest), _CHUNK_ROWS):
        chunk = manifest.iloc[start : start + _CHUNK_ROWS]
        columns = {name: chunk[name].tolist() for name in _COLUMNS}
        columns["age"] = [None if math.isnan(age) else age for age in columns["age"]]
        names = list(columns)
        yield [
            {"version": version.content_hash, "position": position, **dict(zip(names, values, strict=True))}
            for position, values in enumerate(zip(*columns.values(), strict=True), start=start)
        ]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """As JSON."""
    return {str(name): _utc(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _utc(time: datetime) -> str:
    """ISO 8601; SQLite keeps no time zone, and what is written is UTC."""
    return (time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()
