"""KFP component: see that a version that passed every stage is champion, and answers."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def promote(rollout: dsl.Input[dsl.Artifact], promoted: dsl.Output[dsl.Artifact], control: str):
    """See that a version that passed every stage is champion, and answers.

    Args:
        rollout: what begin_rollout wrote.
        promoted: the record of who is champion now.
        control: fields of ControlConfig, as JSON.
    """
    from secondread.pipeline.steps.promote import promote as step

    facts = step(rollout.path, promoted.path, control=control)
    promoted.metadata.update(facts)
