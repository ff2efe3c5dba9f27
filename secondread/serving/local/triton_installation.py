"""Where the server from PyPI lies on this machine, and the environment variables that it is started with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from secondread.errors import DependencyError
from secondread.huge_pages import huge_pages

ENVIRONMENT = ".venv-triton"


@dataclass(frozen=True)
class TritonInstallation:
    """Where the server from PyPI lies.

    Attributes:
        environment: virtual environment.
        packages: its site-packages.
    """

    environment: Path
    packages: Path

    @classmethod
    def find(cls, environment: Path | None = None) -> TritonInstallation:
        """Find the server.

        Args:
            environment: virtual environment; by default `.venv-triton` here, else beside the checkout's code.
        Raises:
            DependencyError: it is not installed.
        """
        here, checkout = Path.cwd() / ENVIRONMENT, Path(__file__).parents[3] / ENVIRONMENT
        for candidate in [environment] if environment else [here, checkout]:
            for packages in candidate.glob("lib/python3.*/site-packages"):
                found = cls(candidate.absolute(), packages.absolute())
                if found.server.is_file() and found.backend.is_file():
                    return found
        raise DependencyError(
            f"the local Triton is not installed ({environment or here} is missing or not complete): "
            "run scripts/setup-triton.sh from the checkout, which makes it in half a minute."
        )

    @property
    def server(self) -> Path:
        """The program."""
        return self.packages / "pytriton/tritonserver/bin/tritonserver"

    @property
    def backend(self) -> Path:
        """The backend for ONNX, compiled from `triton_backend/onnxruntime.cc`."""
        return self.environment / "backends/onnxruntime/libtriton_onnxruntime.so"

    def variables(self, threads: int) -> dict[str, str]:
        """Environment variables of the server's process.

        Args:
            threads: of one run of a graph.
        """
        kept = {key: os.environ[key] for key in ("HOME", "LANG", "PATH", "TMPDIR", "TZ") if key in os.environ}
        return {
            **kept,
            "LD_LIBRARY_PATH": str(self.packages / "nvidia_pytriton.libs"),
            "SECONDREAD_TRITON_THREADS": str(threads),
            **huge_pages({}),
        }
