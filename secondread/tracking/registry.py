"""The model registry: which versions there are, what they are made of, and which one is the champion.

Tags of a version: `digest` and `storage_uri` (what rollout deploys, nothing else), `signed_by` (of which key, by its
fingerprint), `signature.inputs` and `signature.outputs` (of the graph), `dataset_version`, `graph`, `synthetic`,
`code_fingerprint`, `git_revision`, `pipeline_run`, `gate.passed`, `gate.<figure>`, `gate.<line>` and `gate_policy` (see
`gate_tags`), `model_card`, and `registered_by` with `registered_because`. Of each promotion and rollback `event.<time>`
says by whom, why and from which version.

A version comes into being with one call, when its repository lies signed where `storage_uri` says. `repository_version`
is the number that the repository has it under; where another process took that number meanwhile, the version is not
there, for anybody who asks this module, until the repository has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from secondread.config.environment import Environment
from secondread.errors import InputError, IntegrityError
from secondread.export.repository.deliver import deliver, repository_uri
from secondread.export.repository.signing_key import signing_key
from secondread.model.folder import ModelFolder
from secondread.tracking.aliases import CHALLENGER, CHAMPION, Aliases
from secondread.tracking.events import EVENT
from secondread.tracking.gate_tags import PASSED
from secondread.tracking.model_file import MODEL_FILE, model_file, model_signature, signature_tags
from secondread.tracking.origin import ORIGIN_FILE, Origin
from secondread.tracking.runs import is_missing, mlflow_errors, open_client
from secondread.tracking.verdict import complete, judge_anew

_REPOSITORY_VERSION = "repository_version"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of the registry.

    Attributes:
        name: of the model.
        version: the registry's number, which is Triton's too; from 1.
        digest: SHA-256, hex, of what is served.
        storage_uri: the Triton model repository of exactly this version.
        alias: `champion`, `challenger`, `champion-1` (a rollback target) or empty.
        run_id: of the MLflow run that trained it; empty if none.
    """

    name: str
    version: int
    digest: str
    storage_uri: str
    alias: str
    run_id: str


@dataclass(frozen=True)
class VersionRecord:
    """A version with all that the registry knows of it.

    Attributes:
        registered: the version.
        aliases: that it has, sorted.
        tags: as the module says.
        created: when, UTC, ISO 8601.
    """

    registered: RegisteredVersion
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created: str


class Registry:
    """The model registry of one MLflow.

    Args:
        uri: of MLflow, a database or a server.
    Raises:
        DependencyError: MLflow does not answer.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self.client: MlflowClient = open_client(uri)

    def register(
        self,
        model: ModelFolder,
        *,
        name: str,
        root: str | Path,
        tags: Mapping[str, str],
        environment: Environment,
        origin: Origin = Origin(),  # noqa: B008 - frozen
    ) -> RegisteredVersion:
        """Sign a model, put its Triton repository under its digest, and register it.

        The first version of a name that passed its gate becomes `champion`, any other one `challenger`. A model that is
        registered already keeps its version, its alias and its tags, but for a gate's verdict, which is the last one's;
        what an interrupted call left undone is done, and a damaged repository mended.

        The repository comes first, then the version with all of its tags in one call, then the alias: whatever goes
        down in between, no version is half registered, and no alias points to one.

        Args:
            model: what to register.
            name: in the registry and in Triton.
            root: folder, or URI of an object store, that gets `<name>/<digest>/`.
            tags: facts about the version, as text.
            environment: the key to sign with, and the store's endpoints and credentials.
            origin: the MLflow run that trained it.
        Raises:
            InputError: MLflow refuses the version, the repository cannot be written, or there is no key to sign with.
            DependencyError: MLflow or the store does not answer.
        """
        digest, key = model.digest(), signing_key(environment.signing)
        storage_uri = repository_uri(root, name, digest)
        source = self._source(storage_uri, origin)
        with mlflow_errors(self.client):
            known = self._with_digest(name, digest)
            number = int(known.version) if known else self._next_number(name)
        signature = model_signature(model)

        def put(number: int) -> None:
            text = model_file(model, signature, name=name, version=number, run_id=origin.run_id)
            further = {MODEL_FILE: text}
            deliver(model, root, name=name, version=number, key=key, environment=environment, further=further)

        put(number)
        facts = {
            "digest": digest,
            "storage_uri": storage_uri,
            "signed_by": key.public.name,
            _REPOSITORY_VERSION: str(number),
        }
        with mlflow_errors(self.client):
            version = known or self._create(name, source, origin, {**signature_tags(signature), **tags, **facts})
        if int(version.version) != number:  # somebody registered another model meanwhile
            put(int(version.version))
        with mlflow_errors(self.client):
            if known:
                judge_anew(self.client, known, tags)
            complete(self.client, version, {**facts, _REPOSITORY_VERSION: str(version.version)})
            self._give_alias(name, str(version.version), made=known is None)
        return self.get(name, str(version.version))

    def _next_number(self, name: str) -> int:
        """The number that MLflow gives to the next version of a name, as far as can be seen."""
        return max((int(version.version) for version in self._search(name)), default=0) + 1

    def _create(self, name: str, source: str, origin: Origin, tags: Mapping[str, str]) -> ModelVersion:
        self._ensure_model(name)
        return self.client.create_model_version(name, source=source, run_id=origin.run_id or None, tags=dict(tags))

    def refuse(self, name: str, verdict: Mapping[str, str], *, digest: str, run_id: str = "") -> tuple[int, ...]:
        """Give the versions that a gate refuses its verdict, so that nobody promotes them by the one before.

        Args:
            name: of the model.
            verdict: as of `refusal_tags`.
            digest: of the model that was judged.
            run_id: of the MLflow run whose versions are meant too, whichever graph of it they serve; empty for none.
        Returns:
            Their numbers, in order; none where no such model was ever registered.
        Raises:
            DependencyError: MLflow does not answer.
        """
        with mlflow_errors(self.client):
            found = [
                version
                for version in self._search(name)
                if version.tags.get("digest") == digest or (run_id and version.run_id == run_id)
            ]
            for version in found:
                judge_anew(self.client, version, verdict)
        return tuple(sorted(int(version.version) for version in found))

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
        return self.record(name, which).registered

    def _find(self, name: str, which: str) -> ModelVersion:
        try:
            if which.isdigit():
                return self.client.get_model_version(name, which)
            return self.client.get_model_version_by_alias(name, which or CHAMPION)
        except MlflowException as error:
            if not is_missing(error):
                raise
            raise InputError(
                f"the registry has no model '{name}' with version or alias '{which or CHAMPION}'. "
                "Run `secondread pipeline run train` first, or name another; `secondread register promote` makes a "
                "version champion."
            ) from error

    def versions(self, name: str) -> list[RegisteredVersion]:
        """All complete versions of a name, oldest first."""
        return [record.registered for record in self.records(name)]

    def records(self, name: str) -> list[VersionRecord]:
        """All complete versions of a name with what the registry knows of each, oldest first."""
        with mlflow_errors(self.client):
            found = sorted(self._search(name), key=lambda version: int(version.version))
            held = self.raw_aliases(name) if found else {}
            return [self._record(version, held) for version in found if _is_complete(version)]

    def record(self, name: str, which: str = "") -> VersionRecord:
        """One version with what the registry knows of it: see `get`."""
        with mlflow_errors(self.client):
            return self._record(self._find(name, which), self.raw_aliases(name))

    def aliases(self, name: str) -> Aliases:
        """Which version is champion, which challenger, and which ones a rollback goes back to."""
        with mlflow_errors(self.client):
            return Aliases.of(self.raw_aliases(name))

    def raw_aliases(self, name: str) -> dict[str, str]:
        """Versions by alias, as MLflow has them."""
        aliases = self.client.get_registered_model(name).aliases
        return {str(alias): str(number) for alias, number in aliases.items()}

    def _record(self, version: ModelVersion, aliases: Mapping[str, str]) -> VersionRecord:
        if not _is_complete(version):
            raise IntegrityError(
                f"version {version.version} of '{version.name}' is incomplete. Register the model again."
            )
        held = tuple(sorted(alias for alias, number in aliases.items() if number == str(version.version)))
        registered = RegisteredVersion(
            name=version.name,
            version=int(version.version),
            digest=version.tags["digest"],
            storage_uri=version.tags["storage_uri"],
            alias=held[0] if held else "",
            run_id=version.run_id or "",
        )
        created = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
        return VersionRecord(registered, held, dict(version.tags), created)

    def _ensure_model(self, name: str) -> None:
        try:
            self.client.get_registered_model(name)
        except MlflowException as error:
            if not is_missing(error):
                raise
            self.client.create_registered_model(name, description="A second reader. No medical device.")

    def _search(self, name: str) -> list[ModelVersion]:
        return list(self.client.search_model_versions(f"name = '{name}'"))

    def _with_digest(self, name: str, digest: str) -> ModelVersion | None:
        return next((version for version in self._search(name) if version.tags.get("digest") == digest), None)

    def _give_alias(self, name: str, number: str, *, made: bool) -> None:
        """Give a version the alias that it has a claim to; whoever decided on it, or has one newer, is not overruled.

        Args:
            name: of the model.
            number: of the version.
            made: by this call; else it may be an old one whose run was repeated.
        """
        aliases, tags = self.raw_aliases(name), self.client.get_model_version(name, number).tags
        decided = any(tag.startswith(EVENT) for tag in tags)
        if CHAMPION not in aliases and tags.get(PASSED) == "true" and not decided:
            self.client.set_registered_model_alias(name, CHAMPION, number)
            if aliases.get(CHALLENGER) == number:
                self.client.delete_registered_model_alias(name, CHALLENGER)
            return
        newest = int(number) > max(int(aliases.get(alias, 0)) for alias in (CHAMPION, CHALLENGER))
        if number not in aliases.values() and (made or (newest and not decided)):
            self.client.set_registered_model_alias(name, CHALLENGER, number)


def _is_complete(version: ModelVersion) -> bool:
    """Whether its repository lies where it says, under the version's own number."""
    held_under = version.tags.get(_REPOSITORY_VERSION, str(version.version))  # older ones do not say it
    return {"digest", "storage_uri"} <= set(version.tags) and held_under == str(version.version)
