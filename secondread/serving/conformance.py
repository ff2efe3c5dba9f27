"""Whether a server answers as the inference API says, and with the model that it should."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secondread.errors import InputError
from secondread.serving.load.setting import encoded_images
from secondread.serving.predict import ask_server
from secondread.serving.protocol import contract

_ALIKE = 1e-6  # of probabilities, whoever asks and however
_MOST_IMAGES = 2


@dataclass(frozen=True)
class Expected:
    """Who must answer.

    Attributes:
        name: of the model.
        version: of the registry, and of Triton.
        digest: of the model.
    """

    name: str
    version: int
    digest: str


def faults(url: str, grpc_url: str, expected: Expected, *, images: Path | None = None, token: str = "") -> list[str]:
    """Ask a server over REST and over gRPC, alone and in a batch, rightly and wrongly.

    Args:
        url: http://host:port.
        grpc_url: host:port; empty: REST alone.
        expected: who must answer.
        images: folder of images to ask with; phantoms by default.
        token: that the server wants; empty for none.
    Returns:
        What is not as it should be, a sentence each; none where all is.
    Raises:
        DependencyError: nobody answers.
    """
    found: list[str] = []
    with tempfile.TemporaryDirectory() as work:
        paths = _written(encoded_images(str(images) if images else ""), Path(work))
        no_image = Path(work) / "no-image.jpg"
        no_image.write_bytes(b"this is no image")
        probabilities = []
        for address in [url, *([f"grpc://{grpc_url}"] if grpc_url else [])]:
            alone = [_ask(address, [path], expected.name, token) for path in paths]
            together = _ask(address, paths, expected.name, token)
            for answer in [*alone, together]:
                found += _of_answer(answer, expected)
            single = np.concatenate([each.tensors["probabilities"] for each in alone])
            probabilities += [single, together.tensors["probabilities"]]
            found += _refusals(address, no_image, paths[0], expected.name, token)
        if any(np.abs(each - probabilities[0]).max() > _ALIKE for each in probabilities):
            found.append("the same images are read differently over REST and gRPC, or alone and in a batch")
    return list(dict.fromkeys(found))


def _written(images: Sequence[bytes], folder: Path) -> list[Path]:
    paths = [folder / f"{number}.img" for number in range(min(len(images), _MOST_IMAGES))]
    for path, data in zip(paths, images, strict=False):
        path.write_bytes(data)
    return paths


def _ask(address: str, paths: Sequence[Path], name: str, token: str) -> contract.Answer:
    ((_, answer),) = ask_server(address, paths, name=name, token=token, test=True)
    return answer


def _of_answer(answer: contract.Answer, expected: Expected) -> Iterator[str]:
    said = (answer.parameters.get("model_version"), answer.parameters.get("digest"))
    if said != (str(expected.version), expected.digest):
        yield f"version {said[0]} (digest {str(said[1])[:12]}) answers in the place of version {expected.version}"
    if missing := ", ".join(sorted(set(contract.DATATYPES) - set(answer.tensors))):
        yield f"the answer lacks {missing}"
        return
    probabilities = answer.tensors["probabilities"]
    if not np.allclose(probabilities.sum(axis=1), 1, atol=1e-4) or not np.isfinite(probabilities).all():
        yield "probabilities are none: they do not sum to 1"
    elif not np.allclose(probabilities.max(axis=1), answer.tensors["confidence"], atol=_ALIKE):
        yield "confidence is not the largest probability"


def _refusals(address: str, no_image: Path, image: Path, name: str, token: str) -> Iterator[str]:
    """What has to be refused, and is not."""
    for what, path, asked in (("what is no image", no_image, name), ("a model that is not there", image, f"{name}-x")):
        try:
            _ask(address, [path], asked, token)
        except InputError:
            continue
        yield f"{what} is answered"
