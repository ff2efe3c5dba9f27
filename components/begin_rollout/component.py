"""KFP component: begin a rollout of a version that was verified."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def begin_rollout(
    verified: dsl.Input[dsl.Artifact],
    rollout: dsl.Output[dsl.Artifact],
    policy: str,
    control: str,
    reason: str,
    pipeline_run: str,
):
    """Begin a rollout of a version that was verified.

    Args:
        verified: what verify wrote.
        rollout: which rollout it is.
        policy: fields of RolloutConfig, as JSON.
        control: fields of ControlConfig, as JSON.
        reason: why the version is let in.
        pipeline_run: id of the run, by which it knows its own rollout again.
    """
    from secondread.pipeline.steps.begin_rollout import begin_rollout as step

    facts = step(verified.path, rollout.path, policy=policy, control=control, reason=reason, pipeline_run=pipeline_run)
    rollout.metadata.update(facts)
