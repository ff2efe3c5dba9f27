"""KFP component: the exit handler, which says how a run ended, whatever happened."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def conclude(conclusion: dsl.Output[dsl.Markdown], status: dsl.PipelineTaskFinalStatus, name: str, last_step: str):
    """Say how a run ended, whatever happened.

    Args:
        conclusion: one paragraph for people.
        status: how the run ended, as the runner sees it.
        name: what the run was for.
        last_step: which is skipped when a gate says no.
    """
    from secondread.pipeline.show import show_conclusion

    show_conclusion(name, last_step=last_step, state=status.state, error=status.error_message, path=conclusion.path)
