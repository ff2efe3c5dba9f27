"""From the options of `secondread pipeline run | submit` to a pipeline's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.config.require import require
from secondread.config.settings import (
    DATA_STAGES,
    DEPLOY_STAGES,
    RETRAIN_STAGES,
    SCORE_STAGES,
    STAGES,
    parse_settings,
)
from secondread.config.trainjob import TrainJobSettings
from secondread.errors import InputError

if TYPE_CHECKING:
    # KFP takes seconds to import, which `--help` should not pay
    from secondread.pipeline.compile import TrainingVolume
    from secondread.pipeline.deploy_arguments import RolloutSettings

_DEFAULT_DATA = "phantom://demo"
_OF_MODELS = ("--name", "--models-to", "--gate", "--min-accuracy", "--accelerator", "--node-selector", "--claim")
_OF_ROLLOUTS = ("--policy", "--control", "--reason")
# which options each pipeline takes, of those that not every one does
_TAKES = {
    "train": {"--data", *_OF_MODELS, "--split-seed", "--deploy", *_OF_ROLLOUTS},
    "retrain": {"--data", *_OF_MODELS, "--parent"},
    "data": {"--data", "--publish-to", "--parent", "--split-seed"},
    "deploy": {"--name", "--which", *_OF_ROLLOUTS},
    "batch-score": {"--data", "--name", "--publish-to", "--which", "--repository"},
}

_STAGES = {
    "train": (*STAGES, *DEPLOY_STAGES),
    "retrain": RETRAIN_STAGES,
    "data": DATA_STAGES,
    "deploy": DEPLOY_STAGES,
    "batch-score": SCORE_STAGES,
}


@dataclass(frozen=True)
class Options:
    """What a user said; None or empty where nothing.

    Attributes:
        data: URI of images to learn from or to read, or of a dataset version to retrain on.
        settings: pairs `stage.field=value`.
        name, models_to, gate, min_accuracy, publish_to, parent, which, repository, split_seed, deploy, policy, control,
            reason, accelerator, node_selector, claim: as the options say.
        root: where models go by default; empty on a cluster, where there is no default.
        versions: likewise, where dataset versions go.
        readings: likewise, where readings go.
        remote: the pipeline will run in pods.
    """

    data: str | None
    settings: list[str]
    name: str | None
    gate: Path | None
    min_accuracy: float | None
    publish_to: str | None
    parent: str | None
    split_seed: int | None
    root: str
    versions: str
    readings: str
    remote: bool
    models_to: str | None = None
    which: str | None = None
    repository: str | None = None
    deploy: bool = False
    policy: Path | None = None
    control: Path | None = None
    reason: str | None = None
    accelerator: str = ""
    node_selector: tuple[str, ...] = ()
    claim: str = ""

    def arguments(self, pipeline: str) -> dict[str, Any]:
        """The parameters of a pipeline.

        Raises:
            InputError: there is no such pipeline, an option is none of its own, or a setting is refused.
            DependencyError: a store or MLflow does not answer.
        """
        from secondread.evaluation.gate.decide import stated_in
        from secondread.pipeline.compile import find_pipeline

        find_pipeline(pipeline)
        self._check_options(pipeline)
        settings = parse_settings(self.settings, _STAGES[pipeline])
        if self.split_seed is not None:
            settings["preprocess"]["split_seed"] = self.split_seed
        if self.gate is not None:
            settings["gate"] = {**stated_in(self.gate), **settings["gate"]}
        if self.min_accuracy is not None:
            settings["gate"]["accuracy_above"] = self.min_accuracy
        make = {
            "train": self._train,
            "retrain": self._retrain,
            "data": self._data,
            "deploy": self._deploy,
            "batch-score": self._score,
        }
        return make[pipeline](settings)

    def _train(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        from secondread.pipeline.arguments import TrainPipelineSettings, pipeline_arguments
        from secondread.pipeline.deploy_arguments import deployment_arguments

        stated = [option for option in _OF_ROLLOUTS if self._given()[option] is not None]
        stated += [f"--set {stage}" for stage in DEPLOY_STAGES if settings[stage]]
        require(self.deploy or not stated, f"{', '.join(stated)} would have no effect: add --deploy, or leave it out.")
        rollout = self._rollout(settings, "by the pipeline train")
        chosen = TrainPipelineSettings(self.data or _DEFAULT_DATA, **self._model(settings))
        arguments = pipeline_arguments(chosen, remote=self.remote)
        return arguments | (deployment_arguments(rollout, chosen.name, remote=self.remote) if self.deploy else {})

    def _retrain(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        from secondread.pipeline.arguments import RetrainPipelineSettings, retrain_arguments

        require(self.data is not None, "retrain needs --data: the child version, such as `data augment` makes it.")
        chosen = RetrainPipelineSettings(self.data or "", self.parent or "", **self._model(settings))
        return retrain_arguments(chosen, remote=self.remote)

    def _data(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        from secondread.pipeline.arguments import DataPipelineSettings, data_arguments

        publish_to = self.publish_to or self.versions
        require(bool(publish_to), "say where the version goes: --publish-to s3://bucket/prefix or swift://...")
        chosen = DataPipelineSettings(self.data or _DEFAULT_DATA, publish_to, self.parent or "", **settings)
        return data_arguments(chosen, remote=self.remote)

    def _deploy(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        from secondread.pipeline.deploy_arguments import DeployPipelineSettings, deploy_arguments

        rollout = self._rollout(settings, "by the pipeline deploy")
        chosen = DeployPipelineSettings(rollout, self.name or "secondread", self.which or "challenger")
        return deploy_arguments(chosen, remote=self.remote)

    def _rollout(self, settings: dict[str, dict[str, Any]], reason: str) -> RolloutSettings:
        """How a version is let in; taken out of the settings."""
        from secondread.config.document import over, read_mapping
        from secondread.pipeline.deploy_arguments import RolloutSettings

        stated = {}
        for name, file, example in (
            ("policy", self.policy, "deadline_seconds: 86400"),
            ("control", self.control, "interval_seconds: 30"),
        ):
            given = read_mapping(file, what=f"{name} file", example=example) if file else {}
            stated[name] = over(given, settings.pop(name))
        return RolloutSettings(self.reason or reason, **stated)

    def _score(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        from secondread.pipeline.score_arguments import ScorePipelineSettings, score_arguments

        require(self.data is not None, "batch-score needs --data: the images to read, such as a folder or s3://.")
        publish_to = self.publish_to or self.readings
        require(bool(publish_to), "say where the readings go: --publish-to s3://bucket/prefix or swift://...")
        name, which = self.name or "secondread", self.which or "champion"
        chosen = ScorePipelineSettings(self.data or "", publish_to, name, which, self.repository or "", **settings)
        return score_arguments(chosen, remote=self.remote)

    def _model(self, settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """What the pipelines that make models have in common, and the settings of their stages."""
        if self.claim:
            settings["train"].setdefault("storage", f"{TrainJobSettings.mount}/training")
        return {
            **settings,
            "name": self.name or "secondread",
            "root": self.models_to or self.root,
            "accelerator_type": self.accelerator,
            "node_selector": self._labels(),
        }

    def _labels(self) -> dict[str, str]:
        labels = [pair.partition("=") for pair in self.node_selector]
        require(
            all(key and value for key, _, value in labels),
            f"--node-selector takes KEY=VALUE, not {', '.join(self.node_selector)}.",
        )
        return {key: value for key, _, value in labels}

    def volume(self) -> TrainingVolume | None:
        """What the train step mounts."""
        from secondread.pipeline.compile import TrainingVolume

        return TrainingVolume(self.claim, self.accelerator, self._labels()) if self.claim else None

    def _check_options(self, pipeline: str) -> None:
        """Refuse an option that would have no effect."""
        foreign = [name for name, value in self._given().items() if value is not None and name not in _TAKES[pipeline]]
        for option in foreign:
            owners = " and ".join(name for name, taken in _TAKES.items() if option in taken)
            raise InputError(f"{option} is no option of the pipeline {pipeline}, but of {owners}. Leave it out.")

    def _given(self) -> dict[str, Any]:
        """What was given of options that not every pipeline takes; None: it was not."""
        return {
            "--data": self.data,
            "--name": self.name,
            "--models-to": self.models_to,
            "--gate": self.gate,
            "--min-accuracy": self.min_accuracy,
            "--publish-to": self.publish_to,
            "--parent": self.parent,
            "--which": self.which,
            "--repository": self.repository,
            "--split-seed": self.split_seed,
            "--deploy": self.deploy or None,
            "--policy": self.policy,
            "--control": self.control,
            "--reason": self.reason,
            "--accelerator": self.accelerator or None,
            "--node-selector": self.node_selector or None,
            "--claim": self.claim or None,
        }
