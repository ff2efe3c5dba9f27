"""KFP component: compare a challenger with the champion on the same test images."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def compare(
    champion: dsl.Input[dsl.Model],
    challenger: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    comparison: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    margins: dict,
    settings: dict,
) -> bool:
    """Compare a challenger with the champion on the same test images.

    Args:
        champion: what champion wrote.
        challenger: what quantize wrote.
        dataset: what fetch wrote; its test split.
        comparison: figures, page and summary.
        metrics: the figures.
        report: the page for people.
        summary: the headline.
        margins: fields of PairedConfig.
        settings: fields of EvaluateConfig.

    Returns:
        Whether the challenger is not worse by more than the margins.
    """
    from secondread.pipeline.show import show_comparison
    from secondread.pipeline.steps.compare import compare as step

    result = step(champion.path, challenger.path, dataset.path, comparison.path, margins=margins, settings=settings)
    show_comparison(result, comparison.path, metrics=metrics, report=report.path, summary=summary.path)
    return result.gate.passed
