"""A hundred thousand JPEG films of phantoms, drawn once and kept: what the road from files to a version is timed on.

A phantom of 512 pixels takes 25 ms to draw, an hour for all of them. Here each is drawn at 128 pixels, enlarged, and
given a grain of its own: another picture for every image, as much to decode as a phantom drawn at 512 pixels, and as
much to tell apart for whoever looks for near duplicates, since that is done at 64 pixels.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image

from secondread.atomic import atomic_file
from secondread.cpus import cpu_limit
from secondread.data.sources.phantom.plan import Case, plan
from secondread.data.sources.phantom.render import render
from secondread.data.sources.phantom.spec import PhantomSpec
from secondread.errors import InputError
from secondread.logging import get_logger

MOST = 125_100  # images; as many as the datasets that this project grew from
SIDE = 512  # pixels
JPEG_QUALITY = 90

_DRAWN_SIDE = 128  # pixels
_GRAIN = 11  # grey levels to either side, evenly drawn: files as large as those of phantoms drawn at full size
_ROOM = 190_000  # bytes a film: 85 KB, as much again for the copy that ingest makes, and what comes of it
_RECIPE = 1  # raise it whenever a film changes
_LIST = "manifest.csv"
_COLUMNS = ("path", "label", "patient_id", "modality", "source", "sex", "age", "view")

log = get_logger(__name__)


def film_folder(home: Path, images: int, *, most: int = MOST) -> Path:
    """A folder with that many films and their manifest.csv, drawn or linked where it is not there yet.

    Args:
        home: folder that the films are kept in.
        images: how many.
        most: how many are drawn; a smaller set consists of the first of them.
    Raises:
        InputError: there is too little room on the disk.
    """
    every = _drawn(home, most)
    if images >= most:
        return every
    folder = every.with_name(f"{every.name}-first-{images}")
    if not (folder / _LIST).is_file():
        cases = _cases(images)
        for case in cases:
            link = folder / _path(case)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            os.link(every / _path(case), link)
        _write_list(cases, folder / _LIST)
    return folder


def _drawn(home: Path, images: int) -> Path:
    """All films. A run that was cut goes on where it was; manifest.csv is written last."""
    recipe = hashlib.sha256(f"{_RECIPE} {PhantomSpec(images=images).fingerprint()}".encode()).hexdigest()
    folder = home / f"scale-films-{recipe[:12]}"
    if (folder / _LIST).is_file():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(home).free, _ROOM * images
    if free < needed:
        raise InputError(
            f"{home} has {free / 1e9:.0f} GB left, but {images} films and their copies need {needed / 1e9:.0f}. "
            "Free some, or set SECONDREAD_HOME to another disk."
        )
    cases = _cases(images)
    for label in {case.label for case in cases}:
        (folder / label).mkdir(parents=True, exist_ok=True)
    log.info("drawing %d films of %d px into %s, once: about five minutes on two idle cores", images, SIDE, folder)
    with multiprocessing.get_context("fork").Pool(cpu_limit()) as pool:
        drawn = pool.imap_unordered(partial(_draw, folder), cases, chunksize=100)
        for number, _ in enumerate(drawn, start=1):
            if number % 5_000 == 0:
                log.info("drawing films: %d of %d", number, images)
    _write_list(cases, folder / _LIST)
    return folder


def _cases(images: int) -> list[Case]:
    return list(plan(PhantomSpec(images=images)))


def _path(case: Case) -> str:
    return f"{case.label}/{case.patient:06d}-{case.image}.jpg"


def _draw(folder: Path, case: Case) -> None:
    path = folder / _path(case)
    if path.exists():
        return
    aside = path.with_suffix(".partial")
    aside.write_bytes(film(case))
    os.replace(aside, path)


def film(case: Case) -> bytes:
    """A case as a grey JPEG of 512 pixels."""
    drawn = Image.fromarray(render(case, size=_DRAWN_SIDE))
    picture = np.asarray(drawn.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(np.int16)
    rng = np.random.default_rng([case.seed, case.patient, case.image])
    picture += rng.integers(-_GRAIN, _GRAIN, (SIDE, SIDE), np.int8, endpoint=True)
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(grey[:, :, None], quality=JPEG_QUALITY, colorspace="GRAY"))


def _write_list(cases: list[Case], path: Path) -> None:
    with atomic_file(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        writer.writerows(_rows(cases))


def _rows(cases: list[Case]) -> Iterator[tuple[str, ...]]:
    for case in cases:
        patient, age = f"phantom-{case.patient:06d}", f"{case.age:.0f}"
        yield (_path(case), case.label, patient, case.modality, "phantom", case.sex, age, case.view)
