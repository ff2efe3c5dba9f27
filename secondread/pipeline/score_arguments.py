"""What a run of the scoring pipeline is given: which images, which model, and the fingerprints of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.register import RegisterConfig
from secondread.config.require import require
from secondread.config.score import ScoreConfig
from secondread.data.sources.unlabelled import identify_images
from secondread.data.store.open import is_stored
from secondread.export.repository.layout import read_repository
from secondread.export.repository.opened import opened_repository
from secondread.pipeline.arguments import plain
from secondread.pipeline.code import cached_code
from secondread.pipeline.reach import check_reached, check_stored, store_root
from secondread.pipeline.steps.begin import split_engine


@dataclass(frozen=True)
class ScorePipelineSettings:
    """Settings of the scoring pipeline; what is not named keeps its default.

    Attributes:
        source: URI of the images: see `secondread.data.sources.unlabelled`.
        publish_to: root of the store of readings: a folder, s3://bucket/prefix or swift://container/prefix.
        name: of the model.
        which: its version number or alias in the registry.
        repository: URI of its signed Triton repository; empty: the registry is asked.
        score: fields of `ScoreConfig` and `EngineConfig`.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    source: str
    publish_to: str
    name: str = "secondread"
    which: str = "champion"
    repository: str = ""
    score: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        RegisterConfig(name=self.name)
        self.gate  # noqa: B018 - refuses what is no setting

    @property
    def gate(self) -> ScoreConfig:
        """What the readings must come to."""
        return from_mapping(ScoreConfig, split_engine(self.score, Environment.read())[1])


def score_arguments(settings: ScorePipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The scoring pipeline's parameters, with the fingerprints of the images and of the model.

    Args:
        settings: what the user asked for.
        remote: the pipeline will run in pods, which cannot reach this machine's paths.
    Raises:
        InputError: images, model or store cannot be read, or cannot be reached by a pod.
        DependencyError: a store or MLflow does not answer.
    """
    environment = Environment.read()
    check_reached(settings.source, remote=remote)
    publish_to = store_root(settings.publish_to, environment, remote=remote)
    model = _model(settings, environment, remote=remote)
    uri, fingerprint = identify_images(settings.source)
    _, gate = split_engine(settings.score, environment)
    return {
        "source": uri,
        "source_fingerprint": fingerprint,
        "code_fingerprint": cached_code(remote=remote),
        "model_name": settings.name,
        **model,
        "publish_to": publish_to,
        "unreadable_at_most": settings.gate.unreadable_at_most,
        "score_settings": plain({name: value for name, value in settings.score.items() if name not in gate}),
    }


def _model(settings: ScorePipelineSettings, environment: Environment, *, remote: bool) -> dict[str, str]:
    """Which model is meant. A number and a digest go to the steps: an alias is another model tomorrow."""
    version, uri = settings.which, settings.repository
    if not uri:
        if remote and not environment.mlflow_tracking_uri.startswith(("http://", "https://")):
            require(
                version.isdigit(),
                f"which version is '{version}' cannot be asked here. Set MLFLOW_TRACKING_URI to the cluster's server, "
                "or name a number with --which, or the repository with --repository.",
            )
            return {"model_version": version, "model_repository": "", "model_digest": ""}
        # MLflow takes seconds to import, which the other pipelines should not pay
        from secondread.tracking.registry import Registry

        found = Registry(environment.mlflow_tracking_uri).get(settings.name, version)
        version, uri, digest = str(found.version), found.storage_uri, found.digest
        check_stored(f"the repository of version {version}", uri, remote=remote)
        return {"model_version": version, "model_repository": uri, "model_digest": digest}
    check_stored("the model repository", uri, remote=remote)
    with opened_repository(uri, environment) as folder:
        model = read_repository(folder, settings.name)
    uri = uri if is_stored(uri) else str(Path(uri).resolve())
    return {"model_version": model.version, "model_repository": uri, "model_digest": model.digest}
