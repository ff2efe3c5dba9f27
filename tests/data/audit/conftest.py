"""Sets to audit: phantoms, planted traps, and the public sets, each ingested once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from secondread.config.audit import AuditConfig
from secondread.config.ingest import IngestConfig
from secondread.data.audit.audit import Audit, audit
from secondread.data.audit.findings import Finding
from secondread.data.audit.shortcuts import Shortcut
from secondread.data.audit.subject import Subject, open_subject
from secondread.data.ingest import ingest
from secondread.data.pixels.decode import decode
from secondread.data.sources.open import open_source


@pytest.fixture(scope="session")
def audited(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Audit]:
    """The audit of one of the public sets: `audited("nih-covid-3")`."""
    done: dict[str, Audit] = {}

    def run(name: str) -> Audit:
        if name not in done:
            folder = tmp_path_factory.mktemp("audited") / "ingested"
            ingest(IngestConfig(source=str(shared_data / name), public_ids=True), folder)
            done[name] = audit(open_subject(folder), AuditConfig())
        return done[name]

    return run


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Ingested films of 200 phantoms of two classes: `phantoms(change)`; `change(label, film)` may mark a film."""
    images = list(
        open_source("phantom://cxr?images=200&size=96&classes=cxr-normal,cxr-opacity&wrong_labels=0").images()
    )
    films = [decode(image.read()) for image in images]

    def make(change: Callable[[str, np.ndarray], np.ndarray] = lambda _, film: film) -> Path:
        root = tmp_path_factory.mktemp("phantoms")
        lines = ["path,label,patient_id,source,sex,age,view"]
        for number, (image, film) in enumerate(zip(images, films, strict=True)):
            Image.fromarray(change(image.label, film.copy())).save(root / f"{number}.png")
            lines.append(f"{number}.png,{image.label},{image.patient_id},one,{'FM'[number % 2]},{20 + number % 60},AP")
        (root / "manifest.csv").write_text("\n".join(lines))
        output = tmp_path_factory.mktemp("ingested") / "out"
        ingest(IngestConfig(source=str(root), public_ids=True), output)
        return output

    return make


@pytest.fixture(scope="session")
def plain_phantoms(phantoms: Callable[..., Path]) -> Path:
    """Phantoms with nothing planted."""
    return phantoms()


@pytest.fixture(scope="session")
def plain_subject(plain_phantoms: Path) -> Subject:
    return open_subject(plain_phantoms)


@pytest.fixture(scope="session")
def by_name() -> Callable[..., Finding | Shortcut]:
    """One finding or shortcut of an audit: `by_name(audit, "source")`."""

    def find(result: Audit, name: str) -> Finding | Shortcut:
        (found,) = [item for item in (*result.findings, *result.shortcuts) if item.name == name]
        return found

    return find
