"""KFP component: the exit handler, which says how a run ended, whatever happened."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def conclude(conclusion: dsl.Output[dsl.Markdown], status: dsl.PipelineTaskFinalStatus, name: str):
    """Say how a run ended, whatever happened.

    Args:
        conclusion: one paragraph for people.
        status: how the run ended, as the runner sees it.
        name: of the model.
    """
    from secondread.pipeline.show import show_conclusion

    show_conclusion(name, state=status.state, error=status.error_message, path=conclusion.path)
