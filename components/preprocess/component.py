"""KFP component: make a dataset version of ingested images."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def preprocess(
    images: dsl.Input[dsl.Dataset], dataset: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics], settings: dict
):
    """Make a dataset version of ingested images.

    Args:
        images: what ingest wrote.
        dataset: the dataset version: pixels, labels and splits.
        metrics: images by split.
        settings: fields of PreprocessConfig.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.preprocess import preprocess as step

    facts = step(images.path, dataset.path, settings=settings)
    dataset.metadata.update(facts)
    show_metrics(metrics, {split: sum(counts.values()) for split, counts in facts["counts"].items()})
