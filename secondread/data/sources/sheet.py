"""Tables that come with a dataset: CSV files and Excel sheets, as rows of text by column."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from secondread.data.sources.names import readable_name
from secondread.errors import InputError

Row = dict[str, str]

_MAX_SHEET_BYTES = 256 << 20  # inflated; the sheets of these sets have less than 1 MB


def read_csv(path: Path, required: Iterable[str]) -> Iterator[Row]:
    """Rows of a CSV file in UTF-8, by column, without blanks around cells; rows that are empty are passed over.

    Raises:
        InputError: it cannot be read, is no CSV in UTF-8, or lacks a required column.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _rows(path, csv.reader(file), required)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no CSV file in UTF-8 ({error}). Download it again.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Allow it to be read.") from error


def read_xlsx(path: Path, required: Iterable[str]) -> Iterator[Row]:
    """Rows of the first sheet of an Excel file, by column.

    Raises:
        InputError: it is no Excel file, inflates beyond measure, or lacks a required column.
    """
    # an Excel reader is needed for two datasets only
    from openpyxl import load_workbook

    try:
        content = io.BytesIO(path.read_bytes())  # openpyxl leaves a handle of its own open where a sheet is damaged
        with zipfile.ZipFile(content) as parts:
            if sum(part.file_size for part in parts.infolist()) > _MAX_SHEET_BYTES:
                raise InputError(f"{path} inflates to more than {_MAX_SHEET_BYTES >> 20} MiB. Download it again.")
        with closing(load_workbook(content, read_only=True, data_only=True)) as book:
            yield from _rows(path, book.worksheets[0].iter_rows(values_only=True), required)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). Allow it to be read.") from error
    except InputError:
        raise
    except (
        Exception
    ) as error:  # openpyxl's errors share no base class, and damage raises zlib's, XML's and Python's too
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is no Excel file that can be read ({reason}). Download it again.") from error


def _rows(path: Path, table: Iterable[Iterable[Any]], required: Iterable[str]) -> Iterator[Row]:
    lines = iter(table)
    header = [_text(cell) for cell in next(lines, [])]
    missing = [column for column in required if column not in header]
    if missing:
        there = ", ".join(readable_name(column) for column in header if column) or "none"
        raise InputError(f"{path} has no column '{missing[0]}' (it has {there}). Is it of this dataset?")
    for cells in lines:
        row = dict.fromkeys(header, "") | {name: _text(cell) for name, cell in zip(header, cells, strict=False)}
        if any(row.values()):
            yield row


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
