"""Prints what setup.cfg asks for: the base requirements and those of the extras named.

An image installs them in a layer of its own, before the code, so that a change of code rebuilds seconds and not
minutes. `pip install .[serve]` would need the code first. Standard library only: it runs before anything is installed.

    python3 requirements.py setup.cfg serve
"""

from __future__ import annotations

import configparser
import sys


def requirements(path: str, extras: list[str]) -> list[str]:
    """Requirement lines of a setup.cfg, sorted and without repeats.

    Args:
        path: of the setup.cfg.
        extras: names under `[options.extras_require]`; what an extra takes in from another comes with it.
    Raises:
        KeyError: the file has no such extra.
    """
    config = configparser.ConfigParser()
    with open(path, encoding="utf-8") as file:
        config.read_file(file)
    blocks = [config["options"]["install_requires"]]
    blocks += [config["options.extras_require"][extra] for extra in extras]
    lines = (line.strip() for block in blocks for line in block.splitlines())
    return sorted({line for line in lines if line and not line.startswith("#")})


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(sys.argv[1], sys.argv[2:])) + "\n")
