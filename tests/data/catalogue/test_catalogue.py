"""The catalogue: what was added can be asked for, once each, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from typer.testing import CliRunner

from secondread.atomic import write_json
from secondread.cli.main import app
from secondread.config.augment import AugmentConfig
from secondread.config.ingest import IngestConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.data.catalogue import migrations
from secondread.data.catalogue.catalogue import Catalogue, public_uri
from secondread.data.catalogue.engine import open_engine, writer
from secondread.data.catalogue.models import Base
from secondread.data.ingest import ingest
from secondread.data.manifest import MANIFEST_FILE, read_manifest, write_manifest
from secondread.data.versions.augment import augment
from secondread.data.versions.dataset import DatasetVersion
from secondread.data.versions.version import write_dataset_version
from secondread.errors import DependencyError, InputError, IntegrityError


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory, film: Callable[..., bytes]) -> list[DatasetVersion]:
    """A version of 60 films with a view, and its child."""
    root = tmp_path_factory.mktemp("versions")
    films = root / "films"
    films.mkdir()
    lines = ["path,label,patient_id,view,age"]
    for number in range(60):
        (films / f"{number}.png").write_bytes(film(number))
        age = "" if number % 3 else 20 + number
        lines.append(f"{number}.png,{('covid', 'normal')[number % 2]},{number},{('AP', 'PA')[number % 4 > 1]},{age}")
    (films / "manifest.csv").write_text("\n".join(lines))
    ingest(IngestConfig(source=str(films), public_ids=True), root / "ingested")
    rows = read_manifest(root / "ingested" / MANIFEST_FILE)
    rows["body_part"], rows["laterality"] = "CHEST", [("R", "L", "")[number % 3] for number in rows.index]
    write_manifest(rows, root / "ingested" / MANIFEST_FILE)  # as if headers of DICOM had said it
    config = PreprocessConfig(image_size=16, final_eval_min_images=10, final_eval_share=0.3)
    first = write_dataset_version(root / "ingested", root / "one", config)
    return [first, augment(first, root / "two", AugmentConfig(label="covid", fraction=0.5))]


def test_adding_twice_changes_nothing(uri: str, versions: list[DatasetVersion]) -> None:
    with closing(Catalogue(uri)) as catalogue:
        assert catalogue.add(versions[0])
        assert not catalogue.add(versions[0])
        assert catalogue.query(limit=0)[0] == 60
    with closing(Catalogue(uri)) as again:
        assert not again.add(versions[0])
        assert len(again.versions()) == 1


def test_a_version_is_told_as_it_is(uri: str, versions: list[DatasetVersion]) -> None:
    with closing(Catalogue(uri)) as catalogue:
        for version in versions:
            catalogue.add(version)
        latest, first = catalogue.versions()
    assert latest["parent"] == first["content_hash"] == versions[0].content_hash
    assert first["counts"] == versions[0].counts
    assert first["taxonomy"] == versions[0].taxonomy.to_dict()
    assert first["images"] == 60
    assert first["source_uri"] == "local"
    assert first["added_at"].endswith("+00:00")


def test_images_are_found_by_what_they_are(uri: str, versions: list[DatasetVersion]) -> None:
    rows = versions[1].manifest
    expected = rows[(rows["label"] == "covid") & (rows["split"] == "train") & (rows["view"] == "AP")]
    with closing(Catalogue(uri)) as catalogue:
        for version in versions:
            catalogue.add(version)
        start = versions[1].content_hash[:8]
        total, found = catalogue.query(version=start, label="covid", split="train", view="AP", limit=100)
        assert catalogue.query(version=start, label="covid", split="train", view="AP", limit=1) == (total, found[:1])
        assert catalogue.query(label="tuberculosis") == (0, [])
    assert total == len(expected) > 3
    assert [row["image_id"] for row in found] == list(expected["image_id"])
    assert [row["age"] for row in found] == [None if np.isnan(age) else age for age in expected["age"]]


def test_an_image_of_several_versions_is_found_once_as_the_latest_has_it(
    uri: str, versions: list[DatasetVersion]
) -> None:
    first, second = versions
    before, after = (version.manifest.set_index("image_id")["split"] for version in versions)
    left = before[before == "final_eval"].index.difference(after[after == "final_eval"].index)
    assert 0 < len(left) < 30
    with closing(Catalogue(uri)) as catalogue:
        for version in (first, second):
            catalogue.add(version)
        total, found = catalogue.query(limit=100)
        assert (total, len(found), {row["version"] for row in found}) == (60, 60, {second.content_hash})
        assert catalogue.query(limit=7) == (60, found[:7])
        assert catalogue.query(version=first.name, limit=0)[0] == 60
        # what the second moved away is still found where the first had it
        total, found = catalogue.query(split="final_eval", limit=100)
        assert total == (before == "final_eval").sum()
        assert {row["image_id"]: row["version"] for row in found} == {
            image: (first if image in left else second).content_hash for image in before[before == "final_eval"].index
        }


def test_an_image_has_a_history(uri: str, versions: list[DatasetVersion]) -> None:
    before, after = (version.manifest.set_index("image_id")["split"] for version in versions)
    moved = next(image for image in before.index if before[image] != after[image])
    with closing(Catalogue(uri)) as catalogue:
        for version in versions:
            catalogue.add(version)
        history = catalogue.history(moved)
        assert catalogue.history(moved[:12]) == history
        with pytest.raises(InputError, match=r"several images .* Give more of it"):
            catalogue.history("")
    assert [row["split"] for row in history] == ["final_eval", after[moved]]
    assert {row["label"] for row in history} == {"covid"}


def test_it_holds_no_file_names(uri: str, versions: list[DatasetVersion]) -> None:
    with closing(Catalogue(uri)) as catalogue:
        catalogue.add(versions[0])
        said = json.dumps([catalogue.versions(), catalogue.query(limit=100)])
    assert ".png" not in said
    assert str(versions[0].root.parent) not in said


def test_several_processes_add_the_same_version_to_a_new_catalogue(uri: str, versions: list[DatasetVersion]) -> None:
    code = (
        "import sys; from secondread.data.catalogue.catalogue import Catalogue; "
        "from secondread.data.versions.dataset import DatasetVersion; "
        "print([Catalogue(sys.argv[1]).add(DatasetVersion.open(path)) for path in sys.argv[2:]])"
    )
    command = [sys.executable, "-c", code, uri, *(str(version.root) for version in versions)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [json.loads(process.communicate(timeout=120)[0].lower()) for process in running]
    assert [sum(answers) for answers in zip(*said, strict=True)] == [1, 1]
    with closing(Catalogue(uri)) as catalogue:
        assert [catalogue.query(version=version.name, limit=0)[0] for version in versions] == [60, 60]


def test_a_version_that_fails_half_way_leaves_nothing(uri: str, versions: list[DatasetVersion]) -> None:
    broken = DatasetVersion.open(versions[0].root)
    broken.__dict__["manifest"] = (
        versions[0].manifest.astype({"label": object}).assign(label=lambda rows: [*rows["label"][:-1], None])
    )
    with closing(Catalogue(uri)) as catalogue:
        with pytest.raises(Exception, match=r"(?i)null"):
            catalogue.add(broken)
        assert catalogue.versions() == []
        assert catalogue.add(versions[0])


def test_the_migrations_make_what_the_models_say(uri: str) -> None:
    engine = open_engine(uri)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_a_catalogue_of_the_former_revision_is_brought_up_to_date(uri: str, versions: list[DatasetVersion]) -> None:
    """What was added then stays, and nothing is known of it that was not kept then."""
    engine = open_engine(uri)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with writer(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        there = {column["name"] for column in inspect(connection).get_columns("images")}
        assert "view" in there
        assert not there & {"body_part", "laterality", "burnt_in_text"}
        former = Base.metadata.tables
        connection.execute(
            former["versions"].insert(),
            {
                **{"content_hash": "a" * 64, "parent": "", "added_at": datetime(2026, 1, 1, tzinfo=UTC), "images": 1},
                **{"synthetic": False, "counts": {}, "preprocessing": {}, "taxonomy": {}, "source_uri": "local"},
            },
        )
        words = ("image_id", "pixel_hash", "label", "split", "group_id", "patient_id", "modality", "source", "sex")
        connection.execute(
            former["images"].insert(),
            {"version": "a" * 64, "position": 0, "age": 40.0, "view": "PA", **dict.fromkeys(words, "x")},
        )
    engine.dispose()
    with closing(Catalogue(uri)) as catalogue:
        assert catalogue.add(versions[0])
        total, (old,) = catalogue.query(version="aaaa")
        assert (total, old["view"], old["label"], old["age"]) == (1, "PA", "x", 40)
        assert {old[name] for name in ("body_part", "laterality", "burnt_in_text")} == {""}
    test_the_migrations_make_what_the_models_say(uri)


def test_what_headers_say_can_be_asked_for(uri: str, versions: list[DatasetVersion]) -> None:
    rows = versions[0].manifest
    expected = rows[rows["laterality"] == "R"]
    with closing(Catalogue(uri)) as catalogue:
        catalogue.add(versions[0])
        total, found = catalogue.query(body_part="CHEST", laterality="R", limit=100)
        assert catalogue.query(body_part="HAND") == (0, [])
    assert total == len(expected) == 20
    for name in ("image_id", "body_part", "laterality", "burnt_in_text"):
        assert [row[name] for row in found] == list(expected[name])


def test_a_newer_catalogue_is_refused(uri: str) -> None:
    engine = open_engine(uri)
    with writer(engine).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(IntegrityError, match="is of revision 9999"):
        open_engine(uri)


def test_125_100_images_are_added_in_seconds(uri: str, tmp_path: Path, versions: list[DatasetVersion]) -> None:
    rows = pd.concat([versions[0].manifest] * 2085, ignore_index=True)
    assert len(rows) == 125_100
    rows["image_id"] = rows["pixel_hash"] = rows["group_id"] = [f"{number:064x}" for number in range(len(rows))]
    write_manifest(rows, tmp_path / "manifest.parquet")
    document = json.loads((versions[0].root / "dataset.json").read_text())
    write_json(tmp_path / "dataset.json", document)
    large = DatasetVersion.open(tmp_path)
    with closing(Catalogue(uri)) as catalogue:
        start = time.monotonic()
        catalogue.add(large)
        assert time.monotonic() - start < 60  # measured 3 to 8 on two idle cores
        assert catalogue.query(limit=0)[0] == 125_100


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        ("mysql://host/db", InputError, "it begins with 'mysql'"),
        ("nonsense", InputError, "it begins with 'nonsense'"),
        ("postgresql://reader:secret@127.0.0.1:9/none", DependencyError, "cannot be opened"),
        ("sqlite:////proc/none/catalogue.db", InputError, "cannot write"),
    ],
)
def test_a_catalogue_that_cannot_be_opened(bad: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        Catalogue(bad)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("start", ["", "feedbeef", "%"])
def test_a_version_that_is_not_there_or_not_alone(tmp_path: Path, versions: list[DatasetVersion], start: str) -> None:
    with closing(Catalogue(f"sqlite:///{tmp_path}/c.db")) as catalogue:
        for version in versions:
            catalogue.add(version)
        with pytest.raises(InputError, match="several versions" if not start else "no version"):
            catalogue.find(start)


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("/films/of mrs miller", "local"),
        ("films", "local"),
        ("file:///films", "local"),
        ("phantom://demo?images=9", "phantom://demo"),
        ("s3://key:secret@bucket/films", "s3://bucket/films"),
        ("swift://host:8080/films?token=1", "swift://host:8080/films"),
    ],
)
def test_only_what_is_public_of_a_source_is_kept(uri: str, public: str) -> None:
    assert public_uri(uri) == public


def test_the_commands(versions: list[DatasetVersion]) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["data", "catalogue", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    first, second = versions
    assert "60 images added" in run("add", str(first.root))
    assert "are there already" in run("add", str(first.root))
    assert json.loads(run("add", str(second.root), "--json"))["added"]
    listed = run("list").splitlines()
    assert listed[1].split()[:2] == [second.name, first.name]
    asked = json.loads(run("query", "--label", "covid", "--split", "test", "--version", first.name, "--json"))
    assert asked["images"] == first.counts["test"]["covid"]
    assert "60 images, 2 shown, once each over all versions" in run("query", "--limit", "2")
    assert run("query", "--limit", "0", "--version", first.name) == "60 images, 0 shown\n"
    image = asked["shown"][0]["image_id"]
    assert run("query", "--label", "tuberculosis") == "0 images\n"
    sides = run("query", "--laterality", "L", "--limit", "1", "--version", first.name).splitlines()
    assert sides[0].split()[-3:] == ["body_part", "laterality", "burnt_in_text"]
    assert {"CHEST", "L"} < set(sides[1].split())
    refused = CliRunner().invoke(app, ["data", "catalogue", "query", "--split", "tset"])
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception).startswith("--split is 'tset'")
    assert "no version" in run("history", "0" * 64)
    assert [row["split"] for row in json.loads(run("history", image, "--json"))] == ["test", "test"]
