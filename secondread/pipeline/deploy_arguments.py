"""What a run that lets a version in is given: which version, by which policy, carried on how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from secondread.config.control import ControlConfig
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.config.register import RegisterConfig
from secondread.config.require import require
from secondread.config.rollout import RolloutConfig
from secondread.errors import InputError
from secondread.pipeline.code import cached_code
from secondread.pipeline.reach import check_stored

if TYPE_CHECKING:
    from secondread.tracking.registry import Registry

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class RolloutSettings:
    """How a version is let in.

    Attributes:
        reason: why.
        policy: fields of `RolloutConfig`.
        control: fields of `ControlConfig`.
    Raises:
        InputError: a setting is not known or is refused, before any step runs.
    """

    reason: str
    policy: Settings = field(default_factory=dict)
    control: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(bool(self.reason.strip()), "reason is empty: say why the version is let in, in a sentence.")
        from_mapping(RolloutConfig, self.policy, stage="policy")
        from_mapping(ControlConfig, self.control)


@dataclass(frozen=True)
class DeployPipelineSettings:
    """Settings of the deployment pipeline.

    Attributes:
        rollout: how the version is let in.
        name: of the model.
        which: version number or alias in the registry.
    Raises:
        InputError: as of `RolloutSettings`.
    """

    rollout: RolloutSettings
    name: str = "secondread"
    which: str = "challenger"

    def __post_init__(self) -> None:
        RegisterConfig(name=self.name)


def deploy_arguments(settings: DeployPipelineSettings, *, remote: bool = False) -> dict[str, Any]:
    """The deployment pipeline's parameters. A number goes to the steps: an alias is another version tomorrow.

    Args:
        settings: what the user asked for.
        remote: the pipeline will run in pods, which reach neither this machine's paths nor its edge.
    Raises:
        InputError: there is no such version, it is the champion, or pods cannot reach it.
        DependencyError: the registry, or on this machine whoever shares the requests, does not answer.
    """
    return {
        "model_name": settings.name,
        "model_version": _version(settings, remote=remote),
        "code_fingerprint": cached_code(remote=remote),
        **_rollout_arguments(settings.rollout, remote=remote),
    }


def deployment_arguments(settings: RolloutSettings, name: str, *, remote: bool = False) -> dict[str, Any]:
    """The parameters that another pipeline needs in addition, to end in this one.

    Args:
        settings: how the version is let in.
        name: of the model.
        remote: as of `deploy_arguments`.
    Raises:
        InputError: there is no champion beside which a version could be let in; or as of `deploy_arguments`.
        DependencyError: as of `deploy_arguments`.
    """
    if registry := _registry(remote=remote):
        registry.get(name)
    return {"deploy": True, **_rollout_arguments(settings, remote=remote)}


def _rollout_arguments(settings: RolloutSettings, *, remote: bool) -> dict[str, Any]:
    """How a version is let in.

    Raises:
        InputError: whoever is to share the requests is not where the steps run, or a secret would be seen.
        DependencyError: on this machine whoever shares the requests does not answer.
    """
    config = from_mapping(ControlConfig, settings.control)
    policy = from_mapping(RolloutConfig, settings.policy, stage="policy")
    if remote:
        require(
            config.splitter != "envoy",
            "splitter envoy is the edge of one machine, which no pod reaches. Say --set control.splitter=kserve-canary "
            "or knative, with control.service, control.namespace and control.observe.prometheus_url.",
        )
        mirrored = [stage.name for stage in policy.stages if stage.mirror_percent]
        require(
            not mirrored,
            f"{config.splitter} mirrors no requests, as stage {', '.join(mirrored)} asks for: take a policy without, "
            "such as --policy manifests/rollout/rollout.yaml.",
        )
        require(
            not config.webhook_url,
            "webhook_url may be secret, and whoever sees a run sees its parameters. Put it into the control file of "
            "`secondread rollout control`.",
        )
    else:
        from secondread.rollout.controller.carry_on import open_splitter  # MLflow takes seconds to import

        open_splitter(config, Environment.read()).read()  # asked now, and not when all else is done
    # as text: KFP's own mappings know no null, which means `not asked for` in a policy
    stated = {"policy": json.dumps(dict(settings.policy)), "control": json.dumps(dict(settings.control))}
    return {"reason": settings.reason, **stated}


def _version(settings: DeployPipelineSettings, *, remote: bool) -> str:
    registry = _registry(remote=remote)
    if registry is None:
        require(
            settings.which.isdigit(),
            f"which version is '{settings.which}' cannot be asked here. Set MLFLOW_TRACKING_URI to the cluster's "
            "server, or name a number with --which.",
        )
        return settings.which
    champion, found = registry.get(settings.name), registry.get(settings.name, settings.which)
    if found.version == champion.version:
        raise InputError(f"version {found.version} of '{settings.name}' is the champion: there is nothing to let in.")
    check_stored(f"the repository of version {found.version}", found.storage_uri, remote=remote)
    return str(found.version)


def _registry(*, remote: bool) -> Registry | None:
    """That of the run; None where the registry of the cluster is not known here."""
    uri = Environment.read().mlflow_tracking_uri
    if remote and not uri.startswith(("http://", "https://")):
        return None
    from secondread.tracking.registry import Registry  # MLflow takes seconds to import

    return Registry(uri)
