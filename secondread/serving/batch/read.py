"""Readings of very many images, without a server: a table as `secondread.serving.batch.table` has it."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from secondread.atomic import atomic_file, cannot_write, resumable_folder, sha256_file
from secondread.config.engine import EngineConfig
from secondread.data.engines.engine import open_engine
from secondread.data.engines.journal import Journal, resume_key, work_through
from secondread.data.pixels.preprocess import preprocess
from secondread.data.sources.source import SourceImage
from secondread.data.sources.unlabelled import open_images
from secondread.errors import ImageError, InputError, IntegrityError, TooLargeError
from secondread.export.repository.layout import GRAPH_FILE, RepositoryModel, read_repository
from secondread.model.folder import ModelConfigFile, ModelFolder
from secondread.model.session import GraphSession
from secondread.serving.batch.table import PROBABILITY, columns_of, write_table
from secondread.serving.protocol import contract
from secondread.serving.protocol.interpret import interpret

BATCH_IMAGES = 256  # read at a time: enough that handing them out costs nothing, and little is lost with a worker
_RUN_IMAGES = 32  # of one run of the graph, as a server's largest
_READINGS = "readings.parquet"


@dataclass(frozen=True)
class Scored:
    """What a run of many images gave.

    Attributes:
        images: in the table.
        unreadable: of these.
        out_of_distribution: of those that could be read.
        labels: of those that could be read, by class.
        urgency: the same, by urgency; all that are out of distribution are `unknown`.
        errors: of those that could not be read, by reason; what differs from file to file is left out of it.
        output: the table.
    """

    images: int
    unreadable: int
    out_of_distribution: int
    labels: Mapping[str, int]
    urgency: Mapping[str, int]
    errors: Mapping[str, int]
    output: str

    @property
    def unreadable_share(self) -> float:
        """Of all images, 0 to 1."""
        return self.unreadable / self.images

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def line(self) -> str:
        """For people."""
        labels = ", ".join(f"{count:,} {label}" for label, count in self.labels.items())
        return (
            f"{self.images:,} images: {labels or 'none'}; {self.out_of_distribution:,} out of distribution, "
            f"{self.unreadable:,} unreadable\n{self.output}"
        )


@dataclass(frozen=True)
class Scorer:
    """A graph and what it means.

    Attributes:
        graph: ONNX file.
        model: that it is of.
        sha256: of the graph, hex; a worker refuses another.
    """

    graph: Path
    model: RepositoryModel
    sha256: str

    @classmethod
    def of_folder(cls, folder: Path) -> Scorer:
        """Of a model folder, as `train` or `quantize` wrote it.

        Raises:
            IntegrityError: it is none.
        """
        model = ModelFolder.open(folder)
        graph, named = model.graph_path(), RepositoryModel(model.config.name, "", model.digest(), model.config)
        return cls(graph, named, sha256_file(graph))

    @classmethod
    def of_repository(cls, folder: Path, name: str) -> Scorer:
        """Of a Triton repository, as `register` wrote it.

        Raises:
            IntegrityError: it holds no such model.
        """
        model = read_repository(folder, name)
        graph = folder / name / model.version / GRAPH_FILE
        return cls(graph, model, sha256_file(graph))


def score(
    place: str,
    scorer: Scorer,
    output: Path,
    *,
    engine: EngineConfig = EngineConfig(),  # noqa: B008 - frozen
    work: Path | None = None,
) -> Scored:
    """Read all images of a place. A run that was cut is gone on with by the next one like it.

    Args:
        place: a folder, a list in CSV, or the URI of a source: see `secondread.data.sources.unlabelled`.
        scorer: the model.
        output: Parquet file to write; it appears whole or not at all.
        engine: what does the work; it changes nothing that is written.
        work: folder for what is done so far, which is removed in the end; by default beside the output. Name one where
            the next run writes elsewhere.
    Raises:
        InputError: there is no image, or the output cannot be written.
        IntegrityError: the graph was replaced meanwhile.
        DependencyError: a store or the engine is not there, or no room is left.
    """
    if output.is_dir():
        raise InputError(f"{output} is a folder. Name the file to write.")
    opened, model = open_images(place), scorer.model
    images = opened.images
    key = resume_key("batch", opened.state, model.digest, model.version)
    batches = [images[start : start + BATCH_IMAGES] for start in range(0, len(images), BATCH_IMAGES)]
    columns: dict[str, list[Any]] = {name: [] for name in columns_of(model.config)}
    work = work or output.with_name(f".{output.name}.work")
    # readings are right, whatever keeps the table from its place
    kept = resumable_folder(work, marker=_READINGS, key=key, kept_after=(InputError,))
    with _removed(work), kept as folder, open_engine(engine) as running:
        documents = work_through(
            running,
            partial(_read, graph=str(scorer.graph.resolve()), sha256=scorer.sha256, config=model.config.to_dict()),
            batches,
            Journal(folder),
            finish=lambda _, found: found,
            is_whole=lambda batch, found: set(found) == set(columns) and len(found["path"]) == len(batch),
            description="reading images",
        )
        for document in documents:
            for name, values in columns.items():
                values += document[name]
        write_table(columns, model, folder / _READINGS)
        _put(folder / _READINGS, output)
    outside = columns["out_of_distribution"]
    return Scored(
        images=len(images),
        unreadable=columns["label"].count(None),
        out_of_distribution=outside.count(True),
        labels=_counted(columns["label"]),
        urgency=_counted(columns["urgency"]),
        errors=_counted([_reason(error) or None for error in columns["error"]]),
        output=str(output),
    )


def _counted(values: Sequence[str | None]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value is not None).items()))


def _reason(error: str) -> str:
    """What kind of error it is: without numbers, and what stands in brackets or quotes."""
    return re.sub(r"\d+", "#", re.sub(r"\s*(\(.*\)|'[^']*')", "", error))


def _read(images: Sequence[SourceImage], *, graph: str, sha256: str, config: dict[str, Any]) -> dict[str, list[Any]]:
    """What is said of some images, by column. Runs in a worker, which may be on another machine."""
    model = ModelConfigFile.from_dict(config)
    rows: list[dict[str, Any]] = [
        dict.fromkeys(columns_of(model)) | {"path": image.name, "image_id": "", "error": ""} for image in images
    ]
    pixels, readable = [], []
    for row, image in zip(rows, images, strict=True):
        try:
            data = image.read()
            row["image_id"] = contract.image_id(data)
            pixels.append(preprocess(data, model.preprocessing))
            readable.append(row)
        except (ImageError, TooLargeError, OSError) as error:
            row["error"] = (error.strerror or "cannot be read") if isinstance(error, OSError) else str(error)
    if readable:
        # as many threads as images are read in already; each run alone is the slower, all together are the faster
        outputs = _session(graph, sha256).run(np.stack(pixels)[:, np.newaxis], batch_size=_RUN_IMAGES)
        reading = interpret(outputs.probabilities, outputs.ood_score, model)
        for index, row in enumerate(readable):
            row |= {
                "label": reading.labels[index],
                "confidence": float(reading.confidence[index]),
                "urgency": reading.urgency[index],
                "out_of_distribution": bool(reading.out_of_distribution[index]),
                "ood_score": float(outputs.ood_score[index]),
            }
            for name, share in zip(model.taxonomy.names, outputs.probabilities[index], strict=True):
                row[f"{PROBABILITY}{name}"] = float(share)
    return {name: [row[name] for row in rows] for name in columns_of(model)}


@lru_cache(maxsize=2)
def _session(graph: str, sha256: str) -> GraphSession:
    session = GraphSession(graph, threads=1)
    if sha256_file(graph) != sha256:  # asked afterwards, so that what was opened is what was asked about
        raise IntegrityError(f"{graph} was replaced since the run began. Start it again.")
    return session


def _put(made: Path, output: Path) -> None:
    """Copy the table to its place, whole."""
    try:
        with atomic_file(output) as aside:
            shutil.copyfile(made, aside)
    except OSError as error:
        raise cannot_write(output, error) from error


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """The folder is gone when all has ended well."""
    yield
    shutil.rmtree(folder, ignore_errors=True)
