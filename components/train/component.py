"""KFP component: train a model on a dataset version."""

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    name: str,
    settings: dict,
):
    """Train a model on a dataset version.

    Args:
        dataset: what preprocess wrote.
        model: the model folder, with its ONNX graph.
        metrics: figures on val.
        name: of the model.
        settings: further fields of TrainConfig.
    """
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.train import train as step

    facts = step(dataset.path, model.path, dataset_uri=dataset.uri, name=name, settings=settings)
    model.framework = "pytorch"
    model.metadata.update(dataset_version=facts["dataset_version"], mlflow_run=facts["mlflow_run"])
    show_metrics(metrics, facts["metrics"])
