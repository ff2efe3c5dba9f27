"""The model registry: which versions there are, what they are made of, and which one is the champion.

Tags of a version: `digest` and `storage_uri` (what rollout deploys, nothing else), `dataset_version`, `graph`,
`synthetic`, `code_fingerprint`, `git_revision`, `pipeline_run`, `gate.<figure>`, and `registered_by` with
`registered_because`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from secondread.errors import InputError, IntegrityError
from secondread.export.repository import verify_repository, write_repository
from secondread.model.folder import ModelFolder
from secondread.tracking.origin import ORIGIN_FILE, Origin
from secondread.tracking.runs import is_missing, mlflow_errors, open_client

CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registry.

    Attributes:
        name: of the model.
        version: the registry's number, which is Triton's too; from 1.
        digest: SHA-256, hex, of what is served.
        storage_uri: the Triton model repository of exactly this version.
        alias: `champion`, `challenger` or empty.
        run_id: of the MLflow run that trained it; empty if none.
    """

    name: str
    version: int
    digest: str
    storage_uri: str
    alias: str
    run_id: str


class Registry:
    """The model registry of one MLflow.

    Args:
        uri: of MLflow, a database or a server.
    Raises:
        DependencyError: MLflow does not answer.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client: MlflowClient = open_client(uri)

    def register(
        self,
        model: ModelFolder,
        *,
        name: str,
        root: Path,
        tags: Mapping[str, str],
        origin: Origin = Origin(),  # noqa: B008 - frozen
        root_uri: str = "",
    ) -> RegisteredVersion:
        """Register a model and write its Triton repository under its digest.

        The first version of a name becomes `champion`, a later one `challenger`. A model that is registered already
        keeps its version and its tags; what an interrupted call left undone is done, and a damaged repository mended.

        Args:
            model: what to register.
            name: in the registry and in Triton.
            root: folder that gets `<name>/<digest>/`.
            tags: facts about the version, as text.
            origin: the MLflow run that trained it.
            root_uri: what others reach `root` by, where it is not this machine's path.
        Raises:
            InputError: MLflow refuses the version, or the repository cannot be written.
            DependencyError: MLflow does not answer.
        """
        digest = model.digest()
        storage_uri = f"{root_uri.rstrip('/') or root.resolve()}/{name}/{digest}"
        with mlflow_errors(self._client):
            version = self._with_digest(name, digest) or self._create(
                name, self._source(storage_uri, origin), origin, {"digest": digest, **tags}
            )
        number = str(version.version)
        verify_repository(write_repository(model, root, name=name, version=int(number)))
        with mlflow_errors(self._client):
            self._client.set_model_version_tag(name, number, "storage_uri", storage_uri)
            self._give_alias(name, number)
        return self.get(name, number)

    def _create(self, name: str, source: str, origin: Origin, tags: Mapping[str, str]) -> ModelVersion:
        self._ensure_model(name)
        return self._client.create_model_version(name, source=source, run_id=origin.run_id or None, tags=dict(tags))

    def _source(self, storage_uri: str, origin: Origin) -> str:
        """What MLflow is told that a version is made of. A server refuses paths, which may be another machine's."""
        if not self._uri.startswith(("http://", "https://")) or "://" in storage_uri:
            return storage_uri
        if not origin.run_id:
            raise InputError(
                f"this model does not say which MLflow run trained it (no {ORIGIN_FILE} in its folder), and a tracking "
                "server takes no folder of this machine instead. Train it with MLFLOW_TRACKING_URI set to that server."
            )
        return f"runs:/{origin.run_id}/{origin.artifacts}"

    def get(self, name: str, which: str = "") -> RegisteredVersion:
        """A version by number or alias.

        Args:
            name: of the model.
            which: a number or an alias; by default the champion.
        Raises:
            InputError: there is no such model or version.
            IntegrityError: its registration was never completed.
        """
        with mlflow_errors(self._client):
            try:
                if which.isdigit():
                    found = self._client.get_model_version(name, which)
                else:
                    found = self._client.get_model_version_by_alias(name, which or CHAMPION)
            except MlflowException as error:
                if not is_missing(error):
                    raise
                raise InputError(
                    f"the registry has no model '{name}' with version or alias '{which or CHAMPION}'. "
                    "Run `secondread pipeline run train` first, or name another."
                ) from error
            return self._to_registered(found)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All complete versions of a name, oldest first."""
        with mlflow_errors(self._client):
            found = sorted(self._search(name), key=lambda version: int(version.version))
            return [self._to_registered(version) for version in found if "storage_uri" in version.tags]

    def _to_registered(self, version: ModelVersion) -> RegisteredVersion:
        if not {"digest", "storage_uri"} <= set(version.tags):
            raise IntegrityError(
                f"version {version.version} of '{version.name}' is incomplete. Register the model again."
            )
        aliases = self._client.get_registered_model(version.name).aliases
        held = sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))
        return RegisteredVersion(
            name=version.name,
            version=int(version.version),
            digest=version.tags["digest"],
            storage_uri=version.tags["storage_uri"],
            alias=held[0] if held else "",
            run_id=version.run_id or "",
        )

    def _ensure_model(self, name: str) -> None:
        try:
            self._client.get_registered_model(name)
        except MlflowException as error:
            if not is_missing(error):
                raise
            self._client.create_registered_model(name, description="A second reader. No medical device.")

    def _search(self, name: str) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{name}'"))

    def _with_digest(self, name: str, digest: str) -> ModelVersion | None:
        return next((version for version in self._search(name) if version.tags.get("digest") == digest), None)

    def _give_alias(self, name: str, version: str) -> None:
        aliases = {alias: str(number) for alias, number in self._client.get_registered_model(name).aliases.items()}
        if version in aliases.values():
            return
        self._client.set_registered_model_alias(name, CHALLENGER if CHAMPION in aliases else CHAMPION, version)
