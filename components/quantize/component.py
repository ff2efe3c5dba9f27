"""KFP component: make INT8 graphs, compare them with fp32 and choose the one to serve."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def quantize(
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    quantized: dsl.Output[dsl.Model],
    table: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
    settings: dict,
):
    """Make INT8 graphs, compare them with fp32 and choose the one to serve.

    Args:
        model: what train wrote.
        dataset: calibrated on its train split, chosen on val.
        quantized: the model folder with the choice made.
        table: accuracy, size and latency of each candidate.
        page: the same with pictures, and why this one.
        settings: fields of QuantizeConfig.
    """
    import shutil
    from pathlib import Path

    from secondread.pipeline.steps.quantize import quantize as step

    facts = step(model.path, dataset.path, quantized.path, settings=settings)
    quantized.framework = "onnx"
    quantized.metadata.update(graph=facts["graph"], reason=facts["reason"])
    Path(table.path).write_text(facts["table"], encoding="utf-8")
    shutil.copyfile(Path(quantized.path) / "quantize.html", page.path)
