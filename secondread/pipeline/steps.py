"""The pipeline's steps, one function a component: each checks what it is given, calls the library, seals what it wrote.

Arguments are plain values, since a pipeline can pass nothing else. Each function gives back what the runner should
show. A failure ends the process with its exit code and leaves a record (see `success`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.ingest import IngestConfig
from secondread.config.mapping import from_mapping
from secondread.config.preprocess import PreprocessConfig
from secondread.config.quantize import QuantizeConfig
from secondread.config.register import RegisterConfig
from secondread.config.train import TrainConfig
from secondread.data.dataset import DatasetVersion
from secondread.data.ingest import ingest as run_ingest
from secondread.data.version import write_dataset_version
from secondread.errors import GateRefused, IntegrityError
from secondread.evaluation.evaluate import SUMMARY_FILE, LabelledImages
from secondread.evaluation.evaluate import evaluate as run_evaluate
from secondread.evaluation.results import Evaluation
from secondread.logging import configure
from secondread.model.folder import ModelFolder
from secondread.pipeline.code import check_code
from secondread.pipeline.orphan import end_with_runner
from secondread.pipeline.success import recorded, verify_success, write_success
from secondread.pipeline.tags import model_tags, verdict_tags

Settings = Mapping[str, Any]


def ingest(
    source: str, output: str, *, settings: Settings, source_fingerprint: str = "", client_code: str = ""
) -> dict[str, Any]:
    """Copy a source's images and write their manifest.

    Args:
        source: URI.
        output: folder to write.
        settings: further fields of `IngestConfig`.
        source_fingerprint: what the source's content was when the run was asked for; refused if it is another now.
        client_code: fingerprint of the library of whoever started the run; refused if this one is another.
    Returns:
        `images`, `rejected` and `classes`, as counts.
    """
    environment, folder = _begin(), Path(output)
    with recorded("ingest", folder):
        check_code(client_code)
        config = from_mapping(IngestConfig, {"source": source, **settings})
        result = run_ingest(config, folder, patient_key=environment.patient_key_file)
        if source_fingerprint and result.fingerprint != source_fingerprint:
            raise IntegrityError(f"{source} changed while it was read. Start the run again when it no longer changes.")
        facts = {"images": sum(result.kept.values()), "rejected": dict(result.rejected), "classes": dict(result.kept)}
        write_success(folder, step="ingest", inputs={}, facts=facts)
    return facts


def preprocess(ingested: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make a dataset version of ingested images.

    Returns:
        `dataset_version` and `counts` by split and class.
    """
    _begin()
    source, folder = Path(ingested), Path(output)
    with recorded("preprocess", folder):
        verify_success(source, step="ingest")
        version = write_dataset_version(source, folder, from_mapping(PreprocessConfig, settings))
        facts = {"dataset_version": version.name, "counts": version.counts, "synthetic": version.synthetic}
        write_success(folder, step="preprocess", inputs={"ingested": source}, facts=facts)
    return facts


def train(dataset: str, output: str, *, name: str, settings: Settings) -> dict[str, Any]:
    """Train a model and write its folder.

    Returns:
        Figures on val, as the model's `metrics.json` has them, and `mlflow_run`.
    """
    # torch and MLflow take seconds to import, which the other steps should not pay
    from secondread.tracking.origin import Origin
    from secondread.training.train import train as run_train

    environment = _begin()
    data, folder = Path(dataset), Path(output)
    with recorded("train", folder):
        verify_success(data, step="preprocess")
        version = DatasetVersion.open(data)
        config = from_mapping(TrainConfig, {"name": name, **settings})
        result = run_train(version, folder, config, tracking=_tracking(environment, version, name))
        facts = {"metrics": dict(result.metrics), "mlflow_run": result.run_id, "dataset_version": version.name}
        Origin(result.run_id, artifacts=folder.name).write(folder)
        write_success(folder, step="train", inputs={"dataset": data}, facts=facts)
    return facts


def evaluate(
    model: str, dataset: str, output: str, *, split: str, model_step: str, gate: Settings, settings: Settings
) -> Evaluation:
    """Judge a model's graph on a split and ask the gate. A refusal is an answer, not a failure.

    Args:
        model: model folder, that step `model_step` wrote.
        dataset: dataset version.
        output: folder to write.
        split: `val` or `test`.
        model_step: `train` or `quantize`.
        gate: fields of `GateConfig`.
        settings: fields of `EvaluateConfig`.
    """
    _begin()
    folder = Path(output)
    with recorded(f"evaluate on {split}", folder):
        verify_success(Path(model), step=model_step)
        verify_success(Path(dataset), step="preprocess")
        result = run_evaluate(
            ModelFolder.open(model),
            LabelledImages.from_version(DatasetVersion.open(dataset), split),
            output=folder,
            policy=from_mapping(GateConfig, gate),
            config=from_mapping(EvaluateConfig, settings),
        )
        facts = {
            "split": split,
            "passed": result.gate.passed,
            "reasons": list(result.gate.reasons),
            "metrics": result.to_json()["metrics"],
            "n": result.n,
        }
        write_success(folder, step="evaluate", inputs={"model": Path(model), "dataset": Path(dataset)}, facts=facts)
    return result


def quantize(model: str, dataset: str, output: str, *, settings: Settings) -> dict[str, Any]:
    """Make INT8 graphs, compare them with fp32 on val, and choose.

    Returns:
        `graph`, the file name of the chosen one, and `table`, as Markdown.
    """
    from secondread.export.quantize import quantize as run_quantize

    _begin()
    source, data, folder = Path(model), Path(dataset), Path(output)
    with recorded("quantize", folder):
        verify_success(source, step="train")
        verify_success(data, step="preprocess")
        config = from_mapping(QuantizeConfig, settings)
        result = run_quantize(ModelFolder.open(source), DatasetVersion.open(data), folder, config)
        facts = {"graph": result.graph, "reason": result.reason, "table": result.table_markdown()}
        write_success(folder, step="quantize", inputs={"model": source, "dataset": data}, facts=facts)
    return facts


def register(
    model: str, evaluation: str, output: str, *, output_uri: str, name: str, root: str, pipeline_run: str = ""
) -> dict[str, Any]:
    """Register a model that passed its gate on test. Doing it again mends what is damaged and makes no new version.

    Args:
        model: model folder that quantize wrote.
        evaluation: what evaluate wrote for exactly that model on test.
        output: folder to write; it holds the Triton repository where `root` is empty.
        output_uri: what others reach `output` by.
        name: in the registry and in Triton.
        root: folder for `<name>/<digest>/`.
        pipeline_run: id of the run that this step belongs to; a local runner says it in the environment.
    Returns:
        `name`, `version`, `alias`, `digest`, `storage_uri`.
    """
    from secondread.tracking.origin import Origin
    from secondread.tracking.registry import Registry

    environment, folder, judged = _begin(), Path(output), Path(evaluation)
    with recorded("register", folder):
        config = RegisterConfig(name=name, root=root)
        verify_success(Path(model), step="quantize")
        verdict = verify_success(judged, step="evaluate")
        _check_verdict(Path(model), judged, verdict)
        folder.mkdir(parents=True, exist_ok=True)
        opened = ModelFolder.open(model)
        registered = Registry(environment.mlflow_tracking_uri).register(
            opened,
            name=config.name,
            root=Path(config.root) if config.root else folder,
            root_uri="" if config.root else _object_uri(output_uri),
            tags={
                **model_tags(opened, environment),
                **verdict_tags(verdict),
                "pipeline_run": environment.pipeline_run or pipeline_run,
            },
            origin=Origin.read(opened.root),
        )
        facts = asdict(registered)
        write_success(folder, step="register", inputs={"model": Path(model), "evaluation": judged}, facts=facts)
    return facts


def _begin() -> Environment:
    """Read the environment and set logging up, as every step does first."""
    end_with_runner()
    environment = Environment.read()
    configure(as_json=environment.log_json)
    return environment


def _tracking(environment: Environment, version: DatasetVersion, name: str) -> Any:
    from secondread.tracking.runs import TrackingConfig

    tags = {"dataset_version": version.content_hash, "synthetic": str(version.synthetic).lower()}
    return TrackingConfig(uri=environment.mlflow_tracking_uri, experiment=name, tags=tags)


def _check_verdict(model: Path, judged: Path, verdict: Mapping[str, Any]) -> None:
    """Refuse a model whose own evaluation on test is missing or says no, whatever the pipeline's conditions did."""
    from secondread.atomic import read_json, sha256_file
    from secondread.pipeline.success import SUCCESS_FILE

    inputs = read_json(judged / SUCCESS_FILE)["inputs"]
    if verdict["split"] != "test" or inputs["model"] != sha256_file(model / SUCCESS_FILE):
        raise IntegrityError(
            f"{judged} is no evaluation of {model} on test. Evaluate the model that is to be registered."
        )
    if not verdict["passed"]:
        raise GateRefused(f"the gate on test refused this model: {'; '.join(verdict['reasons'])}.")


def _object_uri(uri: str) -> str:
    """KFP's name for its own object store, as KServe's storage initializer reads it."""
    return f"s3://{uri.removeprefix('minio://')}" if uri.startswith("minio://") else uri


__all__ = ["SUMMARY_FILE", "evaluate", "ingest", "preprocess", "quantize", "register", "train"]
