"""A folder with `manifest.csv`: one row an image; `path` and `label` are required, the others not."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from secondread.data.fingerprint import fingerprint_files
from secondread.data.sources.source import SourceImage
from secondread.data.taxonomies import taxonomy_of
from secondread.errors import InputError
from secondread.taxonomy import Taxonomy

CSV_FILE = "manifest.csv"
REQUIRED = ("path", "label")
OPTIONAL = ("patient_id", "study_id", "modality", "source", "site", "license", "sex", "age", "view", "acquired_at")


class ManifestCsvSource:
    """A folder whose `manifest.csv` names the images. Columns it does not know are ignored.

    Args:
        root: the folder.
        modality: of every image whose row and class name do not say.
        public_ids: the patient ids are published, so that they need no hashing.
    Raises:
        InputError: a required column or value is missing, a path leads out of the folder or to no file, or an age is
            no number; each with the row's number in the file.
    """

    synthetic = False

    def __init__(self, root: Path, *, modality: str = "", public_ids: bool = False) -> None:
        self.uri = str(root)
        self.public = public_ids
        self._root = root
        self._modality = modality
        self._csv = root / CSV_FILE
        if not self._rows:
            raise InputError(f"{self._csv} has no rows below its header. List one image a row.")

    @cached_property
    def _rows(self) -> list[dict[str, str]]:
        try:
            with self._csv.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                header = list(reader.fieldnames or [])
                for column in REQUIRED:
                    if column not in header:
                        raise InputError(
                            f"{self._csv} has no column '{column}' (it has {', '.join(header) or 'none'}). "
                            f"Add it: {' and '.join(REQUIRED)} are required."
                        )
                rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{self._csv} is no CSV file in UTF-8 ({error}). Save it as such.") from error
        for number, row in enumerate(rows, start=2):
            self._check(row, number)
        return rows

    def _check(self, row: dict[str, str], number: int) -> None:
        where = f"{self._csv} row {number}"
        for column in REQUIRED:
            if not row[column]:
                raise InputError(f"{where} has an empty '{column}'. Fill it in, or remove the row.")
        path = self._root / row["path"]
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise InputError(f"{where}: path '{row['path']}' leads out of {self._root}. Use a path inside the folder.")
        if not path.is_file():
            raise InputError(
                f"{where}: path '{row['path']}' does not exist in {self._root}. Mend it, or remove the row."
            )
        _age(row.get("age", ""), where)

    def taxonomy(self) -> Taxonomy:
        """One class a distinct label."""
        return taxonomy_of((row["label"] for row in self._rows), modality=self._modality)

    def images(self) -> Iterator[SourceImage]:
        """Every row, in the order of the file."""
        modality = {info.name: info.modality for info in self.taxonomy().classes}
        for row in self._rows:
            known = {name: row.get(name, "") for name in OPTIONAL}
            known["modality"] = known["modality"] or modality[row["label"]]
            age = _age(known.pop("age"), self.uri)
            path = self._root / row["path"]
            yield SourceImage(name=row["path"], label=row["label"], read=path.read_bytes, age=age, **known)

    def fingerprint(self) -> str:
        """Over the manifest and every image that it names."""
        files = {self._root / row["path"] for row in self._rows} | {self._csv}
        return fingerprint_files(self._root, files)


def _age(text: str, where: str) -> float | None:
    """Years, or None where the cell is empty."""
    try:
        return float(text) if text else None
    except ValueError as error:
        raise InputError(f"{where}: age '{text}' is no number of years. Mend it, or leave it empty.") from error
