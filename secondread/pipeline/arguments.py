"""What a run of the training pipeline is given: settings checked before anything starts, and the fingerprints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.ingest import IngestConfig
from secondread.config.mapping import from_mapping
from secondread.config.preprocess import PreprocessConfig
from secondread.config.quantize import QuantizeConfig
from secondread.config.register import RegisterConfig
from secondread.config.train import TrainConfig
from secondread.data.sources.open import is_local, open_source
from secondread.errors import InputError
from secondread.pipeline.code import code_fingerprint

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class TrainPipelineSettings:
    """Settings of the training pipeline, by stage; what is not named keeps its default.

    Attributes:
        source: URI of the labelled images.
        name: of the model.
        root: folder for `<name>/<digest>/`; empty for the register step's own output, which Kubeflow uploads.
        ingest, preprocess, train, evaluate, quantize, gate: fields of the stage's configuration.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    source: str
    name: str = "secondread"
    root: str = ""
    ingest: Settings = field(default_factory=dict)
    preprocess: Settings = field(default_factory=dict)
    train: Settings = field(default_factory=dict)
    evaluate: Settings = field(default_factory=dict)
    quantize: Settings = field(default_factory=dict)
    gate: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        from_mapping(IngestConfig, {"source": self.source, **self.ingest})
        from_mapping(PreprocessConfig, self.preprocess)
        from_mapping(TrainConfig, {"name": self.name, **self.train})
        from_mapping(EvaluateConfig, self.evaluate)
        from_mapping(QuantizeConfig, self.quantize)
        from_mapping(GateConfig, self.gate)
        RegisterConfig(name=self.name, root=self.root)


def pipeline_arguments(settings: TrainPipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The pipeline's parameters. The source is opened and its content hashed, so that no cache can serve it changed.

    Args:
        settings: what the user asked for.
        remote: the pipeline will run in pods, which cannot reach this machine's paths, whether or not they begin with
            file://. There is no source yet that both can reach and that is read, but phantoms.
    Raises:
        InputError: the source cannot be read, or cannot be reached by a pod.
    """
    if remote and is_local(settings.source):
        raise InputError(
            f"'{settings.source}' is a path of this machine, which a pod cannot reach. On a cluster only phantom:// "
            "sources are read so far; run the pipeline on your own images here, with `secondread pipeline run`."
        )
    if remote and settings.root:
        raise InputError(f"root '{settings.root}' is a folder, which a pod loses. Leave it empty on a cluster.")
    config = from_mapping(IngestConfig, {"source": settings.source, **settings.ingest})
    source = open_source(config.source, modality=config.modality, public_ids=config.public_ids)
    return {
        "source": source.uri,
        "source_fingerprint": source.fingerprint(),
        "code_fingerprint": code_fingerprint(),
        "model_name": settings.name,
        "model_root": settings.root,
        "ingest_settings": _plain(settings.ingest),
        "preprocess_settings": _plain(settings.preprocess),
        "train_settings": _plain(settings.train),
        "evaluate_settings": _plain(settings.evaluate),
        "quantize_settings": _plain(settings.quantize),
        "gate": _plain(settings.gate),
    }


def _plain(settings: Settings) -> dict[str, Any]:
    """What JSON makes of it: KFP refuses tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(settings)))
    return plain
