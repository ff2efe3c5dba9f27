"""One InferenceService of a cluster: read, and patched while others may write it, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secondread.errors import DependencyError
from secondread.rollout.cluster import ChangedMeanwhileError, Cluster, Document, Kind

INFERENCE_SERVICE = Kind("InferenceService", "serving.kserve.io", "v1beta1", "inferenceservices")
HTTP_ROUTE = Kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes")
MODE = f"{INFERENCE_SERVICE.group}/deploymentMode"
_OLD_NAMES = {"RawDeployment": "Standard", "Serverless": "Knative"}  # of modes, before KServe 0.16
_PATCHES = 5  # tries, while others write the same object


class InferenceService:
    """One of them.

    Args:
        name: of it.
        namespace: that it is in.
        config_file: as of `Cluster`.
        context: likewise.
    Raises:
        InputError: there are no credentials, or they cannot be read.
        DependencyError: the library is not installed.
    """

    def __init__(
        self, name: str, namespace: str, *, config_file: str | None = None, context: str | None = None
    ) -> None:
        self.name, self.namespace = name, namespace
        self._cluster = Cluster(namespace, config_file=config_file, context=context)

    def read(self) -> Document:
        """The object as it is now.

        Raises:
            InputError: it is not there, or may not be read.
            DependencyError: the API server does not answer.
        """
        return self._cluster.get(INFERENCE_SERVICE, self.name)

    def route(self) -> Document | None:
        """The HTTPRoute that KServe made for it; None where it made none."""
        return self._cluster.find(HTTP_ROUTE, self.name)

    def has_kind(self, group: str, version: str, plural: str) -> bool:
        """Whether the cluster knows a kind of object."""
        found = self._cluster.look_up(f"/apis/{group}/{version}")
        return any(each["name"] == plural for each in (found or {}).get("resources", []))

    def has_field(self, *path: str) -> bool:
        """Whether this cluster's InferenceService has a field, by the schema that the API server checks it with."""
        version = INFERENCE_SERVICE.version
        found = self._cluster.look_up(f"/openapi/v3/apis/{INFERENCE_SERVICE.group}/{version}") or {}
        schemas = found.get("components", {}).get("schemas", {})
        node: Any = next((each for name, each in schemas.items() if name.endswith(f"{version}.InferenceService")), {})
        for name in path:
            node = node.get("properties", {}).get(name, {})
        return bool(node)

    def patch(self, change: Callable[[Document], Document | None]) -> bool:
        """Change it, and only if it is still what was read: who was slower looks again.

        Args:
            change: gives a JSON merge patch for the object that it is shown; None where nothing is left to do.
        Returns:
            Whether anything was changed.
        Raises:
            InputError: it is not there, may not be changed, or the change is refused.
            DependencyError: the API server does not answer, or somebody else keeps changing the object.
        """
        for _ in range(_PATCHES):
            document = self.read()
            patch = change(document)
            if patch is None:
                return False
            try:
                self._cluster.patch(INFERENCE_SERVICE, document, patch)
            except ChangedMeanwhileError:
                continue
            return True
        raise DependencyError(
            f"somebody else changed InferenceService {self.name} {_PATCHES} times meanwhile: find out who, ask again."
        )

    def mode(self, document: Document) -> str:
        """`Standard` or `Knative`; empty where nothing says it."""
        named = document["metadata"].get("annotations", {}).get(MODE) or document.get("status", {}).get(
            "deploymentMode", ""
        )
        return str(_OLD_NAMES.get(named, named))
