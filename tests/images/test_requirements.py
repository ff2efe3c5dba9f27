"""What the images install is what setup.cfg says, and constraints.txt pins it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
SETUP = REPOSITORY / "setup.cfg"


CONTROLLER = ["rollout", "cluster", "track", "store", "load"]


@pytest.fixture
def requirements():
    spec = importlib.util.spec_from_file_location("requirements", REPOSITORY / "images" / "requirements.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.requirements


def pins():
    lines = (line.partition("#")[0].strip() for line in (REPOSITORY / "constraints.txt").read_text().splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


@pytest.mark.parametrize("extras", [["serve", "trace"], ["pipeline"], CONTROLLER, ["load"], ["dev"]])
def test_reads_setup_cfg_as_setuptools_does(extras, requirements):
    setupcfg = pytest.importorskip("setuptools.config.setupcfg")
    options = setupcfg.read_configuration(SETUP)["options"]
    expected = {*options["install_requires"], *(line for extra in extras for line in options["extras_require"][extra])}
    assert set(requirements(str(SETUP), extras)) == {line for line in expected if line}


@pytest.mark.parametrize("extras", [["serve", "trace"], ["pipeline"], CONTROLLER, ["load"], ["dev"]])
def test_each_requirement_is_pinned_inside_its_range(extras, requirements):
    pinned = pins()
    asked = [Requirement(line) for line in requirements(str(SETUP), extras)]
    found = {str(requirement): pinned.get(canonicalize_name(requirement.name), "none") for requirement in asked}
    outside = {line: pin for line, pin in found.items() if pin == "none" or pin not in Requirement(line).specifier}
    assert outside == {}


def test_serving_asks_for_no_training(requirements):
    names = {canonicalize_name(Requirement(line).name) for line in requirements(str(SETUP), ["serve", "trace"])}
    assert not names & {"torch", "lightning", "mlflow", "kfp", "pandas", "pyarrow", "scikit-learn"}


def test_letting_versions_in_asks_for_no_training(requirements):
    names = {canonicalize_name(Requirement(line).name) for line in requirements(str(SETUP), CONTROLLER)}
    assert not names & {"torch", "lightning", "kserve", "kfp", "ray"}


def test_an_extra_that_is_not_there_is_an_error(requirements):
    with pytest.raises(KeyError, match="serving"):
        requirements(str(SETUP), ["serving"])
