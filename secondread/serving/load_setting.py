"""What the load test tells locust's process, and the images that its users send."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from secondread.data.sources.phantom.source import PhantomSource

VARIABLE = "SECONDREAD_LOADTEST"
SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")
_PHANTOMS = "phantom://demo?images=18&size=512"  # two of each class, at the size of a reduced film


@dataclass(frozen=True)
class LoadSetting:
    """What the users do.

    Attributes:
        grpc_url: host:port of gRPC; REST's address is locust's own `--host`.
        name: of the model.
        images: folder of the images to send, in turn; phantoms when empty.
        wait_seconds: of each user between an answer and the next request.
        results: JSON file for the times of all requests; none when empty.
        token: that the server wants; empty for none.
    """

    grpc_url: str = "127.0.0.1:8081"
    name: str = "secondread"
    images: str = ""
    wait_seconds: float = 0.05
    results: str = ""
    token: str = dataclasses.field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Of every request."""
        return {"authorization": f"Bearer {self.token}"} if self.token else {}

    def to_environment(self) -> dict[str, str]:
        """As an environment variable for locust's process."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> LoadSetting:
        """What `to_environment` said; the defaults when nobody said anything."""
        return cls(**json.loads(os.environ.get(VARIABLE, "{}")))


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and below, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


@lru_cache
def encoded_images(folder: str) -> tuple[bytes, ...]:
    """The images to send, as they are in their files.

    Args:
        folder: of the images; phantoms when empty.
    """
    if folder:
        return tuple(path.read_bytes() for path in image_files(Path(folder)))
    return tuple(image.read() for image in PhantomSource(_PHANTOMS).images())
