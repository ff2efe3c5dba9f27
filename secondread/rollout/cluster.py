"""One namespace of a cluster: objects read and patched, and what its API server says put into one line.

The library is Kubernetes' own; credentials are the kubeconfig's, or the pod's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from secondread.errors import DependencyError, InputError, SecondReadError

Document = Mapping[str, Any]

_SECONDS = (5.0, 20.0)  # to connect, and for an answer
_BEARER = ["BearerToken"]
_MESSAGE = 300  # characters of what the API server says
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _BUSY, _SERVERS_OWN = 401, 403, 404, 409, 429, 500


@dataclass(frozen=True)
class Kind:
    """Of objects.

    Attributes:
        name: as people say it, such as Lease.
        group: of the API, such as coordination.k8s.io.
        version: of the group.
        plural: as a Role names it, such as leases.
    """

    name: str
    group: str
    version: str
    plural: str


class ChangedMeanwhileError(DependencyError):
    """Somebody else wrote the object since it was read."""


class Cluster:
    """One namespace of it.

    Args:
        namespace: that the objects are in.
        config_file: kubeconfig; by default KUBECONFIG or ~/.kube/config, else what the pod has.
        context: of the kubeconfig; by default its current one.
    Raises:
        InputError: there are no credentials, or they cannot be read.
        DependencyError: the library is not installed.
    """

    def __init__(self, namespace: str, *, config_file: str | None = None, context: str | None = None) -> None:
        try:
            from kubernetes import config
            from kubernetes.client import ApiClient, Configuration, CustomObjectsApi
        except ImportError as error:
            raise DependencyError(
                f"a cluster is asked with the package '{error.name}', which is not installed: pip install "
                "'secondread[cluster]'."
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
        self.namespace = namespace
        self._client = ApiClient(configuration)
        self._objects = CustomObjectsApi(self._client)  # which asks for built-in kinds as well

    def get(self, kind: Kind, name: str) -> Document:
        """An object as it is now.

        Raises:
            InputError: it is not there, or may not be read.
            DependencyError: the API server does not answer.
        """
        found = self.find(kind, name)
        if found is None:
            raise InputError(f"namespace {self.namespace} has no {kind.name} {name}: name another, or apply it.")
        return found

    def find(self, kind: Kind, name: str) -> Document | None:
        """As `get`; None where there is none."""
        ask = partial(self._objects.get_namespaced_custom_object, **self._where(kind, name))
        found: Document | None = self._call("get", kind, ask, maybe=True)
        return found

    def look_up(self, path: str) -> Document | None:
        """What the API server says of itself below a path; None where there is nothing."""

        def ask() -> Document:
            answer, _, _ = self._client.call_api(
                path, "GET", response_type="object", auth_settings=_BEARER, _request_timeout=_SECONDS
            )
            return dict(answer)

        found: Document | None = self._call("get", path, ask, maybe=True)
        return found

    def patch(self, kind: Kind, document: Document, change: Document) -> None:
        """Change an object, and only if it is still what was read.

        Args:
            kind: of the object.
            document: as it was read.
            change: JSON merge patch (RFC 7396).
        Raises:
            InputError: it is not there any more, may not be changed, or the change is refused.
            ChangedMeanwhileError: it is not what was read any more.
            DependencyError: the API server does not answer.
        """
        version = {"resourceVersion": document["metadata"]["resourceVersion"]}
        body = {**change, "metadata": {**change.get("metadata", {}), **version}}
        where = self._where(kind, document["metadata"]["name"])
        self._call("patch", kind, partial(self._objects.patch_namespaced_custom_object, **where, body=body))

    def _where(self, kind: Kind, name: str) -> dict[str, Any]:
        where = {"group": kind.group, "version": kind.version, "plural": kind.plural}
        return {**where, "namespace": self.namespace, "name": name, "_request_timeout": _SECONDS}

    def _call(self, verb: str, what: Kind | str, ask: Callable[..., Any], *, maybe: bool = False) -> Any:
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

    def _explained(self, verb: str, what: Kind | str, error: Any) -> SecondReadError:
        try:
            said = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            said = error.reason
        said, asked = _one_line(said), what if isinstance(what, str) else what.plural
        if error.status == _UNAUTHORIZED:
            return InputError("the API server does not know who asks: renew the credentials of the kubeconfig.")
        if error.status == _FORBIDDEN:
            return InputError(
                f"the API server does not let this account {verb} {asked} in namespace {self.namespace} ({said}): "
                f"{_rule(verb, what)}."
            )
        if error.status == _NOT_FOUND:
            return InputError(f"namespace {self.namespace} has no such {asked} any more ({said}): apply it again.")
        text = f"{error.status}, {said}"
        if error.status == _CONFLICT:
            return ChangedMeanwhileError(f"somebody else changed {asked} meanwhile ({text}): ask again.")
        if error.status == _BUSY or error.status >= _SERVERS_OWN:
            return DependencyError(f"the API server cannot {verb} {asked} now ({text}): ask again.")
        return InputError(f"the cluster refuses to {verb} {asked} ({error.status}): {said}")


def _rule(verb: str, what: Kind | str) -> str:
    """What is missing in the account's rights, as it is written in YAML."""
    if isinstance(what, str):
        return f"give it a ClusterRole with the rule {{nonResourceURLs: [{what}], verbs: [{verb}]}}"
    return f"give its Role the rule {{apiGroups: [{what.group}], resources: [{what.plural}], verbs: [{verb}]}}"


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:_MESSAGE]
