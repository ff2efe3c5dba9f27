"""A version with a parent: nothing that the parent has changes its split."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.atomic import read_json
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.patients import PatientHasher
from secondread.data.pixels.preprocess import Preprocessing
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.lineage import NEW_BETWEEN_SPLITS, OLD_BETWEEN_SPLITS, inherit
from secondread.data.versions.split import assign_splits
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError
from secondread.taxonomy import ClassInfo, Taxonomy


def patients(start: int, count: int, *, label: str | None = None) -> pd.DataFrame:
    """Rows of patients with one to three images each, of three classes or of the one that is named."""
    rows = [
        {
            "image_id": f"image-{patient}-{number}",
            "pixel_hash": f"picture-{patient}-{number}",
            "patient_id": f"{patient}",
            "cluster_id": "",
            "label": label or f"class-{patient % 3}",
        }
        for patient in range(start, start + count)
        for number in range(1 + patient * 7 % 3)
    ]
    return pd.DataFrame(rows).astype("string")


def as_version(rows: pd.DataFrame) -> DatasetVersion:
    """A version that has these rows, and no pixels."""
    names = sorted(rows["label"].unique())
    version = DatasetVersion(
        root=Path("parent"),
        taxonomy=Taxonomy(tuple(ClassInfo(str(name)) for name in names)),
        preprocessing=Preprocessing(size=32),
        content_hash="a" * 64,
        counts={},
        synthetic=False,
    )
    version.__dict__["manifest"] = rows
    return version


def grow(rows: pd.DataFrame, parent: DatasetVersion | None = None, **settings: float) -> pd.DataFrame:
    kept = inherit(rows.reset_index(drop=True), parent)
    config = PreprocessConfig(**settings)  # type: ignore[arg-type]
    return kept.rows.assign(split=assign_splits(kept.rows, config, kept.splits))


def splits(rows: pd.DataFrame) -> pd.Series:
    return rows.astype({"image_id": object}).set_index("image_id")["split"]


@pytest.fixture(scope="module")
def parent() -> pd.DataFrame:
    """1,500 patients, so that there is a final_eval."""
    rows = grow(patients(0, 1500))
    assert set(rows["split"]) == {"train", "val", "test", "final_eval"}
    return rows


@pytest.mark.parametrize("added", [1, 450], ids=["one group", "30 % more"])
@pytest.mark.parametrize("seed", [0, 1])
def test_added_groups_move_nothing(parent: pd.DataFrame, added: int, seed: int) -> None:
    rows = pd.concat([patients(1500, added), patients(0, 1500)])
    child = grow(rows.sample(frac=1, random_state=0), as_version(parent), split_seed=seed)
    assert len(child) == len(rows)
    pd.testing.assert_series_equal(splits(child).loc[parent["image_id"]], splits(parent))


def test_without_the_parent_they_would_move(parent: pd.DataFrame) -> None:
    alone = grow(pd.concat([patients(0, 1500), patients(1500, 450)]))
    assert (splits(alone).loc[parent["image_id"]] != splits(parent)).mean() > 0.05


def test_an_added_image_of_a_known_patient_goes_where_the_patient_is(parent: pd.DataFrame) -> None:
    new = parent.drop_duplicates("split").assign(
        image_id=[f"new-{number}" for number in range(4)], pixel_hash=[f"new-{number}" for number in range(4)]
    )
    child = grow(pd.concat([parent, new]).drop(columns=["split", "group_id"]), as_version(parent))
    assert list(splits(child).loc[new["image_id"]]) == list(new["split"])
    pd.testing.assert_series_equal(splits(child).loc[parent["image_id"]], splits(parent))


def test_a_patient_comes_back_although_the_old_images_are_gone(parent: pd.DataFrame) -> None:
    patient = parent[parent["split"] == "test"].iloc[0]["patient_id"]
    rest = parent[parent["patient_id"] != patient]
    new = pd.DataFrame(
        [{"image_id": "new", "pixel_hash": "new", "patient_id": patient, "cluster_id": "", "label": "class-0"}]
    )
    child = grow(pd.concat([rest.drop(columns=["split", "group_id"]), new]).astype("string"), as_version(parent))
    assert splits(child)["new"] == "test"


def test_a_study_comes_back_although_its_patient_was_never_known(parent: pd.DataFrame) -> None:
    held = parent[parent["split"] == "test"].iloc[0]["image_id"]
    unknown = parent.assign(study_id="")
    unknown.loc[unknown["image_id"] == held, ["patient_id", "study_id"]] = ["", "S"]
    names = {"image_id": "new", "pixel_hash": "new", "patient_id": "", "study_id": "S", "cluster_id": ""}
    new = pd.DataFrame([names | {"label": "class-0"}])
    rest = unknown[unknown["image_id"] != held].drop(columns=["split", "group_id"])
    child = grow(pd.concat([rest, new]).astype("string"), as_version(unknown))
    assert splits(child)["new"] == "test"


def test_new_groups_fill_what_is_below_its_share(parent: pd.DataFrame) -> None:
    rows = pd.concat([patients(0, 1500), patients(1500, 450)])
    child = grow(rows, as_version(parent))
    table = pd.crosstab(child["label"], child["split"], normalize="index")
    for split, share in {"final_eval": 0.15, "train": 0.595, "val": 0.17, "test": 0.085}.items():
        assert (table[split] - share).abs().max() < 0.01


def test_final_eval_stays_when_the_set_shrinks(parent: pd.DataFrame) -> None:
    fewer = parent[parent["patient_id"].astype(int) < 900].drop(columns=["split", "group_id"])
    assert len(fewer) < 2000
    child = grow(pd.concat([fewer, patients(1500, 3)]), as_version(parent))
    kept = splits(parent).loc[fewer["image_id"]]
    pd.testing.assert_series_equal(splits(child).loc[fewer["image_id"]], kept)


def test_a_new_class_is_dealt_afresh(parent: pd.DataFrame) -> None:
    child = grow(pd.concat([patients(0, 1500), patients(5000, 100, label="new")]), as_version(parent))
    shares = child.loc[child["label"] == "new", "split"].value_counts(normalize=True)
    for split, share in {"final_eval": 0.15, "train": 0.595, "val": 0.17, "test": 0.085}.items():
        assert abs(shares[split] - share) < 0.03


@pytest.mark.parametrize(("one", "other"), [("train", "test"), ("final_eval", "train"), ("val", "test")])
def test_a_new_image_between_two_splits_is_left_out(parent: pd.DataFrame, one: str, other: str) -> None:
    """A film of a patient of one split that is also, byte for byte of its pixels, a film of the other split."""
    first, second = (parent[parent["split"] == split].iloc[0] for split in (one, other))
    bridge = pd.DataFrame(
        [{"image_id": "bridge", "patient_id": first["patient_id"], "pixel_hash": second["pixel_hash"]}]
    ).assign(cluster_id="", label=first["label"])
    rows = pd.concat([patients(0, 1500), bridge]).astype("string").reset_index(drop=True)
    kept = inherit(rows, as_version(parent))
    assert list(kept.left_out["image_id"]) == ["bridge"]
    assert list(kept.left_out["reason"]) == [NEW_BETWEEN_SPLITS]
    pd.testing.assert_series_equal(splits(grow(rows, as_version(parent))), splits(parent))


def test_a_new_image_is_left_out_too_if_both_sides_are_gone(parent: pd.DataFrame) -> None:
    first, second = (parent[parent["split"] == split].iloc[0] for split in ("train", "test"))
    bridge = pd.DataFrame(
        [{"image_id": "bridge", "patient_id": first["patient_id"], "pixel_hash": second["pixel_hash"]}]
    ).assign(cluster_id="", label=first["label"])
    rest = patients(0, 1500)
    rest = rest[~rest["patient_id"].isin([first["patient_id"], second["patient_id"]])]
    kept = inherit(pd.concat([rest, bridge]).astype("string").reset_index(drop=True), as_version(parent))
    assert list(kept.left_out["image_id"]) == ["bridge"]


@pytest.mark.parametrize(("strict", "loose"), [("test", "train"), ("final_eval", "train"), ("test", "final_eval")])
def test_a_leak_of_the_parent_is_closed_without_moving_an_image(parent: pd.DataFrame, strict: str, loose: str) -> None:
    """Near duplicates that nobody had looked for when the parent was made."""
    held, learned = (parent[parent["split"] == split].iloc[0] for split in (strict, loose))
    rows = patients(0, 1500)
    rows.loc[rows["image_id"].isin([held["image_id"], learned["image_id"]]), "cluster_id"] = "near"
    kept = inherit(rows, as_version(parent))
    assert set(kept.left_out["image_id"]) == set(rows.loc[rows["patient_id"] == learned["patient_id"], "image_id"])
    assert set(kept.left_out["reason"]) == {OLD_BETWEEN_SPLITS}
    child = grow(rows, as_version(parent))
    pd.testing.assert_series_equal(splits(child), splits(parent).loc[child["image_id"]])
    assert held["image_id"] in set(child["image_id"])


def test_a_version_grows_on_disk(films: Callable[..., Path], film: Callable[[int], bytes], tmp_path: Path) -> None:
    config = PreprocessConfig(image_size=32)
    root = films(cxr_normal=20, cxr_covid=20)
    ingest(IngestConfig(source=str(root)), tmp_path / "first")
    first = write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    (root / "cxr-normal" / "new.png").write_bytes(film(99_999))
    ingest(IngestConfig(source=str(root)), tmp_path / "second")
    second = write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent=first)
    assert second.parent == first.content_hash
    assert read_json(tmp_path / "two" / "dataset.json")["left_out"] == {}
    pd.testing.assert_series_equal(splits(second.manifest).loc[first.manifest["image_id"]], splits(first.manifest))
    again = write_dataset_version(tmp_path / "second", tmp_path / "three", config, parent=second)
    assert (again.content_hash, again.parent) == (second.content_hash, first.content_hash)  # not a child of itself
    known = second.split("test").rows["image_id"].isin(first.manifest["image_id"]).to_numpy()
    np.testing.assert_array_equal(second.split("test").images[known], first.split("test").images)


@pytest.mark.parametrize(
    ("change", "words"),
    [("size", "has images of 32 px"), ("class", "class covid of parent"), ("modality", "has modality 'oct'")],
)
def test_a_parent_that_does_not_fit_is_refused(
    films: Callable[..., Path], tmp_path: Path, change: str, words: str
) -> None:
    first, second = films("films-1", normal=9, covid=9), films("films-2", normal=9, other=9)
    ingest(IngestConfig(source=str(first), modality="cxr"), tmp_path / "first")
    parent = write_dataset_version(tmp_path / "first", tmp_path / "one", PreprocessConfig(image_size=32))
    modality = "oct" if change == "modality" else "cxr"
    ingest(IngestConfig(source=str(second if change == "class" else first), modality=modality), tmp_path / "second")
    size = 48 if change == "size" else 32
    with pytest.raises(InputError, match=words):
        write_dataset_version(tmp_path / "second", tmp_path / "two", PreprocessConfig(image_size=size), parent)
    assert not (tmp_path / "two").exists()


@pytest.fixture
def hospital(film: Callable[[int], bytes], tmp_path: Path) -> Path:
    """60 films of 30 patients, whose ids must not leave it."""
    root = tmp_path / "hospital"
    root.mkdir()
    lines = ["path,label,patient_id"]
    for number in range(60):
        (root / f"{number}.png").write_bytes(film(number))
        lines.append(f"{number}.png,{'sick' if number % 4 > 1 else 'well'},MRN-{number // 2}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return root


def test_a_parent_made_with_another_key_is_refused(
    hospital: Path, film: Callable[[int], bytes], tmp_path: Path
) -> None:
    """Even if no film is in both: a patient of its test could come back in train."""
    config = PreprocessConfig(image_size=32)
    ingest(IngestConfig(source=str(hospital)), tmp_path / "first", patient_key=tmp_path / "key-1")
    parent = write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    assert parent.patient_key == PatientHasher.from_file(tmp_path / "key-1").fingerprint
    for number in range(60):
        (hospital / f"{number}.png").write_bytes(film(1_000 + number))
    ingest(IngestConfig(source=str(hospital)), tmp_path / "second", patient_key=tmp_path / "key-2")
    words = f"hashed with the key {parent.patient_key}, these with .*Ingest with that key.*or name no parent"
    with pytest.raises(InputError, match=words):
        write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent)
    assert not (tmp_path / "two").exists()
    ingest(IngestConfig(source=str(hospital)), tmp_path / "third", patient_key=tmp_path / "key-1")
    child = write_dataset_version(tmp_path / "third", tmp_path / "two", config, parent)
    old, new = (version.manifest.drop_duplicates("patient_id").set_index("patient_id") for version in (parent, child))
    pd.testing.assert_series_equal(new["split"].sort_index(), old["split"].sort_index())


@pytest.mark.parametrize("before", ["public", "without a fingerprint"])
def test_a_parent_whose_films_have_other_patient_ids_is_refused(hospital: Path, tmp_path: Path, before: str) -> None:
    config = PreprocessConfig(image_size=32)
    public = IngestConfig(source=str(hospital), public_ids=before == "public")
    ingest(public, tmp_path / "first", patient_key=tmp_path / "key-1")
    write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    document = read_json(tmp_path / "one" / "dataset.json")
    del document["patient_key"]  # as versions of before are
    (tmp_path / "one" / "dataset.json").write_text(json.dumps(document))
    parent = DatasetVersion.open(tmp_path / "one")
    ingest(IngestConfig(source=str(hospital)), tmp_path / "second", patient_key=tmp_path / "key-2")
    with pytest.raises(InputError, match=r"60 image\(s\) have other patient ids here than in parent"):
        write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent)


def test_hashed_ids_after_published_ones_are_refused_where_no_film_tells(
    hospital: Path, film: Callable[[int], bytes], tmp_path: Path
) -> None:
    config, public = PreprocessConfig(image_size=32), IngestConfig(source=str(hospital), public_ids=True)
    ingest(public, tmp_path / "first")
    parent = write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    for number in range(60):
        (hospital / f"{number}.png").write_bytes(film(1_000 + number))  # of the same patients
    ingest(IngestConfig(source=str(hospital)), tmp_path / "second", patient_key=tmp_path / "key")
    with pytest.raises(InputError, match="no image and no patient of parent version"):
        write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent)
    ingest(public, tmp_path / "third")
    child = write_dataset_version(tmp_path / "third", tmp_path / "two", config, parent)
    old, new = (version.manifest.drop_duplicates("patient_id").set_index("patient_id") for version in (parent, child))
    pd.testing.assert_series_equal(new["split"].sort_index(), old["split"].sort_index())


def test_a_key_does_not_matter_where_no_patient_is_known(films: Callable[..., Path], tmp_path: Path) -> None:
    config, root = PreprocessConfig(image_size=32), films(normal=9, covid=9)
    ingest(IngestConfig(source=str(root)), tmp_path / "first", patient_key=tmp_path / "key-1")
    parent = write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    assert parent.patient_key == ""
    ingest(IngestConfig(source=str(root)), tmp_path / "second", patient_key=tmp_path / "key-2")
    child = write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent)
    assert child.content_hash == parent.content_hash
