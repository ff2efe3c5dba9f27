"""A version whose metadata was corrected: it has the name of the published one, and is not taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.config.environment import Environment
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.store.fetch import fetch
from secondread.data.store.open import open_store
from secondread.data.store.publish import publish
from secondread.data.store.store import Store
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "kept"), Environment.read({}))


@pytest.fixture
def made_of(tmp_path: Path, film: Callable[[int], bytes]) -> Callable[..., DatasetVersion]:
    """A version of 24 films whose list says their ages and sexes: `made_of("name", ages={3: 70})`."""

    def make(name: str, *, ages: dict[int, int] | None = None, key: str = "key") -> DatasetVersion:
        source = tmp_path / "films"
        source.mkdir(exist_ok=True)
        lines = ["path,label,patient_id,age,sex"]
        for number in range(24):
            (source / f"{number}.png").write_bytes(film(number))
            age = (ages or {}).get(number, 40 if number else "")
            lines.append(f"{number}.png,{'ab'[number % 2]},P{number // 2},{age},{'MF'[number // 2 % 2]}")
        (source / "manifest.csv").write_text("\n".join(lines))
        ingest(IngestConfig(source=str(source)), tmp_path / f"{name}-in", patient_key=tmp_path / key)
        return write_dataset_version(tmp_path / f"{name}-in", tmp_path / name, PreprocessConfig(image_size=32))

    return make


def stored(store: Store) -> dict[str, bytes]:
    root = Path(store.uri)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_corrected_ages_are_refused_with_what_differs_and_how_to_go_on(
    made_of: Callable[..., DatasetVersion], store: Store, tmp_path: Path
) -> None:
    first, corrected = made_of("first"), made_of("corrected", ages={0: 71, 5: 72})
    assert corrected.content_hash == first.content_hash
    publish(first, store)
    before = stored(store)
    with pytest.raises(InputError, match=r"other metadata \(age of 2 image\(s\)\)") as error:
        publish(corrected, store)
    assert "Publish this one to another root; or" in str(error.value)
    assert "\n" not in str(error.value)
    assert stored(store) == before
    other = open_store(str(tmp_path / "other"), Environment.read({}))
    publish(corrected, other)
    ages = fetch(other, corrected.name, tmp_path / "fetched").manifest["age"]
    assert sorted(ages.unique()) == [40, 71, 72]


def test_patients_that_another_key_hashed_are_told(made_of: Callable[..., DatasetVersion], store: Store) -> None:
    publish(made_of("first"), store)
    with pytest.raises(InputError, match=r"\(patient_id of 24 image\(s\)\)"):
        publish(made_of("second", key="other-key"), store)


def test_a_version_of_another_place_and_a_manifest_of_other_bytes_are_the_same_version(
    made_of: Callable[..., DatasetVersion], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    version = made_of("first")
    done = publish(version, store)
    document = json.loads((version.root / "dataset.json").read_text())
    document["source"]["uri"] = "s3://elsewhere/films"
    (version.root / "dataset.json").write_text(json.dumps(document))
    rows = pd.read_parquet(version.root / "manifest.parquet")
    rows.assign(path="images/00/other.png").to_parquet(version.root / "manifest.parquet", compression="gzip")
    with caplog.at_level("INFO", logger="secondread"):
        again = publish(DatasetVersion.open(version.root), store)
    assert (again.sent, again.there) == (0, done.sent)
    assert f"version {version.name} stays as it was published, with another source" in caplog.messages
