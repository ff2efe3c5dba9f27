"""KFP component: make a dataset version of ingested images."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def preprocess(
    images: dsl.Input[dsl.Dataset],
    dataset: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    settings: dict,
    parent: str = "",
    parent_version: str = "",
):
    """Make a dataset version of ingested images.

    Args:
        images: what ingest wrote.
        dataset: the dataset version: pixels, labels and splits.
        metrics: images by split.
        settings: fields of PreprocessConfig.
        parent: URI of the version that this one grows from; empty for none.
        parent_version: its content hash, for the cache's key; another one by now is refused.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.preprocess import preprocess as step

    facts = step(images.path, dataset.path, settings=settings, parent=parent, parent_version=parent_version)
    dataset.metadata.update(facts)
    show_metrics(metrics, {split: sum(counts.values()) for split, counts in facts["counts"].items()})
