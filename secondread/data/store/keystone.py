"""Where a Swift account is, and the token for it: given, or asked for with a credential."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from urllib3 import BaseHTTPResponse, PoolManager
from urllib3.exceptions import HTTPError

from secondread.config.environment import SwiftSettings
from secondread.data.store.connection import unreachable
from secondread.errors import DependencyError, InputError


@dataclass(frozen=True)
class Access:
    """A Swift account's URL, and the token that opens it."""

    storage_url: str
    token: str = field(repr=False)


def sign_in(pool: PoolManager, settings: SwiftSettings) -> Access:
    """Find the account, by the first of what is set: a token, an application credential, a user of Swift's own.

    Raises:
        InputError: nothing is set, or it is refused.
        DependencyError: the server does not answer.
    Source: Identity API v3, "Authenticating with an Application Credential"; Swift's "Auth System", v1.
    """
    for variable, url in (
        ("OS_STORAGE_URL", settings.storage_url),
        ("OS_AUTH_URL", settings.auth_url),
        ("ST_AUTH", settings.v1_auth_url),
    ):
        if "@" in url.partition("://")[2].partition("/")[0]:  # messages show the URL
            raise InputError(f"{variable} must hold no credentials. Take the part before the @ out of it.")
    if settings.storage_url and settings.token:
        return Access(settings.storage_url.rstrip("/"), settings.token)
    if settings.auth_url and settings.credential_id and settings.credential_secret:
        return _by_application_credential(pool, settings)
    if settings.v1_auth_url and settings.v1_user and settings.v1_key:
        return _by_user(pool, settings)
    raise InputError(
        "swift:// needs OS_STORAGE_URL and OS_AUTH_TOKEN; or OS_AUTH_URL, OS_APPLICATION_CREDENTIAL_ID and "
        "OS_APPLICATION_CREDENTIAL_SECRET; or ST_AUTH, ST_USER and ST_KEY. Set one of the three."
    )


def _by_application_credential(pool: PoolManager, settings: SwiftSettings) -> Access:
    """A token of Keystone, and the account's URL from its catalogue."""
    credential = {"id": settings.credential_id, "secret": settings.credential_secret}
    identity = {"methods": ["application_credential"], "application_credential": credential}
    url = settings.auth_url.rstrip("/").removesuffix("/v3") + "/v3/auth/tokens"
    body = json.dumps({"auth": {"identity": identity}}).encode()
    answer = _asked(pool, "POST", url, "OS_AUTH_URL", body=body, headers={"Content-Type": "application/json"})
    try:
        services = json.loads(answer.data)["token"]["catalog"]
        found = _storage_url(services, settings.region)
        token = answer.headers["X-Subject-Token"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{url} is no Keystone (its answer holds no token). Correct OS_AUTH_URL.") from error
    if not found:
        where = f" in region {settings.region}" if settings.region else ""
        raise InputError(f"{url} knows no object store{where}. Set OS_REGION_NAME, or OS_STORAGE_URL and a token.")
    return Access(found, token)


def _storage_url(services: list[dict[str, Any]], region: str) -> str:
    """The public URL of the object store; empty if there is none."""
    for service in services:
        for endpoint in service["endpoints"] if service["type"] == "object-store" else ():
            if endpoint["interface"] == "public" and region in ("", endpoint.get("region")):
                return str(endpoint["url"]).rstrip("/")
    return ""


def _by_user(pool: PoolManager, settings: SwiftSettings) -> Access:
    """Swift's own users (v1), where there is no Keystone."""
    headers = {"X-Auth-User": settings.v1_user, "X-Auth-Key": settings.v1_key}
    answer = _asked(pool, "GET", settings.v1_auth_url, "ST_AUTH", headers=headers)
    try:
        return Access(answer.headers["X-Storage-Url"].rstrip("/"), answer.headers["X-Auth-Token"])
    except KeyError as error:
        raise InputError(f"{settings.v1_auth_url} is no Swift (its answer holds no token). Correct ST_AUTH.") from error


def _asked(
    pool: PoolManager, method: str, url: str, variable: str, *, headers: dict[str, str], body: bytes | None = None
) -> BaseHTTPResponse:
    try:
        answer = pool.request(method, url, headers=headers, body=body)
    except HTTPError as error:
        raise unreachable(url, error, variable) from None  # its text holds the request
    if answer.status in (401, 403):
        raise InputError(f"{url} refuses the credential (HTTP {answer.status}). Set one that is valid.")
    if answer.status >= 500:
        raise DependencyError(f"{url} is in trouble (HTTP {answer.status}). Try again when it is well.")
    if answer.status >= 300:
        raise InputError(f"{url} is no address to sign in at (HTTP {answer.status}). Correct {variable}.")
    return answer
