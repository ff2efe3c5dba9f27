"""`--engine` and `--ray-address`."""

import pytest

from secondread.cli.engine import chosen_engine
from secondread.config.engine import EngineConfig
from secondread.errors import InputError


def test_an_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_ENGINE", "ray")
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert chosen_engine("", "") == EngineConfig(engine="ray", ray_address="head:6379")
    assert chosen_engine("ray", "auto") == EngineConfig(engine="ray", ray_address="auto")
    assert chosen_engine("local", "").engine == "local"


def test_an_address_without_ray_is_refused() -> None:
    with pytest.raises(InputError, match="--ray-address head:6379 is of no use without --engine ray"):
        chosen_engine("", "head:6379")
