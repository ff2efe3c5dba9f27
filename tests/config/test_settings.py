"""Settings: the environment is read once, and what cannot be is refused by name."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from secondread.cli.main import app
from secondread.config.environment import Environment
from secondread.config.evaluate import EvaluateConfig
from secondread.config.gate import GateConfig
from secondread.config.mapping import from_mapping
from secondread.config.preprocess import PreprocessConfig
from secondread.config.pretrain import PretrainConfig
from secondread.config.quantize import QuantizeConfig
from secondread.config.register import RegisterConfig
from secondread.config.settings import parse_settings
from secondread.config.train import TrainConfig
from secondread.errors import InputError


def test_nothing_configured_means_files_below_var() -> None:
    environment = Environment.read({})
    assert environment.home == Path("var").resolve()
    assert environment.mlflow_tracking_uri == f"sqlite:///{environment.home}/mlflow/mlflow.db"
    assert not environment.log_json


def test_configured() -> None:
    environment = Environment.read({"MLFLOW_TRACKING_URI": "http://mlflow:8000", "SECONDREAD_LOG": "json"})
    assert environment.mlflow_tracking_uri == "http://mlflow:8000"
    assert environment.log_json


def test_an_unknown_setting_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"^preprocess has no setting imagesize\. It has .*image_size"):
        from_mapping(PreprocessConfig, {"imagesize": 64})


def test_numbers_of_a_pipeline_and_lists_of_json_take_the_fields_type() -> None:
    """Kubeflow passes 32 as 32.0."""
    assert from_mapping(PreprocessConfig, {"image_size": 32.0}) == PreprocessConfig(image_size=32)
    assert isinstance(from_mapping(PreprocessConfig, {"image_size": 32.0}).image_size, int)
    assert from_mapping(QuantizeConfig, {"batch_sizes": [1.0, 4]}).batch_sizes == (1, 4)
    assert from_mapping(GateConfig, {"accuracy_above": 0}).accuracy_above == 0


@pytest.mark.parametrize("value", ["32", 32.5, True, None, [32]])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"^preprocess\.image_size must be of type int, not "):
        from_mapping(PreprocessConfig, {"image_size": value})


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "1e400"])
def test_a_number_that_is_not_finite_is_refused_in_every_configuration(text: str) -> None:
    """JSON, as Python reads it, has them; what is written of a run could not hold them."""
    said = r" must be a finite number, not (-?inf|nan)\.$"
    with pytest.raises(InputError, match=rf"^train\.gradient_clip{said}"):
        from_mapping(TrainConfig, parse_settings([f"train.gradient_clip={text}"])["train"])
    with pytest.raises(InputError, match=rf"^pretrain\.learning_rate{said}"):
        from_mapping(PretrainConfig, {"learning_rate": float(text)})
    with pytest.raises(InputError, match=rf"^latency_p99_ms_below{said}"):
        from_mapping(GateConfig, {"latency_p99_ms_below": float(text)}, stage="")


def test_a_setting_is_named_as_it_was_given() -> None:
    """By `--set train.seed=-1`, or by `images_at_least: true` in a policy, which has nothing before its settings."""
    with pytest.raises(InputError, match=r"^train\.seed must be from 0 to 4294967295, not -1"):
        from_mapping(TrainConfig, {"name": "reader", "seed": -1})
    with pytest.raises(InputError, match=r"^model name '\.\./x'"):
        from_mapping(RegisterConfig, {"name": "../x"})
    with pytest.raises(InputError, match=r"^images_at_least must be of type int"):
        from_mapping(GateConfig, {"images_at_least": True}, stage="")
    with pytest.raises(InputError, match=r"^this has no setting images\. It has accuracy_above, "):
        from_mapping(GateConfig, {"images": 3}, stage="")


def test_what_is_typed_after_set_comes_back_in_the_error(tmp_path: Path) -> None:
    command = ["pipeline", "run", "data", "--data", "phantom://demo", "--publish-to", str(tmp_path), "--set"]
    for given, said in {
        "preprocess.image_size=big": "preprocess.image_size must be of type int, not 'big'.",
        "preprocess.image_size=4": "preprocess.image_size must be from 16 to 1024 pixels, not 4.",
        "audit.fail_on=[]": "audit.fail_on must be of type str, not [].",
        "ingest.engine=3": "engine must be of type str, not 3.",
    }.items():
        told = CliRunner().invoke(app, [*command, given])
        assert isinstance(told.exception, InputError)
        assert str(told.exception) == said


def test_a_bad_value_is_refused() -> None:
    with pytest.raises(InputError, match="image_size must be from 16 to 1024 pixels, not 4"):
        PreprocessConfig(image_size=4)
    with pytest.raises(InputError, match="contrast must be none or clahe, not 'more'"):
        from_mapping(PreprocessConfig, {"contrast": "more"})
    with pytest.raises(InputError, match=r"model name '\.\./x'"):
        RegisterConfig(name="../x")


@pytest.mark.parametrize("kind", [TrainConfig, EvaluateConfig, QuantizeConfig])
@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_a_generator_would_not_take_is_refused(kind: type, seed: int) -> None:
    with pytest.raises(InputError, match=f"seed must be from 0 to 4294967295, not {seed}"):
        kind(seed=seed)


def test_true_is_no_limit_of_a_gate() -> None:
    with pytest.raises(InputError, match="accuracy_above must be a share from 0 to 1 or null, not True"):
        from_mapping(GateConfig, {"accuracy_above": True})
    with pytest.raises(InputError, match="images_at_least must be of type int, not True"):
        from_mapping(GateConfig, {"images_at_least": True})


@pytest.mark.parametrize("name", ["fixed_specificity", "fixed_sensitivity"])
@pytest.mark.parametrize("share", [0.0, 1.1])
def test_an_operating_point_is_a_share(name: str, share: float) -> None:
    with pytest.raises(InputError, match=f"{name} must be above 0 and at most 1, not {share}"):
        EvaluateConfig(**{name: share})


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_threshold_can_find_every_image(share: float) -> None:
    with pytest.raises(InputError, match=f"class_sensitivity must be above 0 and below 1, not {share}"):
        TrainConfig(class_sensitivity=share)
