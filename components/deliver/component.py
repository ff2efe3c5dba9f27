"""KFP component: put a table of readings where others find it."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def deliver(
    readings: dsl.Input[dsl.Dataset],
    delivered: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    publish_to: str,
    unreadable_at_most: float,
):
    """Put a table of readings where others find it.

    Args:
        readings: what score wrote.
        delivered: the record of what was done.
        metrics: objects that were sent, and that were there already.
        publish_to: root of the store of readings, s3://bucket/prefix, swift://container/prefix or a folder.
        unreadable_at_most: share of the images that may be unreadable.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.deliver import deliver as step

    facts = step(readings.path, delivered.path, publish_to=publish_to, unreadable_at_most=unreadable_at_most)
    delivered.metadata.update(facts)
    show_metrics(metrics, {name: facts[name] for name in ("sent", "there", "size")})
