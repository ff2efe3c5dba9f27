"""What does the work: checked before any starts."""

import pytest

from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.errors import InputError


def test_an_engine_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="engine must be local or ray, not 'spark'"):
        EngineConfig(engine="spark")


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_what_ray_data_cannot_work_through_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"Ray Data cannot work through.*on a machine of the cluster"):
        EngineConfig(engine="ray", ray_address=address)
    assert EngineConfig(ray_address=address).engine == "local"


def test_the_environment_may_choose() -> None:
    assert Environment.read({}).engine == "local"
    environment = Environment.read({"SECONDREAD_ENGINE": "ray", "RAY_ADDRESS": "head:6379"})
    assert (environment.engine, environment.ray_address) == ("ray", "head:6379")
