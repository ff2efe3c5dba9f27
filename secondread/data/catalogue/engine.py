"""The catalogue's database: SQLite in a file, or PostgreSQL; brought up to date when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from secondread.errors import DependencyError, InputError, IntegrityError

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 5_127_341_864  # any number that nobody else locks in the same PostgreSQL database
_WAIT_SECONDS = 60  # for another process that is writing to the same SQLite file


def open_engine(uri: str) -> Engine:
    """Connect to the catalogue and bring its tables up to date.

    Args:
        uri: `sqlite:///path` or `postgresql://user:password@host/database`.
    Raises:
        InputError: it is neither.
        DependencyError: the database does not answer, or its driver is not installed.
        IntegrityError: a newer version of this library made the tables.
    """
    url = _checked(uri)
    if url.drivername == "sqlite" and url.database:
        _make_folder(Path(url.database).parent)
    shown = url.render_as_string(hide_password=True)
    try:
        engine = create_engine(url, **_options(url))
    except ModuleNotFoundError as error:
        raise DependencyError(f"{error.name} is not installed: pip install 'secondread[postgres]'.") from error
    if engine.dialect.name == "sqlite":
        _let_sqlalchemy_begin(engine)
    try:
        _migrate(engine, shown)
    except DBAPIError as error:
        engine.dispose()
        reason = str(error.orig).strip().splitlines()[0]
        raise DependencyError(
            f"the catalogue {shown} cannot be opened ({reason}). Start it, or correct SECONDREAD_CATALOGUE_URI."
        ) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write {folder}: {error.strerror}. Choose another place with SECONDREAD_CATALOGUE_URI."
        ) from error


def _checked(uri: str) -> URL:
    try:
        url = make_url(uri)
    except (ArgumentError, NoSuchModuleError):
        url = None
    kinds = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
    kind = url.drivername.partition("+")[0] if url is not None else ""
    if url is None or kind not in kinds:
        raise InputError(
            "SECONDREAD_CATALOGUE_URI must be sqlite:///path or postgresql://user:password@host/database; "
            f"it begins with '{uri.partition(':')[0]}'."
        )
    return url.set(drivername=kinds[kind])


def _options(url: URL) -> dict[str, Any]:
    return {"connect_args": {"timeout": _WAIT_SECONDS} if url.drivername == "sqlite" else {"connect_timeout": 10}}


def _let_sqlalchemy_begin(engine: Engine) -> None:
    """The driver of Python 3.11 begins transactions when it likes; a writer must hold its lock from the start."""

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def writer(engine: Engine) -> Engine:
    """The same engine, for transactions that write."""
    return engine.execution_options(writes=True)


def _migrate(engine: Engine, shown: str) -> None:
    """Two processes may open a new catalogue at once: the second waits, and then finds nothing to do."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == head:
        return
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise IntegrityError(
            f"the catalogue {shown} is of revision {found}, which this version does not know ({head} is its newest). "
            "Use the version of SecondRead that wrote it, or a newer one."
        )
    with writer(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
