"""KFP component: register a model that passed its gate on test."""

from typing import Optional

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
    comparison: Optional[dsl.Input[dsl.Artifact]] = None,  # noqa: UP045 - KFP does not read `| None`
) -> str:
    """Register a model that passed its gate on test.

    Args:
        model: what quantize wrote.
        evaluation: what evaluate wrote for that model on test.
        repository: the record of the registration.
        name: in the registry and in Triton.
        root: folder, or s3:// or swift://, for <name>/<digest>/.
        pipeline_run: id of the run, for the registry.
        comparison: what compare wrote for that model; without it none is asked for.

    Returns:
        The version's number in the registry.
    """
    from secondread.pipeline.steps.register import register as step

    facts = step(
        model.path,
        evaluation.path,
        repository.path,
        name=name,
        root=root,
        pipeline_run=pipeline_run,
        comparison=comparison.path if comparison else "",
    )
    repository.metadata.update(facts)
    return str(facts["version"])
