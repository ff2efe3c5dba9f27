"""Only pixels and an allow-list leave a DICOM file: a word planted in every element is in nothing that is written.

The elements are all those that the standard's dictionary knows for a text or a name, private ones and nested ones too.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from typer.testing import CliRunner

from secondread.cli.main import app

WORD = "CANARY"
# what may leave, as codes of closed lists; the word is none of them
ALLOWED = {"body_part": "CHEST", "view": "PA", "sex": "F", "laterality": "L", "modality": "cxr"}
# elements that say what the pixels are, or what the file is; a word in them makes it no film
_KEPT = {"PhotometricInterpretation", "PixelData", "SOPClassUID", "TransferSyntaxUID", "VOILUTFunction"}
_TEXTS = {"LO", "LT", "PN", "SH", "ST", "UC", "UT", "CS", "AE", "UI", "UR"}


def with_words(film: bytes, number: int) -> tuple[bytes, int]:
    """The film with `CANARY` and a number in each text, and how many there are."""
    dataset = pydicom.dcmread(io.BytesIO(film))
    planted = 0
    for keyword, tag in keyword_dict.items():
        vr = dictionary_VR(tag)
        if vr in _TEXTS and keyword not in _KEPT and tag >> 16 not in (0x0000, 0x0002) and keyword not in dataset:
            planted += 1
            text = f"1.2.{planted}.{number}" if vr == "UI" else f"{WORD}{planted}-{number}"
            dataset.add_new(tag, vr, text)
    private = dataset.private_block(0x0011, WORD, create=True)
    private.add_new(0x01, "LO", f"{WORD} private")
    item = Dataset()
    item.PatientName = f"{WORD}^nested"
    dataset.OtherPatientIDsSequence = Sequence([item])
    dataset.StudyDate, dataset.PatientBirthDate, dataset.StudyTime = "19610314", "19610315", "123456"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue(), planted


@pytest.fixture
def folder(tmp_path: Path, dicom: Callable[..., bytes], recwarn: pytest.WarningsRecorder) -> Path:
    rng = np.random.default_rng(0)
    facts = {
        "PatientSex": "F",
        "PatientAge": "045Y",
        "ViewPosition": "PA",
        "Modality": "DX",
        "BodyPartExamined": "CHEST",
    }
    for label in ("cxr-normal", "cxr-covid"):
        (tmp_path / "films" / label).mkdir(parents=True)
        for number in range(6):
            film = dicom(rng.integers(0, 4096, (64, 64), dtype=np.uint16), ImageLaterality="L", **facts)
            data, planted = with_words(film, number)
            assert planted > 1000
            (tmp_path / "films" / label / f"{number}.dcm").write_bytes(data)
    # one that is left out, whose reason must not quote it either
    (tmp_path / "films" / "cxr-normal" / "cut.dcm").write_bytes(data[: len(data) // 2])
    return tmp_path / "films"


def everything_in(root: Path) -> str:
    """Names, bytes, and tables with their compression undone."""
    texts = []
    for path in sorted(root.rglob("*")):
        texts.append(path.name)
        if path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                texts.append(pd.read_parquet(path).to_csv())
    return "\n".join(texts)


def test_no_text_of_a_header_is_in_anything_that_is_written_or_said(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))
    caplog.set_level("DEBUG")
    said = []
    for command in (
        ["data", "ingest", str(folder), "--output", str(tmp_path / "out" / "ingested"), "--json"],
        ["data", "preprocess", str(tmp_path / "out" / "ingested"), "--output", str(tmp_path / "out" / "version")],
        ["data", "audit", str(tmp_path / "out" / "ingested"), "--output", str(tmp_path / "out" / "audit")],
    ):
        answer = CliRunner().invoke(app, command)
        assert answer.exit_code == 0, answer.output
        said.append(answer.output)
    written = "\n".join([everything_in(tmp_path / "out"), everything_in(tmp_path / "home"), caplog.text, *said])
    for secret in (WORD, "19610314", "19610315", "DICM", "1.2.840"):
        assert secret not in written
    rows = pd.read_parquet(tmp_path / "out" / "ingested" / "manifest.parquet")
    assert len(rows) == 12
    for column, value in ALLOWED.items():
        assert set(rows[column]) == {value}
    assert set(rows["age"]) == {45.0}
    assert rows["patient_id"].str.fullmatch("k1-[0-9a-f]{32}").all()  # the keyed hash
    assert json.loads((tmp_path / "out" / "ingested" / "source.json").read_text())["rejected"]
