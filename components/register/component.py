"""KFP component: register a model that passed its gate on test."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def register(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    repository: dsl.Output[dsl.Artifact],
    name: str,
    root: str,
    pipeline_run: str,
):
    """Register a model that passed its gate on test.

    Args:
        model: what quantize wrote.
        evaluation: what evaluate wrote for that model on test.
        repository: the Triton model repository where root is empty; else a record of the registration.
        name: in the registry and in Triton.
        root: folder for <name>/<digest>/; empty for the pipeline's own object store.
        pipeline_run: id of the run, for the registry.
    """
    from secondread.pipeline.steps.register import register as step

    facts = step(
        model.path,
        evaluation.path,
        repository.path,
        output_uri=repository.uri,
        name=name,
        root=root,
        pipeline_run=pipeline_run,
    )
    repository.metadata.update(facts)
