"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass, fields

from secondread.config.require import require, require_seed


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The defaults are one recipe for any set, from a thousand small images up."""

    name: str = "secondread"  # of the model, as in the registry
    preset: str = "vit-small"  # architecture, from `secondread.model.vit.PRESETS`
    image_presentations: int = 30_000  # images shown in all, repeats counted: what two idle cores do in 100 s
    epochs: int = 0  # passes over the train split; 0: as many as `image_presentations` gives, at least `min_epochs`
    min_epochs: int = 10  # passes that even a large set gets
    batch_size: int = 64  # images a step, all processes together
    learning_rate: float = 1e-3  # peak, of AdamW
    weight_decay: float = 0.05  # of AdamW, on matrices only: gains and biases have no reason to shrink
    warmup_share: float = 0.1  # share of the steps in which the rate rises to its peak; half a cosine follows
    label_smoothing: float = 0.1  # share of the target spread over all classes: labels mined from reports are noisy
    class_balance: float = 0.5  # exponent of inverse class frequency in the loss; 0: as they come, 1: all classes alike
    gradient_clip: float = 1.0  # norm that a step's gradient is cut to
    rotate_degrees: float = 10.0  # degrees either way; more than a patient stands askew
    zoom_share: float = 0.15  # share of the size, either way
    shift_share: float = 0.06  # share of the side, either way
    contrast_share: float = 0.25  # share, either way, of contrast and of gamma: detectors differ by more
    brightness_share: float = 0.1  # share of full white, either way
    erase_share: float = 0.25  # share of images with a covered rectangle
    mixup_alpha: float = 0.0  # of the Beta distribution that images are blended by; 0: none
    out_of_distribution_share: float = 0.05  # share of val that the out-of-distribution threshold may turn away
    abstain_share: float = 0.10  # share of val, the least confident, that is below the threshold for abstention
    strategy: str = "single"  # `single`: this process; `ddp`: `processes` of them, gradients averaged
    processes: int = 2  # of ddp; the seed's number of devices
    precision: str = "auto"  # `32-true`, `bf16-mixed`, or `auto`: bf16 where the processor computes with it
    threads: int = 0  # of all processes together; 0: the CPUs of the container
    seed: int = 0  # of weights, order and augmentation

    def __post_init__(self) -> None:
        for name in ("image_presentations", "min_epochs", "batch_size", "processes"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("learning_rate", "gradient_clip"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("epochs", "weight_decay", "rotate_degrees", "mixup_alpha", "threads"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
        require_seed("seed", self.seed)
        shares = [field.name for field in fields(self) if field.name.endswith("_share")]
        for name in (*shares, "label_smoothing", "class_balance"):
            require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1, not {getattr(self, name)}.")
        require(self.strategy in ("single", "ddp"), f"strategy must be single or ddp, not '{self.strategy}'.")
        precisions = ("auto", "32-true", "bf16-mixed")
        require(
            self.precision in precisions, f"precision must be one of {', '.join(precisions)}, not '{self.precision}'."
        )
        fair = self.strategy == "single" or self.batch_size >= 2 * self.processes
        require(fair, f"batch_size {self.batch_size} leaves less than 2 images to each of {self.processes} processes.")
