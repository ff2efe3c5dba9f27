"""Rules that each Dockerfile keeps. That it builds and runs is `images/check.sh`'s to say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import secondread

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = sorted(path.parent.name for path in (REPOSITORY / "images").glob("*/Dockerfile"))


def instructions(image):
    """(instruction, rest) of each line of a Dockerfile, continued lines joined, comments left out."""
    text = (REPOSITORY / "images" / image / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in lines.splitlines() if line.strip()]


def stages(image):
    """Instructions before the first FROM, and those of each stage."""
    parts = [[]]
    for name, rest in instructions(image):
        if name == "FROM":
            parts.append([])
        parts[-1].append((name, rest))
    return parts


def test_there_is_one_dockerfile_an_image():
    assert IMAGES == ["pipeline", "rollout", "serving"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_base_is_pinned_to_a_patch(image):
    arguments, *built = stages(image)
    ((_, base),) = arguments
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-bookworm", base)
    assert {stage[0][1].split()[0] for stage in built} == {"${PYTHON_IMAGE}"}


@pytest.mark.parametrize("image", IMAGES)
def test_what_builds_is_not_what_runs(image):
    _, build, run = stages(image)
    assert any("pip" in rest for name, rest in build if name == "RUN")
    assert not any("pip" in rest for name, rest in run if name == "RUN")


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_a_number_that_is_not_root(image):
    *_, run = stages(image)
    users = [rest for name, rest in run if name == "USER"]
    assert users == ["10001:10001"]
    after = run[[name for name, _ in run].index("USER") :]
    assert "RUN" not in {name for name, _ in after}


@pytest.mark.parametrize("image", IMAGES)
def test_dependencies_come_before_the_code_and_from_the_pins(image):
    _, build, _ = stages(image)
    install = next(place for place, (name, rest) in enumerate(build) if name == "RUN" and "--requirement" in rest)
    code = next(place for place, (name, rest) in enumerate(build) if name == "COPY" and rest.startswith("secondread"))
    assert install < code
    assert "--constraint constraints.txt" in build[install][1]


@pytest.mark.parametrize("image", IMAGES)
def test_it_can_live_on_a_read_only_root(image):
    *_, run = stages(image)
    environment = " ".join(rest for name, rest in run if name == "ENV")
    for setting in ("HOME=/tmp", "TMPDIR=/tmp", "PYTHONDONTWRITEBYTECODE=1"):
        assert setting in environment


@pytest.mark.parametrize("image", IMAGES)
def test_it_says_what_it_is(image):
    *_, run = stages(image)
    labels = " ".join(rest for name, rest in run if name == "LABEL")
    for key in ("title", "description", "licenses", "version", "revision", "created"):
        assert f"org.opencontainers.image.{key}=" in labels


def test_the_pipelines_image_knows_the_revision_that_models_are_registered_with():
    *_, run = stages("pipeline")
    assert ("ENV", "SECONDREAD_REVISION=${REVISION}") in run
    assert run.index(("ARG", "REVISION=unknown")) < run.index(("ENV", "SECONDREAD_REVISION=${REVISION}"))
    assert '--build-arg "REVISION=$revision"' in (REPOSITORY / "images" / "build.sh").read_text()


@pytest.mark.parametrize("image", IMAGES)
def test_what_it_copies_is_let_into_the_build(image):
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for name, rest in instructions(image)
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied <= allowed
    assert all((REPOSITORY / source).exists() for source in copied), copied


def test_the_build_sees_nothing_by_default():
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"


def test_the_serving_image_starts_what_the_service_gives_arguments_to():
    *_, run = stages("serving")
    assert ("ENTRYPOINT", '["python", "-m", "secondread.serving"]') in run
    assert (Path(secondread.__file__).parent / "serving" / "__main__.py").exists()


def test_the_image_of_rollouts_has_the_command_of_the_library():
    *_, run = stages("rollout")
    assert ("ENTRYPOINT", '["secondread"]') in run
    assert "    secondread = secondread.cli.main:main\n" in (REPOSITORY / "setup.cfg").read_text()


def test_components_run_in_the_pipeline_image():
    base = pytest.importorskip("secondread_components.image").BASE_IMAGE
    assert base == f"ghcr.io/secondread/pipeline-python:{secondread.__version__}"
