"""Every common transfer syntax, made by DCMTK and by pydicom's encoders and read as DCMTK reads it.

The reference is Debian's dcmtk, whose `dcmj2pnm` renders a film to 8 bits and knows all of them but JPEG 2000.
"""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000, JPEG2000Lossless

from secondread.data.pixels import gdcm_frame
from secondread.data.pixels.decode import decode
from secondread.errors import DependencyError, ImageError

Dicom = Callable[..., bytes]

ROWS, COLUMNS = np.mgrid[:96, :112]
GRAIN = np.random.default_rng(0).normal(0, 15, ROWS.shape)
FILM = np.clip(2048 + 1200 * np.sin(COLUMNS / 17) * np.cos(ROWS / 13) + GRAIN, 0, 4095).astype(np.uint16)
# pixels and bits stored
KINDS = {
    "8-bit": ((FILM >> 4).astype(np.uint8), 8),
    "12-bit": (FILM, 12),
    "16-bit": (FILM * np.uint16(16), 16),
    "12-bit-signed": (FILM.astype(np.int16) - np.int16(2048), 12),
    "16-bit-signed": ((FILM.astype(np.int32) * 16 - 32768).astype(np.int16), 16),
}
# name -> DCMTK's encoder
ENCODERS = {
    "implicit": ("dcmconv", "+ti"),
    "big-endian": ("dcmconv", "+tb"),
    "deflated": ("dcmconv", "+td"),
    "without-header": ("dcmconv", "-F"),
    "rle": ("dcmcrle",),
    "jpeg-extended": ("dcmcjpeg", "+ee"),
    "jpeg-lossless": ("dcmcjpeg", "+el"),
    "jpeg-lossless-sv1": ("dcmcjpeg", "+e1"),
    "jpeg-lossless-in-fragments": ("dcmcjpeg", "+e1", "+fs", "1"),
    "jpeg-ls": ("dcmcjpls",),
    "jpeg-ls-near": ("dcmcjpls", "+en", "+md", "2"),
    "jpeg-baseline": ("dcmcjpeg", "+eb"),
}
WINDOW = {"WindowCenter": 2048, "WindowWidth": 3000}


def cases() -> list[tuple[str, str]]:
    """The encoder of near-lossless JPEG-LS takes no signed values, that of baseline JPEG only 8 bits."""
    only = {"jpeg-ls-near": ("8-bit", "12-bit", "16-bit"), "jpeg-baseline": ("8-bit",)}
    return [(kind, encoder) for kind in KINDS for encoder in ENCODERS if kind in only.get(encoder, KINDS)]


@pytest.fixture(autouse=True)
def _dcmtk() -> None:
    if shutil.which("dcmj2pnm") is None:
        pytest.fail("dcmtk is not installed: scripts/debian-packages.sh")


def rendered(path: Path, *options: str) -> np.ndarray:
    """What DCMTK shows of it; JPEG-LS has a program of its own there."""
    picture = path.with_suffix(".pnm")
    if "jpeg-ls" in path.name:
        subprocess.run(["dcmdjpls", path, path.with_suffix(".plain")], check=True)
        path = path.with_suffix(".plain")
    subprocess.run(["dcmj2pnm", "--write-raw-pnm", *options, path, picture], check=True)
    return np.asarray(Image.open(picture).convert("L")).astype(int)


def encode(tmp_path: Path, data: bytes, encoder: str) -> Path:
    plain, path = tmp_path / "plain.dcm", tmp_path / f"{encoder}.dcm"
    plain.write_bytes(data)
    subprocess.run([*ENCODERS[encoder], plain, path], check=True)
    return path


@pytest.mark.parametrize(("kind", "encoder"), cases())
def test_a_film_is_read_as_dcmtk_reads_it(tmp_path: Path, dicom: Dicom, kind: str, encoder: str) -> None:
    pixels, bits = KINDS[kind]
    window = {"WindowCenter": float(np.median(pixels)), "WindowWidth": 2.0 ** (bits - 1)} if bits > 8 else {}
    path = encode(tmp_path, dicom(pixels, bits=bits, **window), encoder)
    # an encoder of lossy JPEG changes the scale, and then the window goes
    options = ("+Wi", "1") if "WindowCenter" in pydicom.dcmread(path, force=True) else ("+Wm",) if bits > 8 else ()
    assert np.abs(decode(path.read_bytes()) - rendered(path, *options)).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "elements"),
    [
        (FILM, WINDOW),
        (FILM, {"WindowCenter": [2000, 10], "WindowWidth": [1500, 5]}),
        (FILM, WINDOW | {"VOILUTFunction": "SIGMOID"}),
        (FILM, WINDOW | {"VOILUTFunction": "LINEAR_EXACT"}),
        (FILM, {"RescaleSlope": 0.5, "RescaleIntercept": -100, "WindowCenter": 900, "WindowWidth": 1500}),
        (FILM, WINDOW | {"PhotometricInterpretation": "MONOCHROME1"}),
        (FILM, WINDOW | {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}),
        (FILM, WINDOW | {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}),
        (FILM, WINDOW | {"PresentationLUTShape": "INVERSE"}),
        (FILM, WINDOW | {"PixelPaddingValue": 4095}),
        (FILM, {}),
        (FILM, {"PhotometricInterpretation": "MONOCHROME1"}),
        (KINDS["12-bit-signed"][0], {}),
    ],
)
def test_a_scale_is_read_as_dcmtk_reads_it(
    tmp_path: Path, dicom: Dicom, pixels: np.ndarray, elements: dict[str, object]
) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom(pixels, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SOPInstanceUID="1.2.3", **elements))
    options = ("+Wi", "1") if "WindowCenter" in elements else ("+Wm",)
    assert np.abs(decode(path.read_bytes()) - rendered(path, *options)).max() <= 1


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEG2000])
@pytest.mark.parametrize("kind", KINDS)
def test_jpeg_2000_is_read_as_gdcm_reads_it(dicom: Dicom, kind: str, syntax: str) -> None:
    pixels, bits = KINDS[kind]
    dataset = pydicom.dcmread(io.BytesIO(dicom(pixels, bits=bits)))
    dataset.compress(syntax, **({"j2k_cr": [4]} if syntax == JPEG2000 else {}))
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    stored = pixel_array(dataset, index=0, decoding_plugin="gdcm")
    plain = dicom(np.ascontiguousarray(stored), bits=bits)
    assert np.abs(decode(buffer.getvalue()) - decode(plain).astype(int)).max() <= 1


@pytest.mark.parametrize("encoder", ["rle", "jpeg-baseline", "jpeg-lossless-sv1", "jpeg-ls"])
def test_colour_becomes_the_luma_of_what_dcmtk_shows(tmp_path: Path, dicom: Dicom, encoder: str) -> None:
    ramp = np.stack([FILM >> 4, FILM.T[:96, :96].repeat(2, 1)[:, :112] >> 4, 255 - (FILM >> 4)], axis=2)
    data = dicom(
        ramp.astype(np.uint8), bits=8, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB"
    )
    path = encode(tmp_path, data, encoder)
    # lossy JPEG halves the colours' resolution, which two decoders double again each in its own way
    assert np.abs(decode(path.read_bytes()) - rendered(path)).mean() <= (1 if encoder == "jpeg-baseline" else 0)


@pytest.mark.parametrize("encoder", [name for name in ENCODERS if name.startswith("jpeg")])
def test_a_frame_that_is_cut_off_is_refused(tmp_path: Path, dicom: Dicom, encoder: str) -> None:
    path = encode(tmp_path, dicom(*KINDS["8-bit"][:1], bits=8), encoder)
    dataset = pydicom.dcmread(path)
    frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([frame[: len(frame) // 2]])
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(ImageError, match="DICOM"):
        decode(buffer.getvalue())


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended from outside"),
        ("import sys; sys.stderr.write('libgdcm.so: no such file'); sys.exit(3)", "cannot be loaded .libgdcm.so"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "does not start here .ended by SIGSEGV."),
        ("raise MemoryError('of the loader')", "does not start here .exit code 1: MemoryError: of the loader."),
    ],
)
def test_a_film_is_not_called_damaged_for_what_the_machine_lacks(
    tmp_path: Path, dicom: Dicom, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    data = encode(tmp_path, dicom(*KINDS["8-bit"][:1], bits=8), "jpeg-ls").read_bytes()
    (tmp_path / "child.py").write_text(program)
    monkeypatch.setattr(gdcm_frame, "_PROGRAM", tmp_path / "child.py")
    with pytest.raises(DependencyError, match=said):
        decode(data)


def test_a_child_that_dies_at_a_frame_and_not_before_is_the_frames_fault(
    tmp_path: Path, dicom: Dicom, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(tmp_path, dicom(*KINDS["8-bit"][:1], bits=8), "jpeg-ls").read_bytes()
    lines = ("import os, signal", f"os.write(2, {gdcm_frame._LOADED!r})", "os.kill(os.getpid(), signal.SIGSEGV)")
    (tmp_path / "child.py").write_text("\n".join(lines))
    monkeypatch.setattr(gdcm_frame, "_PROGRAM", tmp_path / "child.py")
    with pytest.raises(ImageError, match="damaged or cut off"):
        decode(data)


def test_the_child_says_when_it_cannot_load_its_codecs(
    tmp_path: Path, dicom: Dicom, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(tmp_path, dicom(*KINDS["8-bit"][:1], bits=8), "jpeg-ls").read_bytes()
    (tmp_path / "gdcm.py").write_text("import a_library_that_is_not_there")
    monkeypatch.delitem(sys.modules, "gdcm", raising=False)  # what is loaded already is found first
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match=r"cannot be loaded .No module named 'a_library_that_is_not_there'"):
        decode(data)


def test_the_real_films_are_read_as_dcmtk_reads_them(shared_data: Path, tmp_path: Path) -> None:
    compared = []
    for path in sorted((shared_data / "dicom").glob("*.dcm")):
        copy = tmp_path / path.name
        shutil.copy(path, copy)
        if "j2k" not in path.name:  # DCMTK has no JPEG 2000
            assert np.abs(decode(path.read_bytes()) - rendered(copy)).max() <= 1
            compared.append(path.name)
    assert len(compared) == 5


def test_the_real_film_in_jpeg_2000_is_read_as_gdcm_and_the_standard_have_it(shared_data: Path) -> None:
    path = shared_data / "dicom" / "nema-wg04-rg1-chest-j2k-15bit-mono1.dcm"
    dataset = pydicom.dcmread(path)
    stored = pixel_array(dataset, index=0, decoding_plugin="gdcm").astype(float)
    window = (stored - (dataset.WindowCenter - 0.5)) / (dataset.WindowWidth - 1) + 0.5
    expected = 255 - np.rint(np.clip(window, 0, 1) * 255)
    assert np.abs(decode(path.read_bytes()) - expected).max() <= 1
