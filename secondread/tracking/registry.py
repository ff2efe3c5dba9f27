"""The model registry: which versions there are, what they are made of, and which one is the champion.

Tags of a version: `digest` and `storage_uri` (what rollout deploys, nothing else), `dataset_version`,
`code_fingerprint`, `pipeline_run`, `gate.<figure>`, and `registered_by` with `registered_because`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from secondread.errors import InputError, IntegrityError
from secondread.export.repository import write_repository
from secondread.model.folder import ModelFolder
from secondread.tracking.runs import open_client

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
        self._client: MlflowClient = open_client(uri)

    def register(
        self,
        model: ModelFolder,
        *,
        name: str,
        root: Path,
        tags: Mapping[str, str],
        run_id: str = "",
        root_uri: str = "",
    ) -> RegisteredVersion:
        """Register a model and write its Triton repository under its digest.

        The first version of a name becomes `champion`, a later one `challenger`. A model that is registered already
        keeps its version; what an interrupted call left undone is done.

        Args:
            model: what to register.
            name: in the registry and in Triton.
            root: folder that gets `<name>/<digest>/`.
            tags: facts about the version, as text.
            run_id: the MLflow run that trained it.
            root_uri: what others reach `root` by, where it is not this machine's path.
        """
        digest = model.digest()
        self._ensure_model(name)
        storage_uri = f"{root_uri.rstrip('/') or root.resolve()}/{name}/{digest}"
        found = self._with_digest(name, digest)
        version = found or self._client.create_model_version(
            name, source=storage_uri, run_id=run_id or None, tags={"digest": digest, **tags}
        )
        write_repository(model, root, name=name, version=int(version.version))
        self._client.set_model_version_tag(name, str(version.version), "storage_uri", storage_uri)
        self._give_alias(name, str(version.version))
        return self.get(name, str(version.version))

    def get(self, name: str, which: str = "") -> RegisteredVersion:
        """A version by number or alias.

        Args:
            name: of the model.
            which: a number or an alias; by default the champion.
        Raises:
            InputError: there is no such model or version.
            IntegrityError: its registration was never completed.
        """
        try:
            if which.isdigit():
                found = self._client.get_model_version(name, which)
            else:
                found = self._client.get_model_version_by_alias(name, which or CHAMPION)
        except MlflowException as error:
            raise InputError(
                f"the registry has no model '{name}' with version or alias '{which or CHAMPION}'. "
                "Run `secondread pipeline run train` first, or name another."
            ) from error
        return self._to_registered(found)

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All complete versions of a name, oldest first."""
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
        except MlflowException:
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
