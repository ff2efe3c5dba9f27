"""What a run of a pipeline is given: settings checked before anything starts, and the fingerprints."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from secondread.config.audit import AuditConfig
from secondread.config.environment import Environment
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.ingest import IngestConfig
from secondread.config.mapping import from_mapping
from secondread.config.paired import PairedConfig
from secondread.config.preprocess import PreprocessConfig
from secondread.config.quantize import QuantizeConfig
from secondread.config.register import RegisterConfig
from secondread.config.train import TrainConfig
from secondread.data.sources.open import identify
from secondread.data.store.lookup import name_parent, name_version
from secondread.data.store.open import is_stored
from secondread.errors import InputError
from secondread.pipeline.code import cached_code
from secondread.pipeline.placement import Placement, without_placement
from secondread.pipeline.reach import check_reached, check_stored, store_root
from secondread.pipeline.steps.begin import split_engine

Settings = Mapping[str, Any]

_MARGINS = tuple(each.name for each in fields(PairedConfig))  # that the gate has, too


@dataclass(frozen=True)
class TrainPipelineSettings:
    """Settings of the training pipeline, by stage; what is not named keeps its default.

    Attributes:
        source: URI of the labelled images.
        name: of the model.
        root: folder, or URI of an object store, for `<name>/<digest>/`.
        accelerator_type: resource name of what pods train on, such as nvidia.com/gpu; empty for none.
        node_selector: labels of the nodes that they train on.
        ingest, preprocess, train, evaluate, quantize, gate: fields of the stage's configuration.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    source: str
    name: str = "secondread"
    root: str = ""
    accelerator_type: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    ingest: Settings = field(default_factory=dict)
    preprocess: Settings = field(default_factory=dict)
    train: Settings = field(default_factory=dict)
    evaluate: Settings = field(default_factory=dict)
    quantize: Settings = field(default_factory=dict)
    gate: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_data_stages(self.source, self.ingest, self.preprocess)
        placed(self.train, self.accelerator_type)
        from_mapping(EvaluateConfig, self.evaluate)
        from_mapping(QuantizeConfig, self.quantize)
        policy = from_mapping(GateConfig, self.gate)
        for field_name in _MARGINS:
            if getattr(policy, field_name) is not None:
                raise InputError(
                    f"gate.{field_name} asks for the champion, which may have learned from the test images of a new "
                    "split. Leave it out, or use the pipeline retrain, or `secondread evaluate --champion`."
                )
        RegisterConfig(name=self.name, root=self.root)


@dataclass(frozen=True)
class RetrainPipelineSettings:
    """Settings of the retraining pipeline, by stage; what is not named keeps its default.

    Attributes:
        dataset: URI of the child version: a folder, or what publishing printed.
        parent: URI of the version that it grew from and the champion learned from; empty where both are published in
            one place.
        name: of the model, whose champion is trained further.
        root, accelerator_type, node_selector: as of `TrainPipelineSettings`.
        train, evaluate, quantize, gate, compare: fields of the stage's configuration. The gate's margins are those of
            `compare`, unless that states its own.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    dataset: str
    parent: str = ""
    name: str = "secondread"
    root: str = ""
    accelerator_type: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    train: Settings = field(default_factory=dict)
    evaluate: Settings = field(default_factory=dict)
    quantize: Settings = field(default_factory=dict)
    gate: Settings = field(default_factory=dict)
    compare: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        placed(self.train, self.accelerator_type)
        from_mapping(EvaluateConfig, self.evaluate)
        from_mapping(QuantizeConfig, self.quantize)
        from_mapping(GateConfig, self.gate)
        from_mapping(PairedConfig, self.margins, stage="compare")
        RegisterConfig(name=self.name, root=self.root)

    @property
    def margins(self) -> dict[str, Any]:
        """Fields of `PairedConfig`."""
        return {name: self.gate[name] for name in _MARGINS if self.gate.get(name) is not None} | dict(self.compare)


@dataclass(frozen=True)
class DataPipelineSettings:
    """Settings of the data pipeline, by stage; what is not named keeps its default.

    Attributes:
        source: URI of the labelled images.
        publish_to: root of a store of dataset versions: a folder, s3://bucket/prefix or swift://container/prefix.
        parent: URI of the version that the new one grows from: a folder, or what publishing printed; empty for none.
        ingest, preprocess, audit: fields of the stage's configuration.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    source: str
    publish_to: str
    parent: str = ""
    ingest: Settings = field(default_factory=dict)
    preprocess: Settings = field(default_factory=dict)
    audit: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_data_stages(self.source, self.ingest, self.preprocess)
        from_mapping(AuditConfig, self.audit)


def pipeline_arguments(settings: TrainPipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The training pipeline's parameters, with the source's fingerprint, so that no cache can serve it changed.

    Args:
        settings: what the user asked for.
        remote: the pipeline will run in pods, which cannot reach this machine's paths, whether or not they begin with
            file://.
    Raises:
        InputError: the source cannot be read, or cannot be reached by a pod.
        DependencyError: the store that it lies in does not answer.
    """
    _check_root(settings.root, remote=remote)
    return {
        **_source_arguments(settings.source, settings.ingest, remote=remote),
        "model_name": settings.name,
        "model_root": settings.root,
        **placed(settings.train, settings.accelerator_type),
        "node_selector": dict(settings.node_selector),
        "ingest_settings": plain(settings.ingest),
        "preprocess_settings": plain(settings.preprocess),
        "evaluate_settings": plain(settings.evaluate),
        "evaluate_files": _evaluate_files(settings.evaluate),
        "quantize_settings": plain(settings.quantize),
        "gate": plain(settings.gate),
    }


def retrain_arguments(settings: RetrainPipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The retraining pipeline's parameters, with the hashes of both versions and of the champion.

    Args:
        settings: what the user asked for.
        remote: as of `pipeline_arguments`. The champion is then named if MLFLOW_TRACKING_URI is a server's, else by the
            step alone.
    Raises:
        InputError: a version cannot be read, or cannot be reached by a pod; or there is no champion.
        DependencyError: a store or MLflow does not answer.
    """
    environment = Environment.read()
    _check_root(settings.root, remote=remote)
    check_stored("the dataset version", settings.dataset, remote=remote)
    if settings.parent:
        check_stored("its parent", settings.parent, remote=remote)
    child = name_version(settings.dataset, environment)
    parent = name_version(settings.parent, environment) if settings.parent else name_parent(child.uri, environment)
    return {
        "dataset": child.uri,
        "dataset_version": child.content_hash,
        "parent": parent.uri,
        "parent_version": parent.content_hash,
        "champion_digest": _champion_digest(settings.name, environment, remote=remote),
        "code_fingerprint": cached_code(remote=remote),
        "model_name": settings.name,
        "model_root": settings.root,
        **placed(settings.train, settings.accelerator_type),
        "node_selector": dict(settings.node_selector),
        "evaluate_settings": plain(settings.evaluate),
        "evaluate_files": _evaluate_files(settings.evaluate),
        "quantize_settings": plain(settings.quantize),
        "gate": plain({name: limit for name, limit in settings.gate.items() if name not in _MARGINS}),
        "compare_settings": plain(settings.margins),
    }


def _champion_digest(name: str, environment: Environment, *, remote: bool) -> str:
    """Which champion there is now; empty where the registry of the cluster is not known here."""
    if remote and not environment.mlflow_tracking_uri.startswith(("http://", "https://")):
        return ""
    # MLflow takes seconds to import, which the other pipelines should not pay
    from secondread.tracking.registry import Registry

    return Registry(environment.mlflow_tracking_uri).get(name).digest


def _check_root(root: str, *, remote: bool) -> None:
    if not root:
        raise InputError("say where the registered model goes: --models-to s3://bucket/prefix or swift://container.")
    if remote and not is_stored(root):
        raise InputError(f"root '{root}' is a folder, which a pod loses. Name an s3:// or swift:// URI.")


def data_arguments(settings: DataPipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The data pipeline's parameters, with the fingerprints of its source and its parent.

    Args:
        settings: what the user asked for.
        remote: as of `pipeline_arguments`.
    Raises:
        InputError: source, parent or store cannot be read, or cannot be reached by a pod.
        DependencyError: a store does not answer.
    """
    environment = Environment.read()
    if settings.parent:
        check_stored("the parent", settings.parent, remote=remote)
    store = store_root(settings.publish_to, environment, remote=remote)
    parent = name_version(settings.parent, environment) if settings.parent else None
    return {
        **_source_arguments(settings.source, settings.ingest, remote=remote),
        "parent": parent.uri if parent else "",
        "parent_version": parent.content_hash if parent else "",
        "publish_to": store,
        "ingest_settings": plain(settings.ingest),
        "preprocess_settings": plain(settings.preprocess),
        "audit_settings": plain(settings.audit),
    }


def placed(train: Settings, accelerator_type: str) -> dict[str, Any]:
    """The parameters of the train step: who trains and on what, and the other settings of training.

    Raises:
        InputError: a setting is not known or is refused.
    """
    placement, further = Placement.of(from_mapping(TrainConfig, train), accelerator_type), without_placement(train)
    if placement.elsewhere and accelerator_type:
        # the step's own pod waits, and needs none
        further, placement = placement.settings(further), replace(placement, accelerator_type="")
        further = without_placement(further)
    from_mapping(TrainConfig, placement.settings(further))
    return {**asdict(placement), "train_settings": plain(further)}


def _evaluate_files(evaluate: Settings) -> str:
    """What stands in the cache's key for the files that evaluation is to read; empty where it is to read none.

    It is another each time. Paths say nothing of what lies there, which only whoever runs the step can see: a gate must
    not say yes because of tests that are others by now.
    """
    config = from_mapping(EvaluateConfig, evaluate)
    return uuid.uuid4().hex if config.behaviour or config.known_failures or config.other_fields else ""


def _check_data_stages(source: str, ingest: Settings, preprocess: Settings) -> None:
    environment = Environment.read()
    from_mapping(IngestConfig, {"source": source, **split_engine(ingest, environment)[1]})
    from_mapping(PreprocessConfig, split_engine(preprocess, environment)[1])


def _source_arguments(source: str, ingest: Settings, *, remote: bool) -> dict[str, Any]:
    """What the ingest step is given."""
    check_reached(source, remote=remote)
    config = from_mapping(IngestConfig, {"source": source, **split_engine(ingest, Environment.read())[1]})
    uri, fingerprint = identify(config.source, modality=config.modality, public_ids=config.public_ids)
    return {"source": uri, "source_fingerprint": fingerprint, "code_fingerprint": cached_code(remote=remote)}


def plain(settings: Settings) -> dict[str, Any]:
    """What JSON makes of settings: KFP refuses tuples."""
    made: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return made
