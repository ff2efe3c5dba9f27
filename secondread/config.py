"""Typed settings, one frozen dataclass per stage, passed explicitly; `Environment.read` reads the environment once.

Every field states its unit and why that default. Bad values are refused when the object is made.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from secondread.errors import InputError

T = TypeVar("T")


def require(condition: bool, message: str) -> None:
    """Refuse a setting.

    Raises:
        InputError: with `message`, when `condition` does not hold.
    """
    if not condition:
        raise InputError(message)


def require_seed(name: str, seed: int) -> None:
    """Refuse a seed that some generator would not take; the narrowest takes 32 bits.

    Raises:
        InputError: it is out of range.
    """
    require(0 <= seed < 2**32, f"{name} must be from 0 to {2**32 - 1}, not {seed}.")


def from_mapping(kind: type[T], values: Mapping[str, Any]) -> T:
    """Make a configuration from a mapping, such as a parsed JSON document.

    Raises:
        InputError: a key is no field of that configuration, or a value is of another type or refused.
    """
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    require(not unknown, f"{kind.__name__} has no setting {', '.join(unknown)}. It has {', '.join(sorted(known))}.")
    hints = get_type_hints(kind)
    return kind(**{name: _typed(value, hints[name], f"{kind.__name__}.{name}") for name, value in values.items()})


def _typed(value: Any, hint: Any, name: str) -> Any:
    """The value in the field's own type: JSON has lists for tuples, and a pipeline's parameters have 12.0 for 12.

    Raises:
        InputError: the value is of another type.
    """
    if get_origin(hint) is tuple:
        require(isinstance(value, list | tuple), f"{name} must be a list, not {value!r}.")
        return tuple(_typed(item, get_args(hint)[0], name) for item in value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (int, float, str, bool):
        right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
        require(right, f"{name} must be of type {hint.__name__}, not {value!r}.")
    return value


@dataclass(frozen=True)
class S3Settings:
    """How to reach S3, or what speaks its API; the names that other tools read too."""

    endpoint: str  # SECONDREAD_S3_ENDPOINT, else AWS_ENDPOINT_URL: http:// or https://; Amazon's own by default
    access_key: str  # AWS_ACCESS_KEY_ID; empty: nobody in particular
    secret_key: str = dataclasses.field(repr=False)  # AWS_SECRET_ACCESS_KEY
    session_token: str = dataclasses.field(repr=False)  # AWS_SESSION_TOKEN, with keys that are lent for some hours
    region: str  # AWS_REGION, else AWS_DEFAULT_REGION; signatures hold it, and most servers of one's own expect this

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> S3Settings:
        """Read the environment."""
        amazon = variables.get("AWS_ENDPOINT_URL", "https://s3.amazonaws.com")
        return cls(
            endpoint=variables.get("SECONDREAD_S3_ENDPOINT", amazon),
            access_key=variables.get("AWS_ACCESS_KEY_ID", ""),
            secret_key=variables.get("AWS_SECRET_ACCESS_KEY", ""),
            session_token=variables.get("AWS_SESSION_TOKEN", ""),
            region=variables.get("AWS_REGION", variables.get("AWS_DEFAULT_REGION", "us-east-1")),
        )


@dataclass(frozen=True)
class SwiftSettings:
    """How to reach OpenStack Swift, by the names that OpenStack's own tools read. The first that is whole is used."""

    storage_url: str  # OS_STORAGE_URL: of the account, with
    token: str = dataclasses.field(repr=False)  # OS_AUTH_TOKEN
    auth_url: str  # OS_AUTH_URL: Keystone's, with
    credential_id: str  # OS_APPLICATION_CREDENTIAL_ID and
    credential_secret: str = dataclasses.field(repr=False)  # OS_APPLICATION_CREDENTIAL_SECRET
    region: str  # OS_REGION_NAME: which object store of Keystone's catalogue; empty: the first
    v1_auth_url: str  # ST_AUTH: Swift's own users, where there is no Keystone, with
    v1_user: str  # ST_USER and
    v1_key: str = dataclasses.field(repr=False)  # ST_KEY

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> SwiftSettings:
        """Read the environment."""
        return cls(
            storage_url=variables.get("OS_STORAGE_URL", ""),
            token=variables.get("OS_AUTH_TOKEN", ""),
            auth_url=variables.get("OS_AUTH_URL", ""),
            credential_id=variables.get("OS_APPLICATION_CREDENTIAL_ID", ""),
            credential_secret=variables.get("OS_APPLICATION_CREDENTIAL_SECRET", ""),
            region=variables.get("OS_REGION_NAME", ""),
            v1_auth_url=variables.get("ST_AUTH", ""),
            v1_user=variables.get("ST_USER", ""),
            v1_key=variables.get("ST_KEY", ""),
        )

    @property
    def may_renew(self) -> bool:
        """Whether a token that ran out can be replaced."""
        return not (self.storage_url and self.token)


@dataclass(frozen=True)
class Environment:
    """What comes from environment variables, all of it."""

    home: Path  # SECONDREAD_HOME: everything written at run time; `var` so that a laptop needs no setting
    mlflow_tracking_uri: str  # MLFLOW_TRACKING_URI: a database or server; SQLite under `home` by default
    catalogue_uri: str  # SECONDREAD_CATALOGUE_URI: of PostgreSQL where several people share one; SQLite under `home`
    patient_key_file: Path  # SECONDREAD_PATIENT_KEY_FILE: secret of the keyed patient hash, made on first use
    log_json: bool  # SECONDREAD_LOG=json: ECS documents, as a log collector wants them; plain lines for people
    revision: str  # SECONDREAD_REVISION: git commit that an image was built from; empty where nobody said
    pipeline_run: str  # SECONDREAD_PIPELINE_RUN: the local run that a step belongs to; set by the runner itself
    s3: S3Settings  # where s3:// is
    swift: SwiftSettings  # where swift:// is

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read the environment.

        Args:
            variables: instead of the process environment, for tests.
        """
        variables = os.environ if variables is None else variables
        home = Path(variables.get("SECONDREAD_HOME", "var")).resolve()
        return cls(
            home=home,
            mlflow_tracking_uri=variables.get("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow/mlflow.db"),
            catalogue_uri=variables.get("SECONDREAD_CATALOGUE_URI", f"sqlite:///{home}/catalogue/catalogue.db"),
            patient_key_file=Path(variables.get("SECONDREAD_PATIENT_KEY_FILE", str(home / "keys" / "patient-1.key"))),
            log_json=variables.get("SECONDREAD_LOG", "") == "json",
            revision=variables.get("SECONDREAD_REVISION", "").removeprefix("unknown"),  # an image built without git
            pipeline_run=variables.get("SECONDREAD_PIPELINE_RUN", ""),
            s3=S3Settings.read(variables),
            swift=SwiftSettings.read(variables),
        )


@dataclass(frozen=True)
class IngestConfig:
    """How a source becomes a stored folder of images and a manifest."""

    source: str  # URI: a folder, a .npz, or phantom://...
    public_ids: bool = False  # patient ids are published already: keep them, else they leave only as a keyed hash
    modality: str = ""  # `cxr` or `oct` for every image, where the source does not say
    # file names in the record and the log are replaced by the start of the image's hash; for sources whose file names
    # tell who the patient is
    hide_names: bool = False
    min_side_pixels: int = 16  # pixels of the shorter side; the least that a model may be trained at
    min_contrast: int = 8  # grey levels between 1st and 99th percentile; noise of an exposure without a patient has 5
    # correlation of two films' details from which on they are one picture: films of different people reach 0.91, a film
    # that was saved again, halved or made brighter keeps 0.96; above 1: near duplicates are not looked for
    near_duplicate_similarity: float = 0.95
    # nearly the same picture under two labels: both are left out, since no one can know which label is right, and a
    # model would be taught and judged by a contradiction; they are listed, so that a physician can settle it. False:
    # both stay, in one cluster
    leave_out_contradictions: bool = True

    def __post_init__(self) -> None:
        require(bool(self.source), "the source is empty: name a folder, a .npz file or phantom://demo.")
        require(self.min_side_pixels >= 1, f"min_side_pixels must be at least 1, not {self.min_side_pixels}.")
        require(0 <= self.min_contrast <= 255, f"min_contrast must be from 0 to 255, not {self.min_contrast}.")
        require(
            self.near_duplicate_similarity >= 0.5,
            f"near_duplicate_similarity must be at least 0.5, not {self.near_duplicate_similarity}: "
            "below it films of different people are one.",
        )


@dataclass(frozen=True)
class AuditConfig:
    """What the audit looks at, and what it calls how bad."""

    sample_images: int = 4_000  # images that shortcuts are measured on, drawn at random; the interval is then 0.03 wide
    folds: int = 5  # of the cross-validation, by group
    min_groups_per_class: int = 10  # groups; a class with fewer is left out of the shortcuts: two a fold say nothing
    resamples: int = 500  # bootstrap draws of an interval
    level: float = 0.95  # share of the draws inside an interval
    # of the way from chance to certainty, that a trait surely goes (the interval's lower end): a quarter is more than a
    # fair set has by luck of who came when, and enough for a network to take it up instead of the finding
    serious_from: float = 0.25
    worth_a_look_from: float = 0.10  # likewise; below it, it is put down to illness: the sick are older than the well
    shown_images: int = 4  # pictures a class, with a shortcut seen in pixels
    fail_on: str = ""  # `serious` or `worth a look`: the gate refuses what is as bad, or worse; empty: nothing
    seed: int = 0  # of sample, folds, trees and draws

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.folds >= 2, f"folds must be at least 2, not {self.folds}.")
        require(
            self.min_groups_per_class >= self.folds,
            f"min_groups_per_class must be at least folds ({self.folds}), not {self.min_groups_per_class}.",
        )
        require(self.sample_images >= 100, f"sample_images must be at least 100, not {self.sample_images}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        limits = ("", "worth a look", "serious")
        require(self.fail_on in limits, f"fail_on must be 'serious' or 'worth a look', not '{self.fail_on}'.")
        ordered = 0 <= self.worth_a_look_from <= self.serious_from <= 1
        require(ordered, "worth_a_look_from and serious_from must be from 0 to 1, the first not above the second.")
        require(self.shown_images >= 0, f"shown_images must not be negative, not {self.shown_images}.")


@dataclass(frozen=True)
class PreprocessConfig:
    """How stored images become a dataset version."""

    image_size: int = 96  # pixels, both sides; findings of these sets survive it and two cores can train on it
    split_seed: int = 0  # picks one of the possible splits
    final_eval_share: float = 0.15  # share of groups set aside for simulated live traffic
    final_eval_min_images: int = 2_000  # below this many images none is set aside: too few to spare
    min_groups_per_class: int = 3  # groups; one each for train, val and test, else a class cannot be split

    def __post_init__(self) -> None:
        require_seed("split_seed", self.split_seed)
        require(16 <= self.image_size <= 1024, f"image_size must be from 16 to 1024 pixels, not {self.image_size}.")
        require(0 <= self.final_eval_share < 0.5, f"final_eval_share must be in [0, 0.5), not {self.final_eval_share}.")
        require(self.min_groups_per_class >= 3, "min_groups_per_class must be at least 3: train, val and test.")


@dataclass(frozen=True)
class AugmentConfig:
    """How a retrain set draws from the images that were set aside as live traffic."""

    label: str  # class whose groups move
    # share, in (0, 1], of the groups that hold the class; most stay, to be simulated traffic for the next model too
    fraction: float = 0.1
    seed: int = 0  # picks which groups

    def __post_init__(self) -> None:
        require(bool(self.label), "the label is empty: name the class whose images are to be moved.")
        require(0 < self.fraction <= 1, f"fraction must be in (0, 1], not {self.fraction}.")
        require_seed("seed", self.seed)


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


@dataclass(frozen=True)
class EvaluateConfig:
    """How a model is evaluated."""

    batch_size: int = 32  # images a run of the graph; larger gains nothing on a CPU
    resamples: int = 1_000  # bootstrap draws; bounds then move by about 0.001 from seed to seed
    level: float = 0.95  # share of the draws inside an interval; the custom of the field
    seed: int = 0  # of the draws
    shown_images: int = 12  # pictures in each of the report's two galleries; two rows on a desk, six on a phone

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.batch_size > 0, f"batch_size must be above 0, not {self.batch_size}.")
        require(self.resamples >= 100, f"resamples must be at least 100 for a 95 % interval, not {self.resamples}.")
        require(0.5 <= self.level < 1, f"level must be in [0.5, 1), not {self.level}.")
        require(self.shown_images >= 0, f"shown_images must not be negative, not {self.shown_images}.")


@dataclass(frozen=True)
class GateConfig:
    """What a model's figures must reach before it goes on; read from a `gate.yaml`. None: not asked for."""

    accuracy_above: float | None = 0.70  # share of images, exclusive: the seed project's gate
    auroc_macro_above: float | None = None  # exclusive; ask for it where classes are rare and accuracy says little
    balanced_accuracy_above: float | None = None  # mean recall, exclusive
    ece_below: float | None = None  # expected calibration error, exclusive
    images_at_least: int = 1  # images, inclusive; raise it so that a handful of lucky images decides nothing

    def __post_init__(self) -> None:
        for field in fields(self):
            limit = getattr(self, field.name)
            if field.name.endswith(("_above", "_below")):
                plain = isinstance(limit, int | float) and not isinstance(limit, bool)
                number = limit is None or (plain and 0 <= limit <= 1)
                require(number, f"gate: {field.name} must be a share from 0 to 1 or null, not {limit!r}.")
        whole = type(self.images_at_least) is int and self.images_at_least >= 1
        require(whole, f"gate: images_at_least must be a whole number from 1, not {self.images_at_least!r}.")


@dataclass(frozen=True)
class QuantizeConfig:
    """How INT8 graphs are made, compared and chosen."""

    calibration_images: int = 256  # train images, as many of each class as there are; ranges settle by then
    accuracy_points: float = 0.5  # percentage points of val accuracy that a faster graph may cost
    latency_gain: float = 0.10  # share of fp32's latency that it must save, else the simpler graph stays
    batch_sizes: tuple[int, ...] = (1, 8)  # images a request, timed; the first decides: a physician waits for one
    timed_runs: int = 40  # runs of each graph and batch size, taken in turns; the median is kept
    threads: int = 0  # of each session; 0: the CPUs of the container
    seed: int = 0  # picks the calibration images

    def __post_init__(self) -> None:
        require_seed("seed", self.seed)
        require(self.calibration_images > 0, f"calibration_images must be above 0, not {self.calibration_images}.")
        require(self.accuracy_points >= 0, f"accuracy_points must not be negative, not {self.accuracy_points}.")
        require(0 <= self.latency_gain < 1, f"latency_gain must be in [0, 1), not {self.latency_gain}.")
        sizes = bool(self.batch_sizes) and all(size > 0 for size in self.batch_sizes)
        require(sizes, f"batch_sizes must be numbers above 0, not {self.batch_sizes}.")
        require(self.timed_runs > 0, f"timed_runs must be above 0, not {self.timed_runs}.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")


@dataclass(frozen=True)
class RegisterConfig:
    """Under which name, and where, a model is registered."""

    name: str = "secondread"  # registry model and Triton model; a site may run one for CXR and one for OCT
    # folder that gets <name>/<digest>/; empty: `<home>/models` by hand, and in a pipeline the step's own output, which
    # Kubeflow uploads
    root: str = ""

    def __post_init__(self) -> None:
        valid = self.name.replace("-", "").replace("_", "").isalnum() and self.name.isascii()
        require(valid, f"model name '{self.name}' may hold letters, digits, '-' and '_' only.")
        require(
            "://" not in self.root, f"root '{self.root}' is a URI, and models are written to folders. Name a folder."
        )


@dataclass(frozen=True)
class ServeConfig:
    """How the transformer answers, on a laptop behind `secondread serve` and in a predictor pod."""

    name: str = "secondread"  # model, as in the path of the inference API and in the repository
    host: str = "127.0.0.1"  # address to listen on; only this machine, unless someone decides to open it
    http_port: int = 8080  # REST; KServe's port. 0 picks a free one
    grpc_port: int = 8081  # gRPC; KServe's port. 0 picks a free one
    threads: int = 0  # of decoding and of one run of the graph; 0: the CPUs of the container
    max_in_flight: int = 32  # requests; above this the answer is 503 at once, since a queue only makes all of them late
    max_request_bytes: int = 64 << 20  # bytes of one REST request; the largest films have 30 MB, as base64 40
    max_grpc_message_bytes: int = 32 << 20  # bytes of one gRPC request; each call holds one before it can be refused
    max_bytes_in_flight: int = 128 << 20  # bytes of all requests that came and are not answered; two of the largest
    body_timeout_seconds: float = 30.0  # for a REST request's bytes to come; 40 MB need a line of 11 Mbit/s
    max_connection_seconds: float = 300.0  # age at which gRPC clients are asked to connect anew; ends stalled ones
    predictor_timeout_seconds: float = 10.0  # for one answer of Triton; the physician's patience, not the machine's
    start_timeout_seconds: float = 60.0  # for Triton to load the model; 3 s on an idle machine with two cores
    drain_seconds: float = 10.0  # for requests in flight when told to stop; below Kubernetes' 30

    def __post_init__(self) -> None:
        for field in ("http_port", "grpc_port"):
            port = getattr(self, field)
            require(0 <= port <= 65535, f"{field} must be from 0 (any free one) to 65535, not {port}.")
        same = self.http_port and self.http_port == self.grpc_port
        require(not same, f"http_port and grpc_port are both {self.http_port}: give them different ones.")
        require(self.threads >= 0, f"threads must not be negative, not {self.threads}.")
        for name in ("max_in_flight", "max_request_bytes", "max_grpc_message_bytes"):
            require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("predictor", "start", "body"):
            seconds = getattr(self, f"{name}_timeout_seconds")
            require(seconds > 0, f"{name}_timeout_seconds must be above 0, not {seconds}.")
        require(
            self.max_connection_seconds > 0,
            f"max_connection_seconds must be above 0, not {self.max_connection_seconds}.",
        )
        largest = max(self.max_request_bytes, self.max_grpc_message_bytes)
        require(
            self.max_bytes_in_flight >= largest,
            f"max_bytes_in_flight {self.max_bytes_in_flight} is below one request of {largest} bytes: raise it.",
        )
        require(self.drain_seconds >= 0, f"drain_seconds must not be negative, not {self.drain_seconds}.")


@dataclass(frozen=True)
class LoadTestConfig:
    """Load on a running server, and what it must bear."""

    url: str = "http://127.0.0.1:8080"  # REST endpoint; empty: no REST users
    grpc_url: str = "127.0.0.1:8081"  # host:port of gRPC; empty: no gRPC users
    name: str = "secondread"  # model to ask
    users: int = 4  # callers at the same time, REST and gRPC by turns; a reading room, not a flood
    seconds: float = 20.0  # of measured load; at 20 answers a second four requests lie above P99
    wait_seconds: float = 0.05  # of each user between an answer and the next request
    p99_below_ms: float = 300.0  # milliseconds; the seed's gate
    failures_at_most: float = 0.01  # share of requests; the seed's gate

    def __post_init__(self) -> None:
        require(bool(self.url or self.grpc_url), "the load test has neither a REST nor a gRPC address: give one.")
        require(self.users > 0, f"users must be above 0, not {self.users}.")
        require(self.seconds > 0, f"seconds must be above 0, not {self.seconds}.")
        require(self.wait_seconds >= 0, f"wait_seconds must not be negative, not {self.wait_seconds}.")
        require(self.p99_below_ms > 0, f"p99_below_ms must be above 0, not {self.p99_below_ms}.")
        require(
            0 <= self.failures_at_most <= 1, f"failures_at_most is a share from 0 to 1, not {self.failures_at_most}."
        )
