"""How well saliency maps point at what was drawn into phantoms: ours, attention rollout, and maps that know nothing.

    python -m benchmarks.saliency

trains the default preset at 64 px for one or two minutes, on phantoms of all nine classes, and prints for each map how
often its strongest place lies in the finding (the pointing game), over new phantoms with a finding that the network
named right. A table for the docs and no figure of `make bench`: after so short a training they move by some points.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from scipy.stats import binomtest, spearmanr
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training import fit_alone, phantoms
from secondread.config.train import TrainConfig
from secondread.data.sources.phantom.render import finding_mask, render
from secondread.data.sources.phantom.source import PhantomSource
from secondread.evaluation.saliency import hits
from secondread.model.saliency import explain
from secondread.model.vit import ViT, scaled
from secondread.training.fit import architecture_for

SIZE = 64
IMAGES = 1800
TRAIN = TrainConfig(preset="vit-64", image_presentations=60_000)
FRESH = f"phantom://demo?images=450&size={SIZE}&seed=7&wrong_labels=0"

Maps = np.ndarray  # float32 (images, SIZE, SIZE)


def main() -> None:
    """Train, and compare."""
    with phantoms(IMAGES, SIZE) as dataset:
        model = ViT(architecture_for(dataset, TRAIN))
        model.load_state_dict(fit_alone(dataset, TRAIN).state)
        compare(model.eval(), dataset.taxonomy.names)


def compare(model: ViT, names: tuple[str, ...]) -> None:
    """Print how often each map points at the finding.

    Args:
        model: in evaluation mode, of `SIZE` pixels.
        names: its classes.
    """
    images, labels, masks = fresh(names)
    with torch.inference_mode():
        ours, predicted = answers(model, images)
        kept = (
            (predicted == labels) & masks.any(axis=(1, 2)) & np.array([not names[i].endswith("normal") for i in labels])
        )
        images, labels, masks, ours = images[kept], labels[kept], masks[kept], ours[kept]
        maps = {
            "ours": ours,
            "attention rollout": rollout(model, images),
            "ours, transformer and head with random weights": answers(
                randomised(model, ("blocks", "norm", "head")), images
            )[0],
            "ours, all weights random": answers(ViT(model.config).eval(), images)[0],
            **without_the_image(ours, labels, images),
        }
    print(f"{len(labels)} phantoms with a finding that was named right, of {len(kept)}")
    print(f"| map | all | chest | retina | rank correlation with ours |\n|{'---|' * 5}")
    chest = np.array([names[label].startswith("cxr") for label in labels])
    for name, values in maps.items():
        found = hits(np.ascontiguousarray(values), masks)
        cells = [share(found[part]) for part in (np.ones_like(chest), chest, ~chest)]
        print(f"| {name} | {' | '.join(cells)} | {correlation(ours, values):.2f} |")
    areas = (f"{masks[part].mean():.2f}" for part in (np.ones_like(chest), chest, ~chest))
    print(f"| chance: the finding's share of the area | {' | '.join(areas)} | |")


def fresh(names: tuple[str, ...]) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Phantoms that were not trained on: float (images, 1, SIZE, SIZE), labels, and masks of their findings."""
    cases = list(PhantomSource(FRESH).cases())
    images = np.stack([render(case, size=SIZE) for case in cases])[:, None]
    labels = np.array([names.index(case.label) for case in cases])
    return torch.from_numpy(images).float() / 255, labels, np.stack([finding_mask(case, size=SIZE) for case in cases])


def answers(model: ViT, images: Tensor) -> tuple[Maps, np.ndarray]:
    """Saliency maps, and the class that each image is called."""
    parts = [explain(model, part) for part in images.split(50)]
    named = torch.cat([part.prediction.logits.argmax(dim=1) for part in parts])
    return torch.cat([part.saliency for part in parts]).numpy(), named.numpy()


def rollout(model: ViT, images: Tensor) -> Maps:
    """What [CLS] attends to, all blocks multiplied. Source: Abnar & Zuidema 2020, doi:10.18653/v1/2020.acl-main.385."""
    tokens = model.sequence(model.stem(scaled(images)))
    joint = torch.eye(tokens.shape[1])
    for block in model.blocks:
        attention, normed = block.attention[1], block.attention[0](tokens)
        query, key = (
            part(normed).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for part in (attention.query, attention.key)
        )
        weights = functional.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1).mean(dim=1)
        joint = (weights + torch.eye(tokens.shape[1])) / 2 @ joint
        tokens = block(tokens)
    grid = joint[:, 0, 1:].unflatten(1, (model.config.grid, model.config.grid))[:, None]
    return functional.interpolate(grid, size=(SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0].numpy()


def randomised(model: ViT, parts: tuple[str, ...]) -> ViT:
    """A copy in which some parts have the weights of a network that was not trained."""
    torch.manual_seed(1)
    other, untrained = copy.deepcopy(model), ViT(model.config)
    for name in parts:
        part: nn.Module = getattr(other, name)
        part.load_state_dict(getattr(untrained, name).state_dict())
    return other.eval()


def without_the_image(ours: Maps, labels: np.ndarray, images: Tensor) -> Mapping[str, Maps]:
    """Maps that are the same for all images, or for all of a class, and the image itself."""
    middle = np.exp(-(((np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / (SIZE / 4)) ** 2).sum(axis=0))
    by_class = np.stack([ours[labels == label].mean(axis=0) for label in labels])
    return {
        "mean of ours over all images": np.broadcast_to(ours.mean(axis=0), ours.shape),
        "mean of ours over the images of the class": by_class,
        "the middle": np.broadcast_to(middle, ours.shape),
        "brightness": images[:, 0].numpy(),
    }


def share(found: np.ndarray) -> str:
    """A share with its 95 % interval. Source: Wilson 1927, doi:10.1080/01621459.1927.10502953."""
    bounds = binomtest(int(found.sum()), len(found)).proportion_ci(method="wilson")
    return f"{found.mean():.2f} ({bounds.low:.2f} to {bounds.high:.2f})"


def correlation(ours: Maps, others: Maps) -> float:
    """Mean over images of the rank correlation of two maps' pixels; NaN where a map is the same everywhere."""
    pairs = zip(ours.reshape(len(ours), -1), others.reshape(len(others), -1), strict=True)
    return float(np.mean([spearmanr(one, other).statistic for one, other in pairs if np.ptp(other)]))


if __name__ == "__main__":
    main()
