"""The model card: what a person should know before relying on a model. Source: Mitchell et al. 2019."""

from __future__ import annotations

from collections.abc import Mapping

from secondread.config.train import TrainConfig
from secondread.data.manifest import SPLITS
from secondread.data.versions.dataset import DatasetVersion
from secondread.model.folder import ModelConfigFile
from secondread.training.fit import preset_name
from secondread.training.start import Start

_LIMITS = """\
- **No medical device.** A preliminary reading to be compared with a physician's, never a diagnosis.
- One label an image: of several findings at most one is named.
- It knows the classes above and nothing else. An image of another kind still gets a label; the out-of-distribution
  score says that it is unlike the training images, and misses some that are.
- Where the classes of the training set come from different places or machines, a model can learn the place instead of
  the disease. Figures on images of the same sources do not show that; figures on yours would.
- The figures are on val, which also chose the epoch, the temperature and the thresholds: they flatter the model. The
  verdict of record is the evaluation on test.
"""


def model_card(
    dataset: DatasetVersion,
    config: TrainConfig,
    model: ModelConfigFile,
    metrics: Mapping[str, float | int | None],
    *,
    start: Start | None,
) -> str:
    """Markdown.

    Args:
        dataset: that it was trained on.
        config: recipe.
        model: what `config.json` says.
        metrics: what `metrics.json` says.
        start: what it began with; None for random weights.
    """
    synthetic = "**Trained on synthetic images: it says nothing about real ones.**\n\n" if model.synthetic else ""
    sections = [
        f"# {model.name}\n\n{synthetic}A vision transformer with a convolutional stem that reads one grey image of "
        f"{dataset.image_size} x {dataset.image_size} pixels. Written by SecondRead {model.library_version}.",
        f"## Classes and images\n\n{_counts(dataset)}",
        f"Split by patient where patients are known, else by image; no group is in two splits. Dataset version "
        f"`{dataset.content_hash}`.\n\n{_origins(dataset)}",
        f"## Figures on val\n\n{_figures(metrics)}",
        f"## Training\n\n{_training(preset_name(dataset, config), config, metrics)}{_start(start, dataset)}",
        f"## Limits\n\n{_LIMITS}",
    ]
    return "\n\n".join(sections)


def _counts(dataset: DatasetVersion) -> str:
    splits = [split for split in SPLITS if split in dataset.counts]
    lines = [f"| class | modality | {' | '.join(splits)} |", "|---|---|" + "---|" * len(splits)]
    for info in dataset.taxonomy.classes:
        counts = " | ".join(str(dataset.counts[split].get(info.name, 0)) for split in splits)
        lines.append(f"| {info.title or info.name} (`{info.name}`) | {info.modality or 'not known'} | {counts} |")
    return "\n".join(lines)


def _origins(dataset: DatasetVersion) -> str:
    """Images by source and licence: each image keeps its own."""
    counts = dataset.manifest.groupby(["source", "license"], sort=True).size().rename("images").reset_index()
    lines = ["| source | licence | images |", "|---|---|---|"]
    lines += [f"| {_cell(str(row.source))} | {_cell(str(row.license))} | {row.images} |" for row in counts.itertuples()]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "/") or "not stated"


def _figures(metrics: Mapping[str, float | int | None]) -> str:
    lines = ["| figure | value |", "|---|---|"]
    for name, value in metrics.items():
        shown = "cannot be told" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def _training(preset: str, config: TrainConfig, metrics: Mapping[str, float | int | None]) -> str:
    processes = 1 if config.strategy == "single" else config.processes
    return (
        f"Preset `{preset}`, {metrics['epochs']} epochs in {metrics['seconds']:.0f} s, {processes} process(es), "
        f"seed {config.seed}; the weights are those of epoch {metrics['best_epoch']}, which had the least loss on val."
    )


def _start(start: Start | None, dataset: DatasetVersion) -> str:
    if start is None:
        return " It began with random weights."
    of = "a model that learned" if start.labelled else "a pre-training without labels on images"
    seen = (
        " **That is neither this model's version nor its parent: images of val and test may have been among those it "
        "learned from, and then figures on them are too good.**"
        if start.may_have_seen(dataset)
        else ""
    )
    return f" It began with the weights of {of} from dataset version `{start.dataset_version}`.{seen}"
