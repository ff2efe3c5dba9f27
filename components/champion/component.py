"""KFP component: fetch the registry's champion, with the weights that it came from."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def champion(dataset: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], name: str, digest: str):
    """Fetch the registry's champion, with the weights that it came from.

    Args:
        dataset: what fetch wrote; the champion must have learned from its parent.
        model: the model folder, with the graph that is served.
        name: in the registry.
        digest: of the champion when the run was asked for; part of the cache's key. Empty: whichever it is.
    """
    from secondread.pipeline.steps.champion import champion as step

    facts = step(dataset.path, model.path, name=name, digest=digest)
    model.framework = "onnx"
    model.metadata.update(facts)
