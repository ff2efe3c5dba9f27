"""KFP component: stay with a rollout until a stage of it is passed."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def rollout_stage(
    rollout: dsl.Input[dsl.Artifact],
    seen: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    stage: str,
    control: str,
) -> bool:
    """Stay with a rollout until a stage of it is passed.

    Args:
        rollout: what begin_rollout wrote.
        seen: the record of what was decided, and the page.
        metrics: the figures of the decision.
        report: the page for people.
        stage: deploy to staging, load test, shadow, canary, full, or every stage.
        control: fields of ControlConfig, as JSON.

    Returns:
        Whether it is passed; if not, the version was rolled back.
    """
    from secondread.pipeline.show_rollout import show_rollout_stage
    from secondread.pipeline.steps.rollout_stage import rollout_stage as step

    facts = step(rollout.path, seen.path, stage=stage, control=control)
    show_rollout_stage(facts, seen.path, metrics=metrics, report=report.path)
    return facts["passed"]
