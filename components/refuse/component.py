"""KFP component: let the registry know of a gate's refusal."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def refuse(
    model: dsl.Input[dsl.Model], judgement: dsl.Input[dsl.Artifact], refusal: dsl.Output[dsl.Artifact], name: str
):
    """Let the registry know of a gate's refusal, where it has the model already.

    Args:
        model: that was judged.
        judgement: what evaluate or compare wrote of it.
        refusal: the record of the versions that have the verdict now.
        name: in the registry.
    """
    from secondread.pipeline.steps.refuse import refuse as step

    refusal.metadata.update(step(model.path, judgement.path, refusal.path, name=name))
