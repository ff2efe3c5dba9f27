"""KFP component: train a model on a dataset version."""

from typing import Optional

from kfp import dsl

from secondread_components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    name: str,
    strategy: str,
    devices: str,
    nodes: int,
    accelerator: str,  # KFP puts something of its own into an input called accelerator_type
    settings: dict,
    start: Optional[dsl.Input[dsl.Model]] = None,  # noqa: UP045 - KFP does not read `| None`
):
    """Train a model on a dataset version.

    Args:
        dataset: what preprocess wrote.
        model: the model folder, with its ONNX graph.
        metrics: figures on val.
        name: of the model.
        strategy: who trains.
        devices: processes on each node, as text.
        nodes: machines.
        accelerator: resource name of what the pod was given; empty for none.
        settings: further fields of TrainConfig.
        start: model folder whose weights to begin with.
    """
    from secondread.pipeline.placement import Placement
    from secondread.pipeline.show import show_metrics
    from secondread.pipeline.steps.train import train as step

    facts = step(
        dataset.path,
        model.path,
        dataset_uri=dataset.uri,
        name=name,
        placement=Placement(strategy, devices, nodes, accelerator),
        settings=settings,
        start=start.path if start else "",
    )
    model.framework = "pytorch"
    model.metadata.update(dataset_version=facts["dataset_version"], mlflow_run=facts["mlflow_run"])
    show_metrics(metrics, facts["metrics"])
