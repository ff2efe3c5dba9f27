"""Where a model looked: a film with its map over it, and the strongest places for machines.

From a model folder, without any server, or from a running server: both say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from secondread.atomic import atomic_file
from secondread.errors import InputError
from secondread.evaluation.saliency import Region, colours, overlay, strongest_regions
from secondread.export.repository.layout import EXPLAIN_SUFFIX, RepositoryModel
from secondread.export.repository.triton_config import MAX_EXPLAINED
from secondread.model.folder import ModelFolder
from secondread.model.session import SALIENCY, GraphSession, open_graph
from secondread.serving.predict import ask_server, pixels_of, read_files
from secondread.serving.protocol import contract
from secondread.serving.protocol.interpret import interpret, map_of_read_class
from secondread.serving.protocol.reading import Reading, print_readings, readings_of

ByteImage = npt.NDArray[np.uint8]

_SIDE = 512  # pixels that a film is shown with, at least
_MARGIN = 12
_SCALE_WIDTH = 16
_TEXT_HEIGHT = 16  # of a line
_TEXT_SIZE = 13
_DISCLAIMER = "where the network looked, which is no proof of what it learned"


@dataclass(frozen=True)
class Explained:
    """A reading, and where the model looked for it.

    Attributes:
        reading: of the image.
        pixels: uint8 (size, size), as the model reads them, 0 black.
        saliency: float32 (size, size), in [0, 1].
        regions: the strongest places of it.
    """

    reading: Reading
    pixels: ByteImage
    saliency: npt.NDArray[np.float32]
    regions: tuple[Region, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON: the reading, the side of the map in pixels, and its strongest places."""
        regions = [asdict(region) for region in self.regions]
        return {**self.reading.to_json(), "saliency_size": len(self.saliency), "regions": regions}


def explain_with_model(model_dir: Path, images: Sequence[Path]) -> list[Explained]:
    """Explain images with a model folder; no server, no torch.

    Args:
        model_dir: as `train` or `quantize` wrote it.
        images: JPEG, PNG or DICOM files, at least one.
    Raises:
        IntegrityError: it is no model folder.
        InputError: the model has no graph that explains; a file is missing, or is no image; the message names it.
    """
    folder = ModelFolder.open(model_dir)
    graph = folder.explain_path()
    if graph is None:
        raise InputError(f"{model_dir} has no graph that explains: train it with train.explain=true.")
    model = RepositoryModel(folder.config.name + EXPLAIN_SUFFIX, "", folder.digest(), folder.config)
    data = read_files(images)
    pixels = pixels_of(images, data, folder.config.preprocessing)
    found, read = GraphSession(graph).explain(pixels), open_graph(folder).run(pixels)
    reading = interpret(read.probabilities, read.ood_score, folder.config)
    readings = readings_of(images, contract.answer(data, reading, model), model=folder.config.name)
    told = {"explained": found.outputs.probabilities, "read": read.probabilities}
    maps = map_of_read_class(found.saliency, **told)
    return [_explained(*each) for each in zip(readings, pixels[:, 0], maps, strict=True)]


def explain_with_server(
    url: str, images: Sequence[Path], *, name: str = "secondread", token: str = ""
) -> list[Explained]:
    """Explain images with a running server, over V2.

    Args:
        url: `http://host:port`, `https://host:port` or `grpc://host:port`.
        images: JPEG, PNG or DICOM files, at least one; sent as many at a time as one request may hold.
        name: of the model that is explained.
        token: that the server wants; empty for none.
    Raises:
        InputError: a file is missing, the server refuses an image, or has no such model.
        DependencyError: nobody answers there, or not now.
    """
    explained = []
    for paths, answer in ask_server(url, images, name=name + EXPLAIN_SUFFIX, token=token, most=MAX_EXPLAINED):
        pixels, maps = (answer.tensors[output] for output in (contract.PIXELS, SALIENCY))
        readings = readings_of(paths, answer, model=name)
        explained += [_explained(*each) for each in zip(readings, pixels, maps, strict=True)]
    return explained


def write_picture(explained: Explained, file: Path) -> None:
    """Write the film, the film with its map over it, and the scale, side by side, as PNG.

    Args:
        explained: what to show.
        file: to write; whole or not at all.
    Raises:
        InputError: it cannot be written.
    """
    times = -(-_SIDE // len(explained.pixels))
    film, mapped = (
        Image.fromarray(each).resize((len(each) * times,) * 2, Image.Resampling.BICUBIC).convert("RGB")
        for each in (explained.pixels, overlay(explained.pixels, explained.saliency))
    )
    side = film.width
    width = 2 * side + _SCALE_WIDTH + 60 + 3 * _MARGIN
    picture = Image.new("RGB", (width, side + 2 * _MARGIN + 2 * _TEXT_HEIGHT + 8), "white")
    picture.paste(film, (_MARGIN, _MARGIN))
    picture.paste(mapped, (2 * _MARGIN + side, _MARGIN))
    _draw_scale(picture, 3 * _MARGIN + 2 * side, side)
    draw = ImageDraw.Draw(picture)
    reading = explained.reading
    says = f"{reading.title} ({reading.label}), probability {reading.confidence:.2f}"
    if reading.out_of_distribution:
        says += "; unlike what the model was trained for"
    lines = [f"{says}. The map shows {_DISCLAIMER}.", reading.notice]
    for number, line in enumerate(lines):
        draw.text((_MARGIN, side + _MARGIN + 6 + number * _TEXT_HEIGHT), line, "black", font=_font())
    with atomic_file(file) as aside:
        picture.save(aside, "PNG")


def print_explained(explained: Sequence[Explained], pictures: Sequence[Path]) -> None:
    """Show to a person what was said, where the strongest places are, and where the pictures lie."""
    print_readings([each.reading for each in explained])
    console = Console(highlight=False, soft_wrap=True)
    for each, picture in zip(explained, pictures, strict=True):
        size = len(each.saliency)
        console.print(str(picture), style="bold", markup=False)
        for region in each.regions:
            across, down = (
                f"{100 * low / size:.0f} to {100 * high / size:.0f} %"
                for low, high in ((region.left, region.right), (region.top, region.bottom))
            )
            place = f"{across} from the left, {down} from the top: {region.share:.0%} of the map"
            console.print(f"  {place}", markup=False)
        if not each.regions:
            console.print("  no place speaks for the class", markup=False)
    console.print(f"The map shows {_DISCLAIMER}.", markup=False)


def _draw_scale(picture: Image.Image, left: int, height: int) -> None:
    """The colours from the strongest place, above, to none."""
    column = colours(np.linspace(1, 0, height)).round().astype(np.uint8)
    picture.paste(Image.fromarray(np.repeat(column[:, None], _SCALE_WIDTH, axis=1)), (left, _MARGIN))
    draw = ImageDraw.Draw(picture)
    for share in (1.0, 0.5, 0.0):
        place = _MARGIN + round((1 - share) * (height - _TEXT_HEIGHT))
        draw.text((left + _SCALE_WIDTH + 6, place), f"{share:g}", "black", font=_font())


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_TEXT_SIZE)


def _explained(reading: Reading, pixels: ByteImage, saliency: npt.NDArray[np.float32]) -> Explained:
    return Explained(reading, pixels, saliency, strongest_regions(saliency))
