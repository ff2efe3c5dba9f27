"""A YAML file that maps several sources to one set of classes."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest
from secondread.data.sources.merged import MergedSource
from secondread.data.sources.open import open_source
from secondread.data.versions.version import write_dataset_version
from secondread.errors import InputError

SEEDS = (
    *("cxr-covid", "cxr-normal", "cxr-opacity", "cxr-viral-pneumonia", "cxr-tuberculosis"),
    *("oct-cnv", "oct-dme", "oct-drusen", "oct-normal"),
)


def _write(path: Path, *sources: object) -> str:
    path.write_text(yaml.safe_dump({"sources": list(sources)}))
    return str(path)


def test_nine_classes_from_three_sources(tmp_path: Path, plant: Callable[..., Path]) -> None:
    radiography = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    plant("radiography", [f"{name}/images/{name}-{n}.png" for name in radiography for n in (1, 2)])
    plant("tb", ["Normal/1.png", "Tuberculosis/1.png", "Tuberculosis/2.png"])
    scans = [f"OCT2017/train/{name}/{name}-{n}-1.jpeg" for name in ("CNV", "DME", "DRUSEN", "NORMAL") for n in (1, 2)]
    plant("oct", scans)
    uri = _write(
        tmp_path / "nine.yaml",
        {"uri": "covid-radiography:radiography"},
        {
            "uri": "tb",
            "name": "tuberculosis",
            "classes": {"Normal": "cxr-normal", "Tuberculosis": "cxr-tuberculosis"},
            "modality": "cxr",
        },
        {"uri": f"oct2017:///{str(tmp_path / 'oct').lstrip('/')}"},
    )
    source = open_source(uri)
    assert isinstance(source, MergedSource)
    assert source.taxonomy().names == SEEDS
    assert {info.name: info.modality for info in source.taxonomy().classes} == {name: name[:3] for name in SEEDS}
    images = list(source.images())
    assert len(images) == 19 == len({image.name for image in images})
    assert ("tuberculosis/Normal/1.png", "cxr-normal") in {(image.name, image.label) for image in images}
    assert {image.source for image in images} == {
        "COVID-19 Radiography Database",
        "tuberculosis",
        "OCT2017 (Kermany et al.)",
    }


def test_the_same_names_of_two_sources_are_kept_apart_through_ingest(
    films: Callable[..., Path], tmp_path: Path
) -> None:
    films("one/films", normal=2)
    films("two/films", normal=3)
    (tmp_path / "two/films/normal/000.png").write_bytes(b"no picture")
    uri = _write(tmp_path / "both.yml", {"uri": "one/films"}, {"uri": "two/films"})
    names = [image.name for image in open_source(uri).images()]
    assert names == [
        *("films/normal/000.png", "films/normal/001.png"),
        *("films-2/normal/000.png", "films-2/normal/001.png", "films-2/normal/002.png"),
    ]
    ingest(IngestConfig(source=uri), tmp_path / "out")
    assert "films-2/normal/000.png" in set(pd.read_parquet(tmp_path / "out" / "rejected.parquet")["name"])


def test_null_and_classes_that_are_not_named_are_left_out_and_counted(
    films: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    films("films", normal=2, covid=1, other=3)
    uri = _write(tmp_path / "a.yaml", {"uri": "films", "classes": {"normal": "cxr-normal", "covid": None}})
    source = open_source(uri)
    assert source.taxonomy().names == ("cxr-normal",)
    assert [image.label for image in source.images()] == ["cxr-normal"] * 2
    told = "\n".join(caplog.messages)
    assert "left out 1 image(s) of class 'covid' of films" in told
    assert "left out 3 image(s) of class 'other' of films" in told


def test_the_fingerprint_changes_with_an_image_and_with_the_map(
    films: Callable[..., Path], film: Callable[[int], bytes], tmp_path: Path
) -> None:
    root = films("films", normal=2, covid=1)
    uri = _write(tmp_path / "a.yaml", {"uri": "films", "classes": {"normal": "a", "covid": "b"}})
    first = open_source(uri).fingerprint()
    assert open_source(uri).fingerprint() == first
    _write(tmp_path / "a.yaml", {"uri": "films", "classes": {"normal": "b", "covid": "a"}})
    second = open_source(uri).fingerprint()
    (root / "normal" / "000.png").write_bytes(film(77))
    assert len({first, second, open_source(uri).fingerprint()}) == 3


def _hospital(root: Path, film: Callable[[int], bytes], *patients: str, start: int = 0) -> None:
    """Two films of each patient, one a class."""
    root.mkdir(parents=True)
    lines = ["path,label,patient_id"]
    for number, patient in enumerate(patients):
        for label in ("sick", "well"):
            (root / f"{label}-{number}.png").write_bytes(film(start + 2 * number + (label == "sick")))
            lines.append(f"{label}-{number}.png,{label},{patient}")
    (root / "manifest.csv").write_text("\n".join(lines))


def test_one_patient_id_in_two_sources_is_one_patient_and_is_told_of(
    film: Callable[[int], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A patient that is taken for two would leak; two that are taken for one are only counted wrong."""
    caplog.set_level(logging.WARNING, logger="secondread")
    _hospital(tmp_path / "2023", film, "1", "2", "3")
    _hospital(tmp_path / "2024", film, "2", "3", "4", start=100)
    images = list(
        open_source(_write(tmp_path / "a.yaml", {"uri": "2023"}, {"uri": f"file://{tmp_path}/2024"})).images()
    )
    assert {image.patient_id for image in images} == {"1", "2", "3", "4"}
    assert "2 patient id(s) are in both 2023 and 2024, and are taken for the same people." in caplog.text


def test_patients_of_two_hospitals_are_told_apart_where_the_list_says_so(
    film: Callable[[int], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="secondread")
    for number, name in enumerate(("north-2023", "north-2024", "south")):
        _hospital(tmp_path / name, film, "1", "2", "3", start=100 * number)
    north = [{"uri": f"north-{year}", "patients": "north"} for year in (2023, 2024)]
    uri = _write(tmp_path / "a.yaml", *north, {"uri": "south", "patients": "south"})
    ingest(IngestConfig(source=uri), tmp_path / "out", patient_key=tmp_path / "key")
    rows = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert sorted(rows.groupby("patient_id").size()) == [2, 2, 2, 4, 4, 4]
    assert rows["patient_id"].str.startswith("k1-").all()
    assert "patient id(s)" not in caplog.text
    other = _write(tmp_path / "b.yaml", *north, {"uri": "south", "patients": "north"})
    assert open_source(other).fingerprint() != open_source(uri).fingerprint()


def test_the_id_in_a_dicom_header_is_told_apart_too(
    dicom: Callable[..., bytes], film: Callable[[int], bytes], tmp_path: Path
) -> None:
    """Where a film of another kind lies beside it, the folder is one of pictures, and the header is read with them."""
    for number, name in enumerate(("north", "south")):
        (tmp_path / name / "sick").mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 4096, (40, 48)).astype(np.uint16)
        (tmp_path / name / "sick" / "1.dcm").write_bytes(dicom(pixels, PatientID="7"))
        (tmp_path / name / "sick" / "2.png").write_bytes(film(number))
    for expected, named in ((1, {}), (2, {"patients": "x"})):
        uri = _write(tmp_path / "a.yaml", {"uri": "north"}, {"uri": "south", **named})
        ingest(IngestConfig(source=uri), tmp_path / f"out-{expected}", patient_key=tmp_path / "key")
        patients = read_manifest(tmp_path / f"out-{expected}" / "manifest.parquet")["patient_id"]
        assert len(set(patients) - {""}) == expected


def test_published_patients_keep_their_ids_beside_those_that_are_hashed(
    film: Callable[[int], bytes], tmp_path: Path
) -> None:
    """So a version of public films can grow by a hospital's own."""
    _hospital(tmp_path / "public", film, "p1", "p2", "p3")
    _hospital(tmp_path / "own", film, "MRN-1", "MRN-2", "MRN-3", start=100)
    public, config = {"uri": "public", "public_ids": True}, PreprocessConfig(image_size=32)
    ingest(IngestConfig(source=_write(tmp_path / "a.yaml", public)), tmp_path / "first")
    parent = write_dataset_version(tmp_path / "first", tmp_path / "one", config)
    both = _write(tmp_path / "b.yaml", public, {"uri": "own"})
    ingest(IngestConfig(source=both), tmp_path / "second", patient_key=tmp_path / "key")
    rows = read_manifest(tmp_path / "second" / "manifest.parquet")
    assert {"p1", "p2", "p3"} < set(rows["patient_id"])
    assert rows["patient_id"].str.startswith("k1-").sum() == 6
    assert not rows["patient_id"].str.contains("MRN").any()
    child = write_dataset_version(tmp_path / "second", tmp_path / "two", config, parent)
    assert child.parent == parent.content_hash


def test_a_set_is_public_only_if_every_source_is(films: Callable[..., Path], tmp_path: Path) -> None:
    films("films", normal=1)
    both = _write(tmp_path / "a.yaml", {"uri": "phantom://demo?images=9"}, {"uri": "films"})
    assert not open_source(both).public
    assert open_source(_write(tmp_path / "b.yaml", {"uri": "phantom://demo?images=9"})).public
    assert open_source(both).synthetic


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ([{"uri": "films", "classes": {"norml": "a"}}], r"class 'norml' is not one of films \(covid, normal\)\. Mend"),
        ([{"uri": "films"}, {"uri": "none"}], r"a\.yaml: source 2 \(none\): source .*/none does not exist"),
        (
            [{"uri": "films"}, {"uri": "covid-radiograpy:films", "name": "known"}],
            r"a\.yaml: source 2 \(known\): source covid-radiograpy:.*/films does not exist",
        ),
        (
            [{"uri": "films"}, {"uri": "covid-radiography:films"}],
            r"source 2 \(.*films\): .*/films has not the layout of",
        ),
        ([{"uri": "films"}, {"uri": "films", "classes": {"c": "a"}}], r"source 2 \(films-2\): class 'c' is not one of"),
        ([{"uri": "films", "classes": {"normal": None}}], "leaves out every class"),
        ([{"uri": "films", "clases": {}}], "source 1 has the field 'clases', which is none of classes"),
        ([{"name": "films"}], "source 1 has no 'uri'"),
        ([{"uri": "films"}, "films"], "source 2 has no 'uri'"),
        ([{"uri": "films", "classes": ["normal"]}], "source 1: 'classes' must map"),
        ([{"uri": "films", "classes": {1: "a"}}], "Quote numbers"),
        ([{"uri": "films", "public_ids": "yes"}], "'public_ids' must be a bool"),
        ([{"uri": "films", "patients": 7}], "'patients' must be a str"),
        ([{"uri": "a.yaml"}], "is a list of sources itself"),
        ([], "has no list 'sources'"),
        (
            [{"uri": "films", "modality": "cxr"}, {"uri": "films", "modality": "oct"}],
            "class 'covid' has the modality 'cxr' from one source and 'oct' from",
        ),
    ],
)
def test_a_wrong_list_is_told_in_one_line(
    films: Callable[..., Path], tmp_path: Path, sources: list[object], words: str
) -> None:
    films("films", normal=1, covid=1)
    with pytest.raises(InputError, match=words) as caught:
        open_source(_write(tmp_path / "a.yaml", *sources))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["sources: [", "- a", "!!python/object/apply:os.system [true]", "\0", "", "[" * 20_000]
)
def test_a_file_that_is_no_list_of_sources_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a\.yaml (is no YAML|has no list 'sources')") as caught:
        open_source(str(tmp_path / "a.yaml"))
    assert "\n" not in str(caught.value)
