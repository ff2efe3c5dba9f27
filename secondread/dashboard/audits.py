"""The audit of a version: the one that was written beside it or with it, or one that is run when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.atomic import read_json
from secondread.dashboard.shelf import Held, HeldFolder, HeldObjects
from secondread.errors import IntegrityError

# As `secondread.data.audit.report` names them, which takes seconds to load: only who runs an audit does.
JSON_FILE, HTML_FILE = "audit.json", "audit.html"

SHOWN_HASH = 12  # characters of a content hash that a version is named by

_NEEDED = {"name", "images", "severity", "findings", "shortcuts", "notes", "rejected"}


@dataclass(frozen=True)
class Found:
    """An audit.

    Attributes:
        document: as `Audit.to_dict` gives it.
        page: the report for people, with pictures; None where it is not there.
    """

    document: dict[str, Any]
    page: Path | None


def stored_audit(held: Held, cache: Path) -> Found | None:
    """The audit of exactly this version, from where it may be; None where there is none.

    Raises:
        IntegrityError: there is one, but it is damaged.
    """
    records = held.records()
    folders = [records / "audit", records, _own(held, cache)]
    if isinstance(held, HeldFolder):
        folder = held.folder.resolve()
        folders.insert(0, folder.with_name(f"{folder.name}-audit"))
    for folder in folders:
        if (folder / JSON_FILE).is_file():
            document = read_json(folder / JSON_FILE)
            if not isinstance(document, dict) or not document.keys() >= _NEEDED:
                raise IntegrityError(f"{folder / JSON_FILE} is no audit. Remove it, and run data audit again.")
            if document["name"] != held.content_hash[:SHOWN_HASH]:
                continue  # of what stood here before, or of the images that this version was made of
            page = folder / HTML_FILE
            return Found(document, page if page.is_file() else None)
    return None


def bytes_to_fetch(held: Held) -> int:
    """What running the audit has to fetch first: nothing for a folder, else the whole version, once."""
    if isinstance(held, HeldObjects) and not _fetched(held).is_dir():
        return held.contents.size
    return 0


def run_audit(held: Held, cache: Path) -> None:
    """Audit a version as `data audit` does, and keep what was found.

    The audit looks at thousands of pictures, so a published version is fetched whole, checked, and kept.

    Raises:
        InputError, IntegrityError, DependencyError: as `fetch` and `open_subject` say.
    """
    from secondread.config.audit import AuditConfig
    from secondread.data.audit.audit import audit
    from secondread.data.audit.report import write_audit
    from secondread.data.audit.subject import open_subject
    from secondread.data.store.fetch import fetch

    folder = held.records()
    if isinstance(held, HeldObjects):
        folder = _fetched(held)
        if not folder.is_dir():
            fetch(held.store, held.content_hash, folder)
    config, subject = AuditConfig(), open_subject(folder)
    write_audit(audit(subject, config), subject, _own(held, cache), config, inputs=[folder])


def _own(held: Held, cache: Path) -> Path:
    """Where the dashboard keeps the audits that it ran."""
    from secondread.atomic import sha256_bytes

    return cache / "audits" / sha256_bytes(held.key.encode())[:32]


def _fetched(held: HeldObjects) -> Path:
    return held.cache / "versions" / held.key
