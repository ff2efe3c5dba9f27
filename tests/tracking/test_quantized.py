"""A quantization is a run in MLflow below that of the training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from secondread.atomic import write_json
from secondread.export.quantization.choice import Candidate, Choice
from secondread.export.quantization.comparison import Choices, QuantizeResult
from secondread.export.quantization.latency import Latency
from secondread.export.quantization.parity import Parity
from secondread.machine import this_machine
from secondread.model.folder import ModelFolder
from secondread.tracking.asked import Asked
from secondread.tracking.origin import Origin
from secondread.tracking.quantized import log_quantization
from secondread.tracking.runs import TrackingConfig, open_client, open_run


def test_a_quantization_has_every_graph_the_choice_and_the_page(
    mlflow_uri: str, tiny_model: ModelFolder, tmp_path: Path
) -> None:
    with open_run(TrackingConfig(mlflow_uri, "secondread", {})) as training:
        pass
    folder = tmp_path / "quantized"
    shutil.copytree(tiny_model.root, folder)
    result = QuantizeResult(
        model=ModelFolder.open(folder),
        choices=Choices(Choice("static-minmax", "it is faster."), Choice("fp32", "there is no other.")),
        candidates=(
            Candidate("fp32", 0.8, 0.02, 1000, {1: Latency((4.0, 4.0))}, Parity(1.0, 0.0, 0.0, 0.0), 0.0),
            Candidate("static-minmax", 0.79, 0.03, 300, {1: Latency((2.0, 2.0))}, Parity(0.98, 0.1, 0.01, 0.0), 0.0),
        ),
        n=100,
        calibration_images=16,
        machine=this_machine(threads=1),
    )
    write_json(folder / "quantize.json", result.to_json())
    (folder / "quantize.html").write_text("the page")
    asked = Asked("d" * 64, {"quantize.threads": "1"}, {})
    run_id = log_quantization(mlflow_uri, folder, asked, origin=Origin(training.run_id), beside=folder)
    client = open_client(mlflow_uri)
    run = client.get_run(run_id)
    figures = {
        "accuracy/static-minmax": 0.79,
        "accuracy_drop_points/static-minmax": 1.0,
        "same_label/static-minmax": 0.98,
        "latency_p50_ms/static-minmax/batch_1": 2.0,
        "quantized_accuracy_drop_points": 1.0,
        "quantized_agreement": 0.98,
        "quantized_size_share": 0.3,
        "quantized_speedup_batch_1": 2.0,
    }
    assert {name: run.data.metrics[name] for name in figures} == pytest.approx(figures)
    told = {"dataset_version": "d" * 64, "chosen": "static-minmax", "gpu_chosen": "fp32", "quantize.threads": "1"}
    told["digest"] = ModelFolder.open(folder).digest()
    assert told.items() <= run.data.params.items()
    assert (run.data.tags["training_run"], run.data.tags["reason"]) == (training.run_id, "it is faster.")
    assert {item.path for item in client.list_artifacts(run_id)} == {"quantize.json", "quantize.html"}
