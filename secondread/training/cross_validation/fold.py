"""One fold, in a process of its own: train on what is not held out, judge the graph on what is.

python -m secondread.training.cross_validation.fold FOLDER

model/                what was trained, with the graph that was judged
predictions.parquet   of the held-out images: image_id, group_id, label, probabilities; no patient. Where the
                      model was quantized, also `served`: probabilities of the graph that would be served
quantized/            the model with that graph, likewise
result.json           the figures; written last
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from secondread.atomic import atomic_file
from secondread.child import answer
from secondread.config.mapping import from_mapping
from secondread.config.quantize import QuantizeConfig
from secondread.config.train import TrainConfig
from secondread.data.versions.dataset import DATASET_FILE, DatasetVersion, SplitData
from secondread.data.versions.folds import deal_folds, fold_splits
from secondread.data.versions.resplit import resplit
from secondread.export.quantization.quantize import quantize
from secondread.training.cross_validation.summary import PREDICTIONS_FILE
from secondread.training.judge import judge
from secondread.training.train import train

MODEL_FOLDER = "model"
QUANTIZED_FOLDER = "quantized"
_DATA_FOLDER = "data"


def run_fold(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train and judge one fold.

    Args:
        job: `dataset`, a folder; `fold` from 1; `folds`, `group` and `seed` as `deal_folds` takes them; `config`;
            `start`, a folder of weights to begin with, or empty; `quantize`, whether to ask what that costs.
        folder: to write to. The pixels, dealt anew, lie in it as long as the training runs.
    Returns:
        Name of the fold's version, images of each part, figures on the held-out images, the graph that would be served,
        and what training cost; null where there is no figure.
    """
    parent = DatasetVersion.open(job["dataset"])
    version = _version_of_fold(parent, job, folder / _DATA_FOLDER)
    config = from_mapping(TrainConfig, job["config"])
    start = Path(job["start"]) if job["start"] else None
    trained = train(version, folder / MODEL_FOLDER, config, start=start)
    held_out = version.split("test")
    probabilities, figures = judge(trained.model, held_out, threads=config.threads)
    predictions, graph = _predictions(parent, held_out, probabilities), trained.model.config.graph
    if job["quantize"]:
        quantized = quantize(trained.model, version, folder / QUANTIZED_FOLDER, QuantizeConfig(threads=config.threads))
        graph = quantized.choice.name
        predictions["served"] = list(judge(quantized.model, held_out, threads=config.threads)[0])
    with atomic_file(folder / PREDICTIONS_FILE) as aside:
        predictions.to_parquet(aside, index=False, compression="zstd")
    cost = {name: trained.metrics[name] for name in ("seconds", "epochs", "best_epoch", "images_per_second")}
    shutil.rmtree(folder / _DATA_FOLDER)
    return {
        "fold": job["fold"],
        "dataset_version": version.content_hash,
        "images": {split: sum(version.counts[split].values()) for split in ("train", "val", "test")},
        "metrics": figures,
        "graph": graph,
        "val_accuracy": trained.metrics["accuracy"],
        "threads": config.threads,
        **cost,
    }


def _version_of_fold(parent: DatasetVersion, job: Mapping[str, Any], folder: Path) -> DatasetVersion:
    """A version of its own for the fold, so that every strategy can train on it; no group is in two of its splits."""
    if (folder / DATASET_FILE).is_file():  # of a run that was cut
        return DatasetVersion.open(folder)
    dealt = deal_folds(parent.manifest, folds=job["folds"], group=job["group"], seed=job["seed"])
    facts = {"fold": {name: job[name] for name in ("fold", "folds", "group", "seed")}}
    return resplit(parent, fold_splits(dealt, job["fold"], seed=job["seed"]), folder, facts=facts)


def _predictions(parent: DatasetVersion, held_out: SplitData, probabilities: npt.NDArray[np.float32]) -> pd.DataFrame:
    """One row an image, with the group that the parent has it in, however the folds were dealt."""
    groups = parent.manifest.set_index("image_id")["group_id"]
    return pd.DataFrame(
        {
            "image_id": held_out.rows["image_id"],
            "group_id": held_out.rows["image_id"].map(groups).astype("string"),
            "label": held_out.rows["label"],
            "probabilities": list(probabilities),  # in the order of the classes
        }
    )


def main(arguments: list[str]) -> int:
    """Run the fold of the folder that the one argument names."""
    return answer(run_fold, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
