"""manifest.csv: what its columns mean, and one clear line, with the line of the file, for each way it can be wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from secondread.config.ingest import IngestConfig
from secondread.data.ingest import ingest
from secondread.data.manifest import read_manifest
from secondread.data.pixels.decode import DecodeLimits
from secondread.data.sources.manifest_csv import ManifestCsvSource
from secondread.errors import InputError, TooLargeError


@pytest.fixture
def manifest(tmp_path: Path, film: Callable[[int], bytes]) -> Callable[[str | bytes], Path]:
    """Make a folder with the images a.png to d.png and a manifest: `manifest(text)`."""

    def make(text: str | bytes) -> Path:
        root = tmp_path / "in"
        root.mkdir()
        for number, name in enumerate("abcd"):
            (root / f"{name}.png").write_bytes(film(number))
        (root / "manifest.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return root

    return make


def test_columns_in_any_order_with_blanks_and_blank_rows(manifest: Callable[[str], Path]) -> None:
    root = manifest("\ufefflabel, age ,path,colour\r\n\r\nx,51.5,a.png,red\r\n,,,\r\ny,, b.png \r\n")
    first, second = ManifestCsvSource(root).images()
    assert (first.name, first.label, first.age) == ("a.png", "x", 51.5)
    assert (second.name, second.label, second.age) == ("b.png", "y", None)


BAD = [
    ("path,class\na.png,x\n", r"manifest\.csv has no column 'label' \(it has path, class\)"),
    ("", r"manifest\.csv has no column 'path' \(it has none\)"),
    ("path;label\na.png;x\n", r"no column 'path': it seems separated by semicolons\. Save it with commas"),
    ("path\tlabel\na.png\tx\n", r"no column 'path': it seems separated by tabs\. Save it with commas"),
    ("path,label,label\na.png,x,y\n", r"has the column 'label' twice\. Remove one"),
    ("path,label\n", "has no rows"),
    ("path,label\na.png,\n", r"manifest\.csv line 2 has an empty 'label'"),
    ("path,label\na.png,x\nb.png\n", r"manifest\.csv line 3 has an empty 'label'"),
    ("path,label\na, b.png,x\n", r"line 2 has 3 cells, the header 2\. Quote"),
    ("path,label\na.png,x\nz.png,y\n", r"line 3: path 'z\.png' does not exist"),
    ("path,label\n../a.png,x\n", r"line 2: path '\.\./a\.png' leads out of"),
    ("path,label\n/etc/hostname,x\n", r"line 2: path '/etc/hostname' leads out of"),
    ("path,label,age\na.png,x,old\n", r"line 2: age 'old' is no number"),
    ("path,label,age\na.png,x,nan\n", r"line 2: age 'nan' is no number"),
    ("path,label,age\na.png,x,-3\n", r"line 2: age '-3' is no number"),
    ("path,label\nloop/a.png,x\n", r"line 2: path 'loop/a\.png' cannot be followed \(a circle of links"),
    ("path,label\na\0.png,x\n", r"line 2: path 'a\\x00\.png' cannot be followed"),
    (f"path,label\n{'n' * 300}.png,x\n", r"line 2: path 'n+\.png' cannot be followed \(File name too long\)"),
    ('path,label\n"a\nb.png",x\n', r"line 2: path 'a\\nb\.png' does not exist"),
    ("path,label\n\n\na.png,x\n\nz.png,x\n", r"line 6: path 'z\.png'"),
    ('path,label,site\na.png,x,"one\ntwo\nthree"\nz.png,x,s\n', r"line 5: path 'z\.png'"),
    (b"path,label\na.png,f\xfcnf\n", r"is no CSV file in UTF-8"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_manifest_is_one_line_that_names_the_file_and_the_line(
    manifest: Callable[[str | bytes], Path], text: str | bytes, words: str
) -> None:
    root = manifest(text)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(InputError, match=words) as caught:
        ManifestCsvSource(root)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["out/a.png", "link.png", "in/../../a.png", "in/.."])
def test_a_link_or_a_step_up_that_leads_out_is_refused(manifest: Callable[[str], Path], path: str) -> None:
    root = manifest(f"path,label\na.png,x\n{path},y\n")
    (root / "in").mkdir()
    outside = root.parent / "outside"
    outside.mkdir()
    for folder in (outside, root.parent):
        (folder / "a.png").write_bytes((root / "a.png").read_bytes())
    (root / "out").symlink_to(outside)
    (root / "link.png").symlink_to(outside / "a.png")
    with pytest.raises(InputError, match=r"line 3: path .* (leads out of|does not exist)"):
        ManifestCsvSource(root)


def test_a_link_within_the_folder_is_followed(manifest: Callable[[str], Path]) -> None:
    root = manifest("path,label\nlink.png,x\nin/a.png,y\n")
    (root / "link.png").symlink_to(root / "a.png")
    (root / "in").symlink_to(root)
    assert [image.read() for image in ManifestCsvSource(root).images()] == [(root / "a.png").read_bytes()] * 2


def test_a_label_with_a_line_break_becomes_one_line(manifest: Callable[[str], Path]) -> None:
    source = ManifestCsvSource(manifest('path,label\na.png,"two\nlines"\nb.png,x\n'))
    assert source.taxonomy().names == (r"two\nlines", "x")
    assert [image.label for image in source.images()] == [r"two\nlines", "x"]


def test_the_modality_column_reaches_the_class_and_every_image(manifest: Callable[[str], Path]) -> None:
    text = "path,label,modality\na.png,drusen,OCT\nb.png,drusen,\nc.png,cxr-covid,\nd.png,other,\n"
    source = ManifestCsvSource(manifest(text), modality="xr")
    modality = {info.name: info.modality for info in source.taxonomy().classes}
    assert modality == {"cxr-covid": "cxr", "drusen": "oct", "other": "xr"}
    assert [image.modality for image in source.images()] == ["oct", "oct", "cxr", "xr"]


def test_the_modality_reaches_the_stored_taxonomy(manifest: Callable[[str], Path], tmp_path: Path) -> None:
    root = manifest("path,label,modality\na.png,drusen,oct\nb.png,healthy,oct\n")
    result = ingest(IngestConfig(source=str(root)), tmp_path / "out")
    assert [info.modality for info in result.taxonomy.classes] == ["oct", "oct"]
    assert set(read_manifest(tmp_path / "out" / "manifest.parquet")["modality"]) == {"oct"}


def test_a_class_of_two_modalities_is_refused(manifest: Callable[[str], Path]) -> None:
    text = "path,label,modality\na.png,normal,oct\nb.png,normal,\nc.png,normal,cxr\n"
    with pytest.raises(InputError, match=r"class 'normal' has the modality 'oct' in line 2 and 'cxr' in line 4\. Mend"):
        ManifestCsvSource(manifest(text))


def test_a_file_above_the_limit_is_not_read(manifest: Callable[[str], Path]) -> None:
    (image,) = ManifestCsvSource(manifest("path,label\na.png,x\n"), limits=DecodeLimits(max_bytes=100)).images()
    with pytest.raises(TooLargeError):
        image.read()
