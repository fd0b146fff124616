"""Which schema a database has, and whether this medgrid can use it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import (
    Column,
    Executable,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    exc,
    select,
)

from medgrid.database.connections import Database
from medgrid.errors import ConfigError

__all__ = ["OlderSchema", "Schema", "check", "check_not_newer", "revision"]


class OlderSchema(ConfigError):
    """The database has the schema of an older medgrid; it can be upgraded."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What this medgrid expects of one kind of database.

    Parameters
    ----------
    tables : MetaData
        What a new one has.
    revision : str
        Newest migration; revisions are numbers of four digits, so that their order shows.
    migrations : Path
        Directory of the steps from each revision to the next.
    command : str
        What a user types to upgrade one.
    lock : int
        PostgreSQL advisory lock of whoever makes or upgrades one.
    version_table : str
        Where the revision stands; another one for each kind, as one server may have both in one
        database.
    earlier : Executable, optional
        Asks for the revision of one that is older than this table in it.
    earlier_table : str
        Where that stands.
    """

    tables: MetaData
    revision: str
    migrations: Path
    command: str
    lock: int
    version_table: str
    earlier: Executable | None = None
    earlier_table: str = ""

    def versions(self) -> Table:
        """The table of the revision: alembic's own, kept apart from the others as alembic does."""
        return _versions(self.version_table)


@cache
def _versions(name: str) -> Table:
    return Table(
        name,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{name}_pkc"),
    )


def revision(db: Database, schema: Schema) -> str | None:
    """Schema revision of a database, None when it holds nothing of this kind."""
    question = select(schema.versions().c.version_num)
    found = _answer(db, question)
    if found is None and schema.earlier is not None:
        # an upgrade keeps the second question waiting, and then has taken away what it asks for
        found = _answer(db, schema.earlier) or _answer(db, question)
    return found


def _answer(db: Database, question: Executable) -> str | None:
    try:
        with db.read() as connection, connection.begin_nested():
            found: str | None = connection.scalar(question)
            return found
    except (exc.OperationalError, exc.ProgrammingError) as error:
        if "no such" in str(error.orig) or "Undefined" in type(error.orig).__name__:
            return None
        raise


def check_not_newer(db: Database, schema: Schema) -> str:
    """Return the revision of a database, which this medgrid can use or upgrade.

    Raises
    ------
    ConfigError
        It holds nothing of this kind, or was made by a newer medgrid.
    """
    found = revision(db, schema)
    if found is None:
        raise db.absent(f"{db.name} holds no {db.what}")
    if found > schema.revision:
        raise ConfigError(
            f"the {db.what} {db.name} has schema {found}, "
            f"newer than this medgrid's {schema.revision}",
            hint="install the newer medgrid that made it",
        )
    return found


def check(db: Database, schema: Schema) -> None:
    """Return when a database has this medgrid's schema.

    Raises
    ------
    ConfigError
        It holds nothing of this kind, or was made by a newer medgrid.
    OlderSchema
        It must be upgraded first.
    """
    found = check_not_newer(db, schema)
    if found < schema.revision:
        raise OlderSchema(
            f"the {db.what} {db.name} has schema {found}, this medgrid needs {schema.revision}",
            hint=f"run '{schema.command}'",
        )
