"""The two databases that the catalogue runs on, both real."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest


def _program(name: str) -> str:
    """A program of PostgreSQL, which Debian keeps out of the PATH."""
    found = [shutil.which(name), *sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), reverse=True)]
    for path in found:
        if path and Path(path).exists():
            return path
    pytest.fail(f"{name} is not installed: scripts/debian-packages.sh test brings it (Debian's postgresql)")


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A PostgreSQL of our own, on a socket in a folder of its own; URL of its database `postgres`.

    PostgreSQL refuses to run as root, so root hands it to the user that Debian's package makes.
    """
    folder = Path(tempfile.mkdtemp(prefix="secondread-postgres-", dir="/tmp"))  # a socket's path must be short
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}
    if as_user:
        shutil.chown(folder, "postgres")
    data, where = str(folder / "data"), {"cwd": folder, "check": True, "capture_output": True, **as_user}
    control = [_program("pg_ctl"), "--pgdata", data, "--wait", "--log", str(folder / "log")]
    try:
        initdb = [_program("initdb"), "--pgdata", data, "--auth", "trust", "--username", "reader", "--no-sync"]
        subprocess.run(initdb, **where)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        subprocess.run([*control, "--options", options, "start"], **{**where, "capture_output": False})
        try:
            yield f"postgresql://reader@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "--mode", "immediate", "stop"], **where)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql(cluster: str) -> str:
    """URL of an empty database."""
    import psycopg

    name = f"catalogue_{uuid.uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return cluster.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A catalogue that nobody has opened yet, on each of the databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalogue/catalogue.db"
    return str(request.getfixturevalue("postgresql"))
