"""A folder with `manifest.csv`: one row an image; `path` and `label` are required, the others not."""

from __future__ import annotations

import csv
import math
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from secondread.data.fingerprint import fingerprint_files
from secondread.data.pixels.decode import DEFAULT_LIMITS, DecodeLimits, read_bounded
from secondread.data.sources.names import readable_name
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

CSV_FILE = "manifest.csv"
REQUIRED = ("path", "label")
OPTIONAL = (
    *("patient_id", "study_id", "modality", "source", "site", "license", "sex", "age", "view", "acquired_at"),
    "original_split",
)


_TELLING_APART = frozenset({"path", "patient_id", "study_id"})  # columns in which few values are the same


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: the line of the file that it starts on, and its cells. A hundred thousand must fit in little memory.

    Attributes:
        columns: place of each column's cell; one mapping for all rows.
    """

    line: int
    columns: Mapping[str, int]
    cells: tuple[str, ...]

    def get(self, column: str) -> str:
        """A cell; empty where there is no such column."""
        place = self.columns.get(column)
        return "" if place is None else self.cells[place]


class ManifestCsvSource:
    """A folder whose `manifest.csv` names the images. Columns it does not know are ignored.

    Args:
        root: the folder.
        modality: of every image whose row and class name do not say.
        public_ids: the patient ids are published, so that they need no hashing.
        limits: a file with more bytes is not read.
    Raises:
        InputError: a required column or value is missing, a row has more cells than the header, a path leads out of
            the folder or to no file, an age is no number, or a class has two modalities; each with the row's line in
            the file.
    """

    synthetic = False

    def __init__(
        self, root: Path, *, modality: str = "", public_ids: bool = False, limits: DecodeLimits = DEFAULT_LIMITS
    ) -> None:
        self.uri = str(root)
        self.public = public_ids
        self._root = root
        self._modality = modality
        self._limits = limits
        self._csv = root / CSV_FILE
        self._folders_inside: dict[Path, bool] = {}
        if not self._rows:
            raise InputError(f"{self._csv} has no rows below its header. List one image a row.")
        self.taxonomy()  # says at once where a class has two modalities

    @cached_property
    def _rows(self) -> list[_Row]:
        rows = _read_rows(self._csv)
        for row in rows:
            self._check(row)
        return rows

    def _check(self, row: _Row) -> None:
        where = f"{self._csv} line {row.line}"
        for column in REQUIRED:
            if not row.get(column):
                raise InputError(f"{where} has an empty '{column}'. Fill it in, or remove the row.")
        shown = f"{where}: path '{readable_name(row.get('path'))}'"
        path = self._root / row.get("path")
        try:
            inside, is_file = self._is_inside(path), path.is_file()
        except (OSError, RuntimeError, ValueError) as error:  # too long a name, a circle of links, a NUL
            reason = error.strerror if isinstance(error, OSError) else "a circle of links, or a character no path has"
            raise InputError(f"{shown} cannot be followed ({reason}). Mend it, or remove the row.") from error
        if not inside:
            raise InputError(f"{shown} leads out of {self._root}. Use a path inside the folder.")
        if not is_file:
            raise InputError(f"{shown} does not exist in {self._root}. Mend it, or remove the row.")
        _age(row.get("age"), where)

    def _is_inside(self, path: Path) -> bool:
        """Whether a path leads to somewhere in the folder; folders are followed once, since that takes long."""
        if path.name != ".." and not _may_be_link(path):
            folder = path.parent
            if folder not in self._folders_inside:
                self._folders_inside[folder] = folder.resolve().is_relative_to(self._root.resolve())
            return self._folders_inside[folder]
        return path.resolve().is_relative_to(self._root.resolve())

    def taxonomy(self) -> Taxonomy:
        """One class a distinct label, of the modality that its rows agree on."""
        labels = (row.get("label") for row in self._rows)
        return taxonomy_of(labels, modality=self._modality, stated=self._stated_modalities())

    def _stated_modalities(self) -> dict[str, str]:
        first: dict[str, _Row] = {}
        for row in self._rows:
            label, modality = row.get("label"), row.get("modality")
            if not modality:
                continue
            other = first.setdefault(label, row)
            if other.get("modality") != modality:
                raise InputError(
                    f"{self._csv}: class '{label}' has the modality '{other.get('modality')}' in line {other.line} "
                    f"and '{modality}' in line {row.line}. Mend one, or make two classes of it."
                )
        return {label: row.get("modality") for label, row in first.items()}

    def images(self) -> Iterator[SourceImage]:
        """Every row, in the order of the file."""
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for row in self._rows:
            known: dict[str, Any] = {name: row.get(name) for name in OPTIONAL}
            known["modality"] = modality[row.get("label")]
            age = _age(known.pop("age"), self.uri)
            name, label = readable_name(row.get("path")), row.get("label")
            read = partial(_read, self._root, row.get("path"), self._limits)
            yield SourceImage(name=name, label=label, read=read, age=age, **known)

    def fingerprint(self) -> str:
        """Over the manifest and every image that it names."""
        names = {row.get("path") for row in self._rows} | {CSV_FILE}
        return fingerprint_files(self._root, (self._root / name for name in names))


def _may_be_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:
        return True  # following it says what is wrong with it


def _read(root: Path, name: str, limits: DecodeLimits) -> bytes:
    """The bytes of an image, whose path is put together only now: kept for all images, paths take 500 bytes each."""
    return read_bounded(root / name, limits)


def _read_rows(path: Path) -> list[_Row]:
    """Every row that is not blank.

    Raises:
        InputError: the file cannot be read, is no CSV in UTF-8, or lacks a required column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = _checked_header([column.strip() for column in next(reader, [])], path)
            columns = {column: place for place, column in enumerate(header)}
            columns.setdefault("modality", len(header))
            rows, line = [], reader.line_num + 1
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append(_Row(line, columns, _cells(columns, len(header), cells, f"{path} line {line}")))
                line = reader.line_num + 1  # counts lines of the file, of which a quoted cell may hold several
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file in UTF-8 ({error}). Save it as such.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Allow it to be read.") from error
    return rows


def _checked_header(header: list[str], path: Path) -> list[str]:
    for column in REQUIRED:
        if column in header:
            continue
        other = next((name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if mark in "".join(header)), None)
        if other and len(header) == 1:
            raise InputError(f"{path} has no column '{column}': it seems separated by {other}. Save it with commas.")
        raise InputError(
            f"{path} has no column '{column}' (it has {', '.join(map(readable_name, header)) or 'none'}). "
            f"Add it: {' and '.join(REQUIRED)} are required."
        )
    twice = next((column for column in REQUIRED + OPTIONAL if header.count(column) > 1), None)
    if twice:
        raise InputError(f"{path} has the column '{twice}' twice. Remove one.")
    return header


def _cells(columns: Mapping[str, int], width: int, cells: list[str], where: str) -> tuple[str, ...]:
    """A cell for each of the columns, of which `width` are in the header; those that are missing are empty."""
    if any(cell.strip() for cell in cells[width:]):
        raise InputError(f"{where} has {len(cells)} cells, the header {width}. Quote each cell with a comma in it.")
    row = [cell.strip() for cell in cells[:width]]
    row += [""] * (max(columns.values()) + 1 - len(row))
    row[columns["label"]] = readable_name(row[columns["label"]])  # becomes the class's name, which stands in messages
    row[columns["modality"]] = row[columns["modality"]].lower()
    for column, place in columns.items():
        if column not in _TELLING_APART:
            row[place] = sys.intern(row[place])
    return tuple(row)


def _age(text: str, where: str) -> float | None:
    """Years, or None where the cell is empty."""
    try:
        years = float(text) if text else None
    except ValueError:
        years = math.nan
    if years is None or (math.isfinite(years) and years >= 0):
        return years
    raise InputError(f"{where}: age '{readable_name(text)}' is no number of years. Mend it, or leave it empty.")
