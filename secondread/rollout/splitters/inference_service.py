"""One InferenceService of a cluster: read, patched, and what its API server says put into one line.

The library is the one that KServe's SDK brings; credentials are the kubeconfig's, or the pod's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from secondread.errors import DependencyError, InputError, SecondReadError

Document = Mapping[str, Any]

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
MODE = f"{GROUP}/deploymentMode"
_OLD_NAMES = {"RawDeployment": "Standard", "Serverless": "Knative"}  # of modes, before KServe 0.16
_PATCHES = 5  # tries, while others write the same object
_SECONDS = (5.0, 20.0)  # to connect, and for an answer
_BEARER = ["BearerToken"]
_MESSAGE = 300  # characters of what the API server says
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _BUSY, _SERVERS_OWN = 401, 403, 404, 409, 429, 500


class InferenceService:
    """One of them.

    Args:
        name: of it.
        namespace: that it is in.
        config_file: kubeconfig; by default KUBECONFIG or ~/.kube/config, else what the pod has.
        context: of the kubeconfig; by default its current one.
    Raises:
        InputError: there are no credentials, or they cannot be read.
        DependencyError: the library is not installed.
    """

    def __init__(
        self, name: str, namespace: str, *, config_file: str | None = None, context: str | None = None
    ) -> None:
        try:
            from kubernetes import config
            from kubernetes.client import ApiClient, Configuration, CustomObjectsApi
        except ImportError as error:
            raise DependencyError(
                f"a cluster is asked with the package '{error.name}', which KServe's SDK brings: pip install "
                "'secondread[serve]'."
            ) from error
        configuration, given = Configuration(), {"config_file": config_file} if config_file else {}
        if context:
            given["context"] = context
        try:
            config.load_config(client_configuration=configuration, **given)
        except (config.ConfigException, OSError) as error:
            raise InputError(
                f"no way to a cluster ({_one_line(error)}): set KUBECONFIG, or run in a pod with a service account."
            ) from error
        configuration.retries = 1
        self.name, self.namespace = name, namespace
        self._client = ApiClient(configuration)
        self._objects = CustomObjectsApi(self._client)

    def read(self) -> Document:
        """The object as it is now.

        Raises:
            InputError: it is not there, or may not be read.
            DependencyError: the API server does not answer.
        """
        found: Document = self._call(
            "get", PLURAL, partial(self._objects.get_namespaced_custom_object, **self._where())
        )
        return found

    def route(self) -> Document | None:
        """The HTTPRoute that KServe made for it; None where it made none."""
        where = self._where() | {"group": "gateway.networking.k8s.io", "version": "v1", "plural": "httproutes"}
        ask = partial(self._objects.get_namespaced_custom_object, **where)
        found: Document | None = self._call("get", "httproutes", ask, maybe=True)
        return found

    def has_kind(self, group: str, version: str, plural: str) -> bool:
        """Whether the cluster knows a kind of object."""
        found = self._get(f"/apis/{group}/{version}")
        return any(each["name"] == plural for each in (found or {}).get("resources", []))

    def has_field(self, *path: str) -> bool:
        """Whether this cluster's InferenceService has a field, by the schema that the API server checks it with."""
        found = self._get(f"/openapi/v3/apis/{GROUP}/{VERSION}") or {}
        schemas = found.get("components", {}).get("schemas", {})
        node: Any = next((each for name, each in schemas.items() if name.endswith(f"{VERSION}.InferenceService")), {})
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
        from kubernetes.client import ApiException

        for _ in range(_PATCHES):
            document = self.read()
            patch = change(document)
            if patch is None:
                return False
            version = {"resourceVersion": document["metadata"]["resourceVersion"]}
            body = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
            send = partial(self._objects.patch_namespaced_custom_object, **self._where(), body=body)
            try:
                self._call("patch", PLURAL, send)
            except DependencyError as error:
                if isinstance(error.__cause__, ApiException) and error.__cause__.status == _CONFLICT:
                    continue
                raise
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

    def _where(self) -> dict[str, Any]:
        kind = {"group": GROUP, "version": VERSION, "plural": PLURAL}
        return {**kind, "namespace": self.namespace, "name": self.name, "_request_timeout": _SECONDS}

    def _get(self, path: str) -> Document | None:
        def ask() -> Document:
            answer, _, _ = self._client.call_api(
                path, "GET", response_type="object", auth_settings=_BEARER, _request_timeout=_SECONDS
            )
            return dict(answer)

        found: Document | None = self._call("get", path, ask, maybe=True)
        return found

    def _call(self, verb: str, what: str, ask: Callable[..., Any], *, maybe: bool = False) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            return ask()
        except ApiException as error:
            if maybe and error.status == _NOT_FOUND:
                return None
            raise self._explained(verb, what, error) from error
        except HTTPError as error:
            raise DependencyError(
                f"the API server of the cluster does not answer ({_one_line(error)}): look at the kubeconfig."
            ) from error

    def _explained(self, verb: str, what: str, error: Any) -> SecondReadError:
        try:
            said = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            said = error.reason
        said = _one_line(said)
        if error.status == _UNAUTHORIZED:
            return InputError("the API server does not know who asks: renew the credentials of the kubeconfig.")
        if error.status == _FORBIDDEN:
            return InputError(
                f"the API server does not let this account {verb} {what} in namespace {self.namespace} ({said}): give "
                "its Role that verb."
            )
        if error.status == _NOT_FOUND:
            return InputError(
                f"namespace {self.namespace} has no InferenceService {self.name} ({said}): name another, or apply it."
            )
        if error.status in (_CONFLICT, _BUSY) or error.status >= _SERVERS_OWN:
            return DependencyError(f"the API server cannot {verb} {what} now ({error.status}, {said}): ask again.")
        return InputError(f"the cluster refuses to {verb} {what} ({error.status}): {said}")


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:_MESSAGE]
