"""Settings of a step: what does the work is told apart from what is done, and a text is read as it was meant."""

import pytest

from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.errors import InputError
from secondread.pipeline.steps.begin import split_engine, stated


def test_the_engine_is_taken_out_of_a_steps_settings() -> None:
    engine, rest = split_engine({"engine": "ray", "ray_address": "head:6379", "image_size": 64}, Environment.read({}))
    assert engine == EngineConfig(engine="ray", ray_address="head:6379")
    assert rest == {"image_size": 64}


def test_without_one_the_environment_chooses() -> None:
    environment = Environment.read({"SECONDREAD_ENGINE": "ray", "RAY_ADDRESS": "auto"})
    assert split_engine({}, environment) == (EngineConfig(engine="ray", ray_address="auto"), {})


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="not 'spark'"):
        split_engine({"engine": "spark"}, Environment.read({}))


def test_settings_as_a_text_keep_what_is_not_asked_for() -> None:
    assert stated('{"triggers": {"latency_ms_above": null}}', "policy") == {"triggers": {"latency_ms_above": None}}
    assert stated("", "policy") == {}


@pytest.mark.parametrize("text", ["deadline_seconds: 3", "[1]", "3"])
def test_a_text_that_holds_no_settings_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^policy must be"):
        stated(text, "policy")
