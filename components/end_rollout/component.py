"""KFP component: the exit handler of a deployment, which rolls back what its run began and left undecided."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def end_rollout(
    ended: dsl.Output[dsl.Artifact],
    timeline: dsl.Output[dsl.HTML],
    conclusion: dsl.Output[dsl.Markdown],
    status: dsl.PipelineTaskFinalStatus,
    name: str,
    control: str,
    pipeline_run: str,
):
    """Roll back what a run began and left undecided, and say how its rollout ended.

    Args:
        ended: the record of how it ended, and the timeline.
        timeline: the page for people.
        conclusion: one paragraph for people.
        status: how the run ended, as the runner sees it.
        name: of the model.
        control: fields of ControlConfig, as JSON.
        pipeline_run: id of the run.
    """
    from secondread.pipeline.show_rollout import show_rollout
    from secondread.pipeline.steps.end_rollout import end_rollout as step

    facts = step(ended.path, name=name, control=control, state=status.state, pipeline_run=pipeline_run)
    show_rollout(facts, ended.path, timeline=timeline.path, conclusion=conclusion.path)
