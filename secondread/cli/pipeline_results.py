"""What `secondread pipeline run` shows of a run that ended: lines for people, or one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from secondread.cli.output import print_facts, print_json
from secondread.config.environment import Environment
from secondread.errors import GateRefused

if TYPE_CHECKING:
    # KFP takes seconds to import, which `--help` should not pay
    from secondread.pipeline.deploy_run import Deployment


def show_training(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    """Of the training pipeline."""
    from secondread.pipeline.train_run import run_training

    result = run_training(arguments, home=environment.home, reuse=cache)
    name = arguments["model_name"]
    if json:
        print_json({"name": name, **asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        figures = ", ".join(f"{key} {figure['value']:.3f}" for key, figure in _headline(result.metrics).items())
        print_facts(
            {
                "dataset version": result.dataset_version,
                "figures": figures,
                "gate": result.reason,
                "model": result.model,
                "report": result.report,
                "MLflow run": f"{result.mlflow_run} in {environment.mlflow_tracking_uri}",
                "registered": f"{name} version {result.registered_version}" if result.registered_version else "no",
                "repository": result.model_repository or "none",
                **(_of(result.deployment, name) if result.deployment else {}),
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the gate said no, so nothing was registered: {result.reason}. See {result.report}.")
    if result.deployment:
        _refuse(result.deployment, name)


def show_deployment(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:  # noqa: ARG001
    """Of the deployment pipeline, which takes nothing from a cache."""
    from secondread.pipeline.deploy_run import run_deployment

    result = run_deployment(arguments, home=environment.home)
    name = arguments["model_name"]
    if json:
        print_json({"name": name, **asdict(result)})
    else:
        print_facts(_of(result, name))
    _refuse(result, name)


def _of(result: Deployment, name: str) -> dict[str, str]:
    """What people are shown of a deployment."""
    return {
        "rollout": f"{result.rollout}: version {result.candidate} of {name} beside {result.stable}",
        "ended": f"{result.status.replace('_', ' ')} in stage {result.stage}",
        "why": result.reason,
        "timeline": result.timeline,
    }


def _refuse(result: Deployment, name: str) -> None:
    if result.status == "rolled_back":
        raise GateRefused(
            f"version {result.candidate} of '{name}' was rolled back in stage {result.stage}: {result.reason} See "
            f"{result.timeline}."
        )


def show_retraining(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    """Of the retraining pipeline."""
    from secondread.pipeline.retrain_run import run_retraining

    result = run_retraining(arguments, home=environment.home, reuse=cache)
    name = arguments["model_name"]
    if json:
        print_json({"name": name, **asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        registered = f"{name} version {result.registered_version}, as {result.alias}"
        print_facts(
            {
                "champion": f"{name} version {result.champion_version}",
                "dataset version": f"{result.dataset_version[:12]}, grown from {result.parent[:12]}",
                **{key: _difference(figure) for key, figure in result.differences.items()},
                **({"McNemar's exact p": f"{result.mcnemar['p_value']:.4f}"} if result.mcnemar else {}),
                "gate": result.reason,
                "model": result.model,
                "report": result.report,
                "comparison": result.comparison or "none",
                "MLflow run": f"{result.mlflow_run} in {environment.mlflow_tracking_uri}",
                "registered": registered if result.registered_version else "no",
            }
        )
    if result.status == "refused":
        page = result.comparison or result.report
        raise GateRefused(f"the gate said no, so the champion stays alone: {result.reason}. See {page}.")


def _difference(figure: Any) -> str:
    """Both models' figure, and by how many points they differ."""
    if figure["low"] is None:
        return "not known"
    points = (f"{100 * figure[key]:+.2f}" for key in ("value", "low", "high"))
    return "champion {:.3f}, challenger {:.3f}: {} points ({} to {})".format(
        figure["champion"], figure["challenger"], *points
    )


def show_data(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    """Of the data pipeline."""
    from secondread.pipeline.data_run import run_data

    result = run_data(arguments, home=environment.home, reuse=cache)
    if json:
        print_json({**asdict(result), "mlflow_tracking_uri": environment.mlflow_tracking_uri})
    else:
        left_out = ", ".join(f"{count} {reason}" for reason, count in result.rejected.items()) or "none"
        splits = {split: f"{sum(classes.values())} images" for split, classes in result.counts.items()}
        print_facts(
            {
                "dataset version": result.content_hash,
                "grown from": result.parent or "none",
                **splits,
                "left out": left_out,
                "audit": f"{result.severity}: {result.audit}",
                "published": result.published or "no",
                "catalogue": "has it" if result.catalogued else "no",
                "MLflow run": result.mlflow_run or "none",
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the audit said no, so nothing was published: {result.reason}. See {result.audit}.")


def show_scoring(arguments: dict[str, Any], environment: Environment, *, cache: bool, json: bool) -> None:
    """Of the scoring pipeline."""
    from secondread.pipeline.score_run import run_scoring

    result = run_scoring(arguments, home=environment.home, reuse=cache)
    if json:
        print_json(asdict(result))
    else:
        labels = ", ".join(f"{count:,} {label}" for label, count in result.labels.items())
        print_facts(
            {
                "model": f"{result.model['name']} version {result.model['version']}",
                "images": f"{result.images:,}: {labels or 'none read'}",
                "urgency": ", ".join(f"{count:,} {name}" for name, count in result.urgency.items()) or "none",
                "out of distribution": f"{result.out_of_distribution:,}",
                "unreadable": f"{result.unreadable:,}",
                "report": result.report,
                "table": result.readings,
                "delivered": result.delivered or "no",
            }
        )
    if result.status == "refused":
        raise GateRefused(f"the gate said no, so nothing was delivered: {result.reason}. See {result.report}.")


def _headline(metrics: Any) -> dict[str, Any]:
    """The figures that are shown first, where they are known."""
    return {name: metrics[name] for name in ("accuracy", "auroc_macro") if metrics[name]["value"] is not None}
