"""Bad input: each kind gets a clear line, the good images beside it are kept, and nothing crashes."""

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from openpyxl import Workbook
from PIL import Image
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from secondread.cli.main import main
from secondread.data.manifest import read_manifest, typed, write_manifest

Film = Callable[..., bytes]
Dicom = Callable[..., bytes]
Said = tuple[int, list[str]]


@pytest.fixture
def secondread(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Said]:
    """Run the command as a user does; its exit code, and its lines on standard error."""
    monkeypatch.setenv("SECONDREAD_HOME", str(tmp_path / "home"))

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["secondread", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        code = left.value.code
        return (code if isinstance(code, int) else 0), capsys.readouterr().err.splitlines()

    return run


def errors(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("error:")]


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def huge_jpeg(film: bytes) -> bytes:
    """Says that it is 20,000 pixels wide and high."""
    at = film.index(b"\xff\xc0") + 5
    return film[:at] + struct.pack(">HH", 20_000, 20_000) + film[at + 4 :]


def other_pictures(film: Film, dicom: Dicom) -> dict[str, tuple[bytes, str]]:
    """File name -> content, and what is said of it; nothing where it is kept."""
    grey = Image.open(io.BytesIO(film(1000, size=(64, 64))))
    again = [Image.open(io.BytesIO(film(seed, size=(64, 64)))) for seed in (1001, 1002, 1003, 1004)]
    values = np.random.default_rng(5).integers(0, 4096, (64, 64), dtype=np.uint16)
    return {
        "zero-bytes.jpg": (b"", "is empty (0 bytes)"),
        "20000.png": (encoded(Image.new("1", (20_000, 20_000)), "PNG"), "20000 x 20000 pixels are more than the limit"),
        "20000.jpg": (huge_jpeg(film(1, kind="JPEG")), "20000 x 20000 pixels are more than the limit"),
        "animated.png": (
            encoded(grey, "PNG", save_all=True, append_images=again),
            "an animated PNG holds several pictures",
        ),
        "animated.gif.jpg": (encoded(grey, "GIF", save_all=True, append_images=again), "of no JPEG, PNG or DICOM file"),
        "wrong-extension.dcm": (encoded(again[0], "PNG"), ""),
        "text.png": (b"no picture at all", "of no JPEG, PNG or DICOM file"),
        "cmyk.jpg": (encoded(again[1].convert("CMYK"), "JPEG", quality=95), ""),
        "palette.png": (encoded(again[2].convert("RGB").quantize(200), "PNG"), ""),
        "16-bit.png": (encoded(Image.fromarray(values), "PNG"), ""),
        "16-bit-colour.png": (sixteen_bit_colour(), "16 bits and colour"),
        "no-pixels.dcm": (dicom(values, PixelData=None), "the DICOM file holds no picture"),
        "cut.dcm": (dicom(values)[:5000], "DICOM"),
        "cut.jpg": (film(7, kind="JPEG")[:-300], "the JPEG is corrupt or truncated"),
        f"{'n' * 240}.png": (encoded(again[3], "PNG"), ""),
    }


def sixteen_bit_colour() -> bytes:
    """What Pillow writes with 8 bits, said to have 16."""
    data = bytearray(encoded(Image.new("RGB", (20, 20)), "PNG"))
    data[24] = 16
    return bytes(data)


def test_bad_pictures_are_left_out_with_a_line_each_and_the_others_kept(
    films: Callable[..., Path], film: Film, dicom: Dicom, tmp_path: Path, secondread: Callable[..., Said]
) -> None:
    root = films(normal=3, covid=3)
    pictures = other_pictures(film, dicom)
    for name, (data, _) in pictures.items():
        (root / "normal" / name).write_bytes(data)
    code, lines = secondread("data", "ingest", root, "--output", tmp_path / "out")
    assert (code, errors(lines)) == (0, [])
    rejected = pd.read_parquet(tmp_path / "out" / "rejected.parquet").set_index("name")["reason"]
    for name, (_, words) in pictures.items():
        if words:
            reason = rejected[f"normal/{name}"]
            assert words in reason
            assert reason.isprintable()
            assert any(name in line and words in line for line in lines)  # said as well as recorded
        else:
            assert f"normal/{name}" not in rejected
    kept = sum(not words for _, words in pictures.values())
    assert len(read_manifest(tmp_path / "out" / "manifest.parquet")) == 6 + kept


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def bomb(path: Path, _: Film) -> Path:
    return write_zip(path, {f"normal/{number}.png": bytes(40 << 20) for number in range(3)})


def escape(path: Path, film: Film) -> Path:
    return write_zip(path, {"normal/a.png": film(1), "../../escaped.png": film(2)})


def long_names(path: Path, film: Film) -> Path:
    return write_zip(path, {f"normal/{'n' * 300}.png": film(1)})


ARCHIVES = {
    "zip bomb": (bomb, "a bomb?"),
    "path escape": (escape, "leads out"),
    "300-character name": (long_names, "too long"),
}


@pytest.mark.parametrize(("make", "words"), ARCHIVES.values(), ids=ARCHIVES)
def test_a_bad_archive_is_refused_in_one_line_and_leaves_nothing(
    make: Callable[[Path, Film], Path], words: str, film: Film, tmp_path: Path, secondread: Callable[..., Said]
) -> None:
    (tmp_path / "inside" / "deeper").mkdir(parents=True)
    path = make(tmp_path / "inside" / "deeper" / "films.zip", film)
    code, lines = secondread("data", "ingest", path, "--output", tmp_path / "inside" / "deeper" / "out")
    assert code == 2
    (line,) = errors(lines)
    assert words in line
    assert sorted(entry.name for entry in (tmp_path / "inside").rglob("*")) == ["deeper", "films.zip"]
    assert not list((tmp_path / "home").rglob("*.png"))


@pytest.fixture
def sheet(tmp_path: Path, film: Film) -> Callable[[bytes], Path]:
    """A folder of six films with `manifest.csv`."""

    def make(content: bytes) -> Path:
        root = tmp_path / "films"
        root.mkdir()
        for number in range(6):
            (root / f"{number}.png").write_bytes(film(number))
        (root / "manifest.csv").write_bytes(content)
        return root

    return make


def test_a_csv_in_latin_1_is_refused_in_one_line_that_names_it(
    sheet: Callable[[bytes], Path], tmp_path: Path, secondread: Callable[..., Said]
) -> None:
    root = sheet("path,label,site\n0.png,normal,Köln\n".encode("latin-1"))
    code, lines = secondread("data", "ingest", root, "--output", tmp_path / "out")
    assert code == 2
    (line,) = lines
    assert "manifest.csv" in line
    assert "UTF-8" in line


def test_a_label_with_spaces_is_a_class_like_any_other(
    sheet: Callable[[bytes], Path], tmp_path: Path, secondread: Callable[..., Said]
) -> None:
    rows = "".join(f"{n}.png,{'viral  pneumonia' if n % 2 else ' normal '}\n" for n in range(6))
    root = sheet(f"path,label\n{rows}".encode())
    code, lines = secondread("data", "ingest", root, "--output", tmp_path / "out")
    assert (code, errors(lines)) == (0, [])
    labels = read_manifest(tmp_path / "out" / "manifest.parquet")["label"]
    assert len(labels) == 6
    assert labels.nunique() == 2
    assert all(label == label.strip() for label in labels)


@pytest.mark.parametrize("column", ["path", "label", "patient_id", "source"])
def test_a_value_of_300_characters(
    sheet: Callable[[bytes], Path], tmp_path: Path, secondread: Callable[..., Said], column: str
) -> None:
    """A path that long cannot be; all else is taken as it is."""
    lines = [f"{n}.png,{'normal' if n % 2 else 'covid'},p{n},s" for n in range(6)]
    values = dict(zip(("path", "label", "patient_id", "source"), lines[0].split(","), strict=True))
    values[column] = "n" * 300
    root = sheet("\n".join(["path,label,patient_id,source", ",".join(values.values()), *lines[1:]]).encode())
    code, said = secondread("data", "ingest", root, "--output", tmp_path / "out", "--public-ids")
    kept = len(read_manifest(tmp_path / "out" / "manifest.parquet")) if code == 0 else 0
    if column == "path":
        assert kept == 5 or (code == 2 and len(said) == 1)
    else:
        assert (code, kept) == (0, 6)


def test_a_target_that_cannot_be_written_is_said_in_one_line(
    films: Callable[..., Path], tmp_path: Path, secondread: Callable[..., Said]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(closed, os.W_OK):
        closed = Path("/sys/kernel")  # the superuser may write everywhere but where the kernel says no
    before = sorted(closed.iterdir())
    code, lines = secondread("data", "ingest", films(normal=3, covid=3), "--output", closed / "out")
    assert code in (2, 3)
    (line,) = lines
    assert str(closed / "out") in line
    assert sorted(closed.iterdir()) == before


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory: pytest.TempPathFactory, film: Film, dicom: Dicom) -> Path:
    """A file of each kind, small, since what is damaged is the format and not the picture."""
    folder = tmp_path_factory.mktemp("whole")
    wide = np.random.default_rng(0).integers(0, 4096, (40, 48), dtype=np.uint16)
    facts = {"PatientID": "1", "PatientAge": "045Y", "Modality": "DX", "WindowCenter": 2048, "WindowWidth": 4096}
    plain = dicom(wide, **facts)
    write_manifest(typed(pd.DataFrame({"path": ["a", "b"], "label": ["a", "b"]})), folder / "table-manifest.parquet")
    np.savez(folder / "set-pneumoniamnist.npz", **small_medmnist())
    write_zip(folder / "set-films.zip", {"normal/a.png": film(1), "covid/b.png": film(2)})
    with tarfile.open(folder / "set-films.tar.gz", "w:gz") as file:
        for name in ("film/normal/a.png", "film/covid/b.png"):
            file.addfile(tarfile.TarInfo(name), io.BytesIO())
    sheet = Workbook()
    for row in (["FILE NAME", "FORMAT", "SIZE", "URL"], ["COVID-1", "PNG", "1", "https://a.b/c"]):
        sheet.active.append(row)
    sheet.save(folder / "set-COVID.metadata.xlsx")
    nih = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    files = {
        "film-jpeg.jpg": film(1, kind="JPEG"),
        "film-png.png": film(2),
        "film-16-bit.png": encoded(Image.fromarray(wide), "PNG"),
        "film-palette.png": encoded(Image.open(io.BytesIO(film(3))).convert("RGB").quantize(64), "PNG"),
        "film-explicit.dcm": plain,
        "film-implicit.dcm": dicom(wide, syntax=ImplicitVRLittleEndian, **facts),
        "film-big-endian.dcm": dicom(wide.astype(">u2"), syntax=ExplicitVRBigEndian, **facts),
        "film-without-header.dcm": plain[132:],
        "film-rle.dcm": compressed(plain, RLELossless),
        "film-jpeg-2000.dcm": compressed(plain, JPEG2000Lossless),
        "set-manifest.csv": b"path,label,age\nimages/00000001_000.png,normal,45\n",
        "set-Data_Entry_2017.csv": (nih + "00000001_000.png,Mass,0,1,57,M,PA\n").encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    encoders = {"deflated": ("dcmconv", "+td"), "baseline": ("dcmcjpeg", "+eb"), "isolated-sv1": ("dcmcjpeg", "+e1")}
    encoders |= {"isolated-jpeg-ls": ("dcmcjpls",), "isolated-extended": ("dcmcjpeg", "+ee")}
    for name, command in encoders.items():
        if shutil.which(command[0]):
            subprocess.run([*command, folder / "film-explicit.dcm", folder / f"film-{name}.dcm"], check=True)
    return folder


def small_medmnist() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"train": 3, "val": 2, "test": 2}
    arrays = {f"{split}_images": rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in sizes.items()}
    return arrays | {f"{split}_labels": np.arange(n, dtype=np.uint8)[:, None] % 2 for split, n in sizes.items()}


def compressed(film: bytes, syntax: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(film))
    dataset.compress(syntax)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def check_mutated(whole_files: Path, work: Path, *, first: int, last: int) -> None:
    """In a process of its own: a decoder that crashes takes it along, and is found."""
    command = [sys.executable, Path(__file__).with_name("mutated_files.py"), whole_files, str(first), str(last), work]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last_one = (work / "last").read_text()
    assert done.returncode == 0, f"exit {done.returncode} at {last_one}: {done.stderr[-2000:]}"
    outcomes = [line.split("\t") for line in done.stdout.splitlines()]
    assert sum(int(count) for *_, count in outcomes) == last - first
    # damage is neither never noticed nor always fatal
    assert {outcome for _, outcome, _ in outcomes} == {"read", "refused"}
    assert len({name for name, *_ in outcomes}) == len(list(whole_files.iterdir()))


def test_1000_mutated_files_crash_nothing(whole_files: Path, tmp_path: Path) -> None:
    check_mutated(whole_files, tmp_path, first=0, last=1000)


@pytest.mark.full
def test_5000_mutated_files_crash_nothing(whole_files: Path, tmp_path: Path) -> None:
    check_mutated(whole_files, tmp_path, first=1000, last=6000)
