"""KFP component: put a dataset version that passed its audit where others find it."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def publish(
    dataset: dsl.Input[dsl.Dataset],
    findings: dsl.Input[dsl.Artifact],
    published: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    publish_to: str,
    pipeline_run: str,
):
    """Put a dataset version that passed its audit where others find it.

    Args:
        dataset: what preprocess wrote.
        findings: what audit wrote of it.
        published: the record of what was done.
        metrics: objects that were sent, and that were there already.
        publish_to: root of the store of versions, s3://bucket/prefix, swift://container/prefix or a folder.
        pipeline_run: id of the run that this step belongs to.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.publish import publish as step

    facts = step(dataset.path, findings.path, published.path, publish_to=publish_to, pipeline_run=pipeline_run)
    published.metadata.update(facts)
    show_metrics(metrics, {name: facts[name] for name in ("sent", "there", "bytes")})
