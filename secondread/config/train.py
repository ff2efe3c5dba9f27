"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass, fields

from secondread.config.require import require, require_seed

# `single`: this process; `ddp`: processes of `torch.distributed.run`, gradients averaged; `fsdp`: the same, weights and
# optimiser spread over them; `ray`: workers of Ray Train; `trainjob`: of Kubeflow Trainer
STRATEGIES = ("single", "ddp", "fsdp", "ray", "trainjob")
AUTO = "auto"
ACCELERATORS = (AUTO, "cpu", "gpu")
LEAST_MIXUP_ALPHA = 0.01


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained. The defaults are one recipe for any set, from a thousand small images up."""

    name: str = "secondread"  # of the model, as in the registry
    preset: str = AUTO  # architecture, from `secondread.model.vit.PRESETS`; `auto`: ours for the size of the images
    image_presentations: int = 90_000  # images shown in all, repeats counted: about 5 minutes of two cores at 96 px
    epochs: int = 0  # passes over the train split; 0: as many as `image_presentations` gives, at least `min_epochs`
    min_epochs: int = 10  # passes that even a large set gets
    batch_size: int = 64  # images a step, all processes together: a thousand images still give 15 an epoch
    learning_rate: float = 1e-3  # peak, of AdamW: what is usual for small ViTs; twice that was no better
    weight_decay: float = 0.05  # of AdamW, on matrices only: gains and biases have no reason to shrink
    # share of the steps in which the rate rises to its peak, as AdamW's first estimates are of few steps; half a cosine
    # follows
    warmup_share: float = 0.1
    label_smoothing: float = 0.1  # share of the target spread over all classes: labels mined from reports are noisy
    class_balance: float = 0.5  # exponent of inverse class frequency in the loss; 0: as they come, 1: all classes alike
    gradient_clip: float = (
        1.0  # norm that a step's gradient is cut to, so that no odd batch undoes many steps; 1e9 cuts none
    )
    move_share: float = 0.8  # share of images that are rotated, zoomed and shifted; the others look as they will in use
    rotate_degrees: float = 10.0  # degrees either way; more than a patient stands askew
    zoom_share: float = 0.15  # share of the size, either way: patients and distances to the detector differ
    shift_share: float = 0.06  # share of the side, either way: farther, and findings at the edge would leave it
    contrast_share: float = 0.25  # share, either way, of contrast and of gamma: detectors differ by more
    brightness_share: float = 0.1  # share of full white, either way: exposure differs, and says nothing of a finding
    sharpness_share: float = 0.0  # share of images that are blurred or sharpened; 0.5 where their quality varies
    sharpness_radius: float = 0.02  # share of the side: greatest deviation of that blur, drawn anew for each image
    noise_share: float = 0.0  # share of images with noise; 0.3 gives a steadier model that reads its own films worse
    noise_spread: float = 0.05  # share of full white: greatest deviation of that noise, drawn anew for each image
    erase_share: float = 0.25  # share of images with a covered rectangle: no answer may hang on a single place
    frame_share: float = 0.1  # share of images with a narrow black or white frame, of a scanner or a viewer
    mixup_alpha: float = 0.3  # of the Beta distribution that images are blended by, against learning by heart; 0: none
    out_of_distribution_share: float = 0.05  # share of val that the out-of-distribution threshold may turn away
    abstain_share: float = 0.10  # share of val, the least confident, that is below the threshold for abstention
    class_sensitivity: float = (
        0.9  # share of a class's patients that its own threshold finds, on average: one miss in ten, told as such
    )
    # images of the version that are looked at to tell the model card what in them gives the label away: seconds, and an
    # interval 0.05 wide; 0: not looked at
    audit_images: int = 2_000
    explain: bool = True  # write `explain.onnx` too, which says where the network looked: some seconds
    drop_path: float = 0.0  # share of images that skip the last block of the transformer; earlier blocks less
    ema_decay: float = 0.999  # share of the averaged weights kept each step; the average is judged and kept; 0: none
    early_stopping_epochs: int = 0  # epochs without a lower val loss after which it stops; 0: the schedule is run whole
    accumulate: int = 1  # parts a step's batch is computed in, one after another: the same batch in less memory
    compile: bool = False  # compile the network: minutes at the start, and a C++ compiler, for faster steps
    strategy: str = "single"  # who trains: one of `STRATEGIES`
    processes: int = 2  # on each machine, of all strategies but `single`; the fewest that share work
    nodes: int = 1  # machines, of the strategies that span several
    accelerator: str = AUTO  # `cpu`; `gpu`: CUDA or ROCm, and refused without; `auto`: the GPUs that there are
    precision: str = AUTO  # `32-true`, `bf16-mixed`, or `auto`: bf16 where the processor computes with it
    threads: int = 0  # of all processes together; 0: the CPUs of the container
    seed: int = 0  # of weights, order and augmentation
    checkpoint_minutes: float = 5.0  # minutes between checkpoints inside an epoch: as much as a kill may cost
    storage: str = ""  # folder on a volume for checkpoints, as a pod takes its output with it; empty: beside the output
    max_failures: int = 2  # dead workers that a run of several processes outlives; a third is no accident any more
    ray_address: str = ""  # of a running Ray cluster; empty: RAY_ADDRESS, or a cluster in this process

    def __post_init__(self) -> None:
        for name in ("image_presentations", "min_epochs", "batch_size", "processes", "nodes", "accumulate"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("learning_rate", "gradient_clip", "checkpoint_minutes"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        counts = ("epochs", "threads", "early_stopping_epochs", "max_failures")
        for name in (*counts, "weight_decay", "rotate_degrees"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, not {getattr(self, name)}.")
        # below, a share takes ever longer to draw, and is next to 0 or 1 all the same
        require(
            self.mixup_alpha == 0 or self.mixup_alpha >= LEAST_MIXUP_ALPHA,
            f"mixup_alpha must be 0, or at least {LEAST_MIXUP_ALPHA}, not {self.mixup_alpha}.",
        )
        require_seed("seed", self.seed)
        shares = [field.name for field in fields(self) if field.name.endswith("_share")]
        for name in (*shares, "sharpness_radius", "noise_spread", "label_smoothing", "class_balance"):
            require(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1, not {getattr(self, name)}.")
        require(
            0 < self.class_sensitivity < 1,
            f"class_sensitivity must be above 0 and below 1, not {self.class_sensitivity}.",
        )
        require(
            self.audit_images == 0 or self.audit_images >= 100,
            f"audit_images must be 0, or at least 100, not {self.audit_images}.",
        )
        for name in ("ema_decay", "drop_path"):
            require(0 <= getattr(self, name) < 1, f"{name} must be from 0 to below 1, not {getattr(self, name)}.")
        strategies = ", ".join(STRATEGIES)
        require(self.strategy in STRATEGIES, f"strategy must be one of {strategies}, not '{self.strategy}'.")
        accelerators = ", ".join(ACCELERATORS)
        require(
            self.accelerator in ACCELERATORS, f"accelerator must be one of {accelerators}, not '{self.accelerator}'."
        )
        precisions = (AUTO, "32-true", "bf16-mixed")
        require(
            self.precision in precisions, f"precision must be one of {', '.join(precisions)}, not '{self.precision}'."
        )
        alone = ("single", "ddp", "fsdp")
        require(
            self.nodes == 1 or self.strategy not in alone,
            f"strategy '{self.strategy}' trains on one machine, and nodes is {self.nodes}. Choose ray or trainjob.",
        )
        # batch normalisation cannot tell a spread from one image
        parts = self.world_size * self.accumulate
        require(
            parts == 1 or self.batch_size >= 2 * parts,
            f"batch_size {self.batch_size} leaves less than 2 images to each of {parts} parts "
            f"(processes x nodes x accumulate).",
        )

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return 1 if self.strategy == "single" else self.processes * self.nodes
