"""KFP component: judge a model's graph on a split and ask the gate."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def evaluate(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    curves: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    card: dsl.Output[dsl.Markdown],
    split: str,
    model_step: str,
    gate: dict,
    settings: dict,
    named_files: str,  # noqa: ARG001 - for the cache's key alone
) -> bool:
    """Judge a model's graph on a split and ask the gate.

    The answer is a single unnamed output: KFP's local runner cannot read a named one in a condition.

    Args:
        model: the model folder.
        dataset: what preprocess wrote.
        evaluation: figures, predictions, report and model card.
        metrics: the figures with their intervals.
        curves: confusion matrix and ROC curve.
        report: the page for people.
        summary: the headline and the gate's lines.
        card: the model card with what was found.
        split: val or test.
        model_step: the step that wrote the model, train or quantize.
        gate: fields of GateConfig.
        settings: fields of EvaluateConfig.
        named_files: stands for the content of the files that the settings name, for the cache's key.

    Returns:
        Whether the gate said yes; its reasons are in the summary.
    """
    from secondread.pipeline.show import show_evaluation
    from secondread.pipeline.steps.evaluate import evaluate as step

    result = step(
        model.path, dataset.path, evaluation.path, split=split, model_step=model_step, gate=gate, settings=settings
    )
    pages = {"report": report.path, "summary": summary.path, "card": card.path}
    show_evaluation(result, evaluation.path, metrics=metrics, curves=curves, **pages)
    return result.gate.passed
