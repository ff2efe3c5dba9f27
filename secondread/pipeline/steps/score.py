"""Step: readings of very many images, by a model that somebody signed whom we trust."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondread.atomic import atomic_folder, sha256_bytes
from secondread.config.engine import EngineConfig
from secondread.config.environment import Environment
from secondread.config.mapping import from_mapping
from secondread.data.sources.unlabelled import identify_images
from secondread.errors import IntegrityError
from secondread.export.repository.layout import RepositoryModel
from secondread.export.repository.opened import opened_repository
from secondread.export.repository.signing import verify_folder
from secondread.pipeline.code import check_code
from secondread.pipeline.steps.begin import Settings, begin, split_engine
from secondread.pipeline.success import recorded, write_success
from secondread.serving.batch.deliver import PAGE_FILE, TABLE_FILE
from secondread.serving.batch.read import Scored, Scorer
from secondread.serving.batch.read import score as run_score


def score(
    source: str,
    output: str,
    *,
    name: str,
    which: str,
    repository: str = "",
    digest: str = "",
    settings: Settings,
    source_fingerprint: str = "",
    client_code: str = "",
) -> dict[str, Any]:
    """Read all images of a source.

    A run that was cut is gone on with by the next one of the same images and model, on a machine that keeps
    `SECONDREAD_HOME`.

    Args:
        source: URI of the images.
        output: folder to write: the table, and a page of what it comes to.
        name: of the model.
        which: version number or alias in the registry, where no repository is named.
        repository: URI of the model's signed Triton repository; empty: the registry is asked.
        digest: of the model when the run was asked for; refused if it is another now.
        settings: fields of `EngineConfig`.
        source_fingerprint: what the images were when the run was asked for; refused if they are others now.
        client_code: fingerprint of the library of whoever started the run; refused if this one is another.
    Returns:
        Counts as of `Scored`, with `unreadable_share`; `model`, and `figures` by name.
    """
    environment, folder = begin(), Path(output)
    with recorded("score", folder):
        from secondread.serving.batch.page import render_scored  # jinja2, which predicting does not need

        check_code(client_code)
        from_mapping(EngineConfig, settings, stage="score")
        engine, _ = split_engine(settings, environment)
        work = environment.home / "scoring" / sha256_bytes(f"{source} {name}".encode())[:16]
        with (
            _trusted(repository, name, which, digest, environment) as (scorer, uri),
            atomic_folder(folder, marker=TABLE_FILE) as aside,
        ):
            scored = run_score(source, scorer, aside / TABLE_FILE, engine=engine, work=work)
            if source_fingerprint and identify_images(source)[1] != source_fingerprint:
                raise IntegrityError(f"{source} changed since the run was asked for. Start it again.")
            (aside / PAGE_FILE).write_text(render_scored(scored, scorer.model), encoding="utf-8")
        facts = _facts(scored, scorer.model, uri)
        write_success(folder, step="score", inputs={}, facts=facts)
    return facts


@contextmanager
def _trusted(
    repository: str, name: str, which: str, digest: str, environment: Environment
) -> Iterator[tuple[Scorer, str]]:
    """The model that is meant, verified, and the URI of its repository."""
    if not repository:
        # MLflow takes seconds to import, which a run that names the repository should not pay
        from secondread.tracking.registry import Registry

        repository = Registry(environment.mlflow_tracking_uri).get(name, which).storage_uri
    with opened_repository(repository, environment) as folder:
        verify_folder(folder, environment.signing.trusted)
        scorer = Scorer.of_repository(folder, name)
        if digest and scorer.model.digest != digest:
            raise IntegrityError(f"{repository} holds another model by now than was asked for. Start the run again.")
        yield scorer, repository


def _facts(scored: Scored, model: RepositoryModel, uri: str) -> dict[str, Any]:
    counts = scored.to_json()
    del counts["output"]  # a place that was left
    readable = scored.images - scored.unreadable
    figures = {
        "images": scored.images,
        "unreadable": scored.unreadable,
        "unreadable_share": scored.unreadable_share,
        "out_of_distribution": scored.out_of_distribution,
        **{f"label.{label}": count for label, count in scored.labels.items()},
    }
    if readable:
        figures["out_of_distribution_share"] = scored.out_of_distribution / readable
        figures |= {f"urgency_share.{urgency}": count / readable for urgency, count in scored.urgency.items()}
    return {
        **counts,
        "unreadable_share": scored.unreadable_share,
        "model": {"name": model.name, "version": model.version, "digest": model.digest, "repository": uri},
        "figures": figures,
    }
