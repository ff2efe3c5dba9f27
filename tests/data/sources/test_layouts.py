"""Which public dataset a folder is."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from secondread.config.ingest import IngestConfig
from secondread.data.ingest import ingest
from secondread.data.sources.folder import FolderSource
from secondread.data.sources.layouts import LAYOUTS
from secondread.data.sources.manifest_csv import ManifestCsvSource
from secondread.data.sources.open import is_local, local_path, open_source
from secondread.data.sources.published import PublishedSource
from secondread.data.sources.tree import likely_tops
from secondread.errors import InputError

OCT = [f"OCT2017/train/{name}/{name}-1-1.jpeg" for name in ("CNV", "DME", "DRUSEN", "NORMAL")]
CXR = [f"chest_xray/train/{name}.jpeg" for name in ("NORMAL/IM-0001-0001", "PNEUMONIA/person1_bacteria_1")]


@pytest.mark.parametrize("uri", ["oct2017:{path}", "oct2017://{path}", "{path}", "file://{path}"])
def test_every_way_to_write_it_opens_the_same_and_opens_it_again(plant: Callable[..., Path], uri: str) -> None:
    source = open_source(uri.format(path=plant("download", OCT)))
    assert isinstance(source, PublishedSource)
    assert source.publication.name == "oct2017"
    assert open_source(source.uri).fingerprint() == source.fingerprint()
    assert is_local(source.uri)
    assert local_path(source.uri) == local_path(uri.format(path=plant("download", OCT)))


def test_a_path_relative_to_where_we_are(plant: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plant("download", OCT).parent)
    assert open_source("oct2017:download").uri == f"oct2017:{Path.cwd() / 'download'}"


def test_a_folder_of_two_datasets_must_be_named(plant: Callable[..., Path]) -> None:
    root = plant("download", OCT + CXR)
    with pytest.raises(InputError, match=r"holds several datasets\. Name one \(chest-xray-pneumonia:.*oct2017:"):
        open_source(str(root))
    assert open_source(f"chest-xray-pneumonia:{root}").taxonomy().names == ("cxr-normal", "cxr-bacterial-pneumonia")


def test_another_layout_than_was_named_is_told(plant: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"has not the layout of NIH ChestX-ray14\. Give the folder or archive as"):
        open_source(f"nih-cxr14:{plant('download', OCT)}")


def test_a_manifest_comes_before_a_layout(plant: Callable[..., Path]) -> None:
    root = plant("download", OCT)
    (root / "manifest.csv").write_text(f"path,label\n{OCT[0]},oct-cnv\n")
    assert isinstance(open_source(str(root)), ManifestCsvSource)


def test_class_folders_of_any_other_kind_stay_class_folders(plant: Callable[..., Path]) -> None:
    root = plant("download", ["NORMAL/1.png", "PNEUMONIA/1.png", "COVID/1.png", "Tuberculosis/1.png"])
    assert isinstance(open_source(str(root)), FolderSource)


def test_a_deep_tree_of_patients_is_not_searched_for_long(tmp_path: Path) -> None:
    for patient in range(600):
        (tmp_path / "films" / "normal" / f"{patient}" / "study").mkdir(parents=True)
    assert len(likely_tops(tmp_path / "films")) == 500


def test_every_layout_says_licence_citation_and_how_to_obtain() -> None:
    assert len(LAYOUTS) == 8
    for name, layout in LAYOUTS.items():
        publication = layout.publication
        assert publication.name == name
        assert publication.license
        assert publication.citation
        assert publication.page.startswith("https://")
        assert publication.images > 900


# What the README beside the images counts.
REAL = {
    "nih-covid-3": (1113, 760),
    "radiography-4": (1600, 310),
    "paediatric-pneumonia": (1974, 1306),
    "covid-chestxray": (290, 176),
    "pneumoniamnist-28/pneumoniamnist-train-val.npz": (5232, 0),
    "oct-samples": (26, 16),
    "dicom": (6, None),
}


@pytest.mark.parametrize(("name", "counts"), REAL.items())
def test_every_set_of_real_images(shared_data: Path, name: str, counts: tuple[int, int | None]) -> None:
    images = list(open_source(str(shared_data / name), public_ids=True).images())
    assert len(images) == counts[0] == len({image.name for image in images})
    patients = {image.patient_id for image in images} - {""}
    assert counts[1] is None or len(patients) == counts[1]
    assert all(image.read() for image in images[:: len(images) // 5])


def test_a_dataset_is_ingested_with_its_facts_and_never_written_into(plant: Callable[..., Path]) -> None:
    root = plant("download", OCT)
    with pytest.raises(InputError, match="lies in the source"):
        ingest(IngestConfig(source=f"oct2017:{root}"), root / "out")
    ingest(IngestConfig(source=f"oct2017:{root}"), root.parent / "out")
    rows = pd.read_parquet(root.parent / "out" / "manifest.parquet")
    assert sorted(rows["label"]) == ["oct-cnv", "oct-dme", "oct-drusen", "oct-normal"]
    assert set(rows["patient_id"]) == {"kermanyoct-1"}
    assert (set(rows["original_split"]), set(rows["license"])) == ({"train"}, {"CC BY 4.0"})
