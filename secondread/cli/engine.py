"""`--engine` and `--ray-address`: what does the work of ingest, preprocess and batch."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.config.require import require

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        help="local: threads of this process. ray: worker processes of Ray Data, on this machine or a running cluster; "
        "its machines need the source and the output under the same paths. Both write the same. By default what "
        "SECONDREAD_ENGINE says, else local.",
    ),
]
RayAddress = Annotated[
    str,
    typer.Option(
        "--ray-address",
        help="host:port of a running Ray cluster that this machine is part of, or auto; RAY_ADDRESS does the same. "
        "Without it, one is started here and ended with the run.",
    ),
]


def chosen_engine(name: str, address: str) -> EngineConfig:
    """The engine of a command's two options."""
    environment = Environment.read()
    name = name or environment.engine
    require(not address or name == "ray", f"--ray-address {address} is of no use without --engine ray.")
    return EngineConfig(engine=name, ray_address=address or environment.ray_address)
