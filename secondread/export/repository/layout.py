"""The Triton model repository: the folder that a model server loads, here and on a cluster alike.

    <root>/<name>/<digest>/          storage_uri: what Triton gets as its repository
        <name>/
            config.pbtxt             read by Triton
            configs/gpu.pbtxt        read in its place by a Triton that is started with --model-config-name=gpu
            <version>/model.onnx     the graph
            <version>/config.json    read by the transformer: `ModelConfigFile`, the digest, the graph's SHA-256
            <version>/reference.npz  the same, if there is one: what it answered on val, which drift is told from
        <name>-explain/              the same of the graph that gives a saliency map too, if the model has one
        MLmodel, model.sig           written by whoever registers it, as reference.npz: what MLflow knows, the signature

Source: Triton's model repository layout.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.atomic import atomic_file, atomic_folder, read_json, sha256_file, write_json
from secondread.errors import InputError, IntegrityError
from secondread.export.repository.triton_config import GPU_CONFIG_FILE, TRITON_CONFIG_FILE, on_gpu, triton_config
from secondread.logging import get_logger
from secondread.model.folder import CONFIG_FILE, ModelConfigFile, ModelFolder
from secondread.monitoring.answers import REFERENCE_FILE, Answers, read_answers

GRAPH_FILE = "model.onnx"
EXPLAIN_SUFFIX = "-explain"

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")  # a Path made of one has lost a slash

log = get_logger(__name__)


@dataclass(frozen=True)
class RepositoryModel:
    """One version of a model in a repository, as the transformer sees it.

    Attributes:
        name: of the model.
        version: number of the model version in the registry, as Triton names it.
        digest: SHA-256 of what is served, hex.
        config: classes, preprocessing and thresholds of that version.
        reference: what it answered on val; None where that is not known.
    """

    name: str
    version: str
    digest: str
    config: ModelConfigFile
    reference: Answers | None = field(default=None, repr=False, compare=False)


def write_repository(model: ModelFolder, root: Path, *, name: str, version: int) -> Path:
    """Write a model, ready to be served.

    The graph is run once first, so that nothing is stored that a server could not load. Writing the same version
    again changes nothing if it is whole and mends what is not; another version of the same model stands beside the
    first, and the latest is served.

    Args:
        model: with the graph to serve.
        root: under which `<name>/<digest>/` is made.
        name: of the model, as in the inference API.
        version: number of the version in the registry, from 1.
    Returns:
        `<root>/<name>/<digest>`.
    Raises:
        InputError: the version is below 1, or the folder cannot be written.
        IntegrityError: the graph does not run, or does not fit the model's `config.json`.
    """
    if version < 1:
        raise InputError(f"model version {version} is below 1: use the number that the registry gave.")
    folder = Path(root) / name / model.digest()
    graphs = _graphs(model, name)
    texts = {each: triton_config(model, each, graph) for each, graph in graphs.items()}
    configs = {f"{each}/{TRITON_CONFIG_FILE}": text for each, text in texts.items()}
    configs |= {f"{each}/{GPU_CONFIG_FILE}": on_gpu(text) for each, text in texts.items()}
    if not folder.is_dir():
        with atomic_folder(folder, marker=f"{name}/{TRITON_CONFIG_FILE}") as aside:
            for each, graph in graphs.items():
                (aside / each / str(version)).mkdir(parents=True)
                _write_version(model, graph, aside / each / str(version))
            _write_configs(configs, aside)
        return folder
    for each, graph in graphs.items():
        _write_beside(model, graph, folder / each / str(version))
    _write_configs(configs, folder)
    return folder


def _write_configs(configs: Mapping[str, str], folder: Path) -> None:
    """Write Triton's configurations, but not those that are there already."""
    for name, text in configs.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            path.parent.mkdir(exist_ok=True)
            with atomic_file(path) as aside:
                aside.write_text(text, encoding="utf-8")


def _graphs(model: ModelFolder, name: str) -> Mapping[str, Path]:
    """The graphs to serve, by the name of the Triton model that each becomes."""
    explain = model.explain_path()
    return {name: model.graph_path(), **({name + EXPLAIN_SUFFIX: explain} if explain else {})}


def _write_beside(model: ModelFolder, graph: Path, folder: Path) -> None:
    """Have a version of a graph in a repository that there is."""
    if folder.is_dir():
        _mend_version(model, graph, folder)
        return
    with atomic_folder(folder, marker=CONFIG_FILE) as aside:
        _write_version(model, graph, aside)


def _write_version(model: ModelFolder, graph: Path, folder: Path) -> None:
    """Write the graph and then the record of it, each whole or not at all."""
    with atomic_file(folder / GRAPH_FILE) as aside:
        shutil.copyfile(graph, aside)
        graph_sha256 = sha256_file(aside)
        if graph_sha256 != sha256_file(graph):
            raise IntegrityError(f"{folder / GRAPH_FILE} is not what was copied. Check the disk and register again.")
    # as the folder has it, which the digest is of: another library may write more
    document = {**read_json(model.root / CONFIG_FILE), "digest": model.digest(), "graph_sha256": graph_sha256}
    write_json(folder / CONFIG_FILE, document)


def _mend_version(model: ModelFolder, graph: Path, folder: Path) -> None:
    """Write a version again if its files do not verify; the folder is named after them, so they can only be these."""
    try:
        if _verified(folder)["digest"] == model.digest():
            return
        log.warning("%s names another digest than its folder, and is written again", folder / CONFIG_FILE)
    except IntegrityError as error:
        log.warning("the stored model is written again: %s", error)
    _write_version(model, graph, folder)


def model_names(folder: Path, name: str) -> list[str]:
    """What a server of this repository answers for: the model, and the one that explains it where there is one.

    Args:
        folder: `<root>/<name>/<digest>`, or where it is mounted.
        name: of the model.
    """
    explain = name + EXPLAIN_SUFFIX
    return [name, *([explain] if (folder / explain / TRITON_CONFIG_FILE).is_file() else [])]


def read_repository(folder: Path, name: str) -> RepositoryModel:
    """The version of a model that a server of this repository answers with: the latest. Its graph is verified.

    Args:
        folder: `<root>/<name>/<digest>`, or where it is mounted.
        name: of the model.
    Raises:
        InputError: the repository is on another machine.
        IntegrityError: there is no such model, or its files are not what its `config.json` says.
    """
    _check_is_local(folder)
    versions = _versions(folder / name)
    if not versions:
        there = sorted(path.parent.name for path in folder.glob(f"*/{TRITON_CONFIG_FILE}"))
        found = f"it has {', '.join(there)}" if there else "it is no model repository"
        raise IntegrityError(
            f"{folder} holds no model '{name}' ({found}). Name the folder that register wrote, and its model."
        )
    document, file = _verified(versions[-1]), versions[-1] / REFERENCE_FILE
    reference = read_answers(file) if file.is_file() else None
    config = ModelConfigFile.from_dict(document)
    return RepositoryModel(name, versions[-1].name, document["digest"], config, reference)


def verify_repository(folder: Path) -> None:
    """Check that a repository is whole: Triton's configuration is there, and every graph is the one that was written.

    Args:
        folder: `<root>/<name>/<digest>`, or where it is mounted.
    Raises:
        InputError: the repository is on another machine.
        IntegrityError: it is no repository, or a file is missing or changed.
    """
    _check_is_local(folder)
    models = sorted(path for path in folder.glob("*/") if not path.name.startswith("."))
    if not models:
        raise IntegrityError(f"{folder} is no model repository: it holds no model. Register the model again.")
    for model in models:
        config = model / TRITON_CONFIG_FILE
        if not config.is_file() or not config.stat().st_size:
            raise IntegrityError(f"{config} is missing or empty. Register the model again.")
        versions = _versions(model)
        if not versions:
            raise IntegrityError(f"{model} holds no version. Register the model again.")
        for version in versions:
            _verified(version)


def holds_version(folder: Path, name: str, *, version: int, digest: str) -> bool:
    """Whether a repository has a model of that digest under that number, with the graph that was written."""
    try:
        return bool(_verified(folder / name / str(version))["digest"] == digest)
    except IntegrityError:
        return False


def _verified(folder: Path) -> dict[str, Any]:
    """The `config.json` of a version whose graph is the one that it names.

    Raises:
        IntegrityError: a file is missing or not what was written.
    """
    document: dict[str, Any] = read_json(folder / CONFIG_FILE)
    for key in ("digest", "graph_sha256"):
        if not isinstance(document, dict) or not isinstance(document.get(key), str):
            raise IntegrityError(f"{folder / CONFIG_FILE} names no {key}. Register the model again.")
    graph = folder / GRAPH_FILE
    if not graph.is_file():
        raise IntegrityError(f"{graph} is missing. Register the model again, or copy the repository again.")
    if sha256_file(graph) != document["graph_sha256"]:
        raise IntegrityError(
            f"{graph} is not the graph that was registered: its SHA-256 is not the one in {CONFIG_FILE}. "
            "Register the model again, or copy the repository again."
        )
    return document


def _versions(model: Path) -> list[Path]:
    """Folders of a model's versions, as Triton sees them, the latest last."""
    return sorted((path for path in model.glob("*/") if path.name.isdecimal()), key=lambda path: int(path.name))


def _check_is_local(folder: Path) -> None:
    uri = _URI.match(str(folder))
    if uri and not folder.is_dir():
        raise InputError(
            f"{uri[1]}://{uri[2]} is on no disk of this machine: copy it to a folder here, such as with `aws s3 cp "
            "--recursive`, and name that folder."
        )
