"""What the load test tells locust's process, and the images that its users send."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from secondread.config.loadtest import LoadTestConfig
from secondread.config.mapping import from_mapping
from secondread.data.sources.phantom.source import PhantomSource

VARIABLE = "SECONDREAD_LOADTEST"
SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")
ANSWER_SECONDS = 10.0  # patience of a user, thirty times what is asked of an answer; then the request has failed
_PHANTOMS = "phantom://demo?images=18&size=512"  # two of each class, at the size of a reduced film
# What is sent of a folder, and held in memory: as many as differ enough, and as much as a server holds of requests.
_MOST_IMAGES = 256
_MOST_BYTES = 128 << 20


@dataclass(frozen=True)
class LoadSetting:
    """What the users do.

    Attributes:
        config: whom they ask, and how often; REST's address is locust's own `--host`.
        images: folder of the images to send, in turn; phantoms when empty.
        times: file for the times of all requests; none when empty, and then locust's options say how many users.
        token: that the server wants; empty for none.
    """

    config: LoadTestConfig = dataclasses.field(default_factory=LoadTestConfig)
    images: str = ""
    times: str = ""
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
        return from_mapping(cls, json.loads(os.environ.get(VARIABLE, "{}")))


def image_files(folder: Path) -> list[Path]:
    """The images in a folder and below, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


@lru_cache
def encoded_images(folder: str) -> tuple[bytes, ...]:
    """The images to send, as they are in their files; of very many, some from everywhere in the folder.

    Args:
        folder: of the images; phantoms when empty.
    """
    if not folder:
        return tuple(image.read() for image in PhantomSource(_PHANTOMS).images())
    files = image_files(Path(folder))
    chosen = files[:: math.ceil(len(files) / _MOST_IMAGES)]
    sizes = accumulate(path.stat().st_size for path in chosen)
    fitting = [path for path, size in zip(chosen, sizes, strict=True) if size <= _MOST_BYTES]
    return tuple(path.read_bytes() for path in fitting or chosen[:1])
