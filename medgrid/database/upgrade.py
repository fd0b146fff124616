"""Bringing a database to this medgrid's schema: all of it or nothing, and no row lost on the way.

A migration is one of alembic's, with one thing more: where it is to add or remove rows, it names
the tables in ``changes_rows_of``. It imports nothing of medgrid, so that it does the same in
years.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, exc, func, inspect, select, table, text

from medgrid.database.backup import back_up, copies_of
from medgrid.database.connections import Database
from medgrid.database.making import hold, stamp
from medgrid.database.version import Schema, check_not_newer, revision
from medgrid.errors import ConfigError, Denied, IntegrityError, MedgridError

__all__ = ["Upgraded", "upgrade"]

_UNCHANGED = "nothing was changed; please report this"
_HERE = "relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"


@dataclass(frozen=True, slots=True)
class Upgraded:
    """What `upgrade` did: nothing, when the schema before and after are one.

    Parameters
    ----------
    before, after : str
        Schema revisions.
    copies : tuple of Path
        Copies of an SQLite file as it was before this and earlier upgrades.
    broken : tuple of str
        Rows of an SQLite file that named what is not there, before as after.
    """

    before: str
    after: str
    copies: tuple[Path, ...] = ()
    broken: tuple[str, ...] = ()


def upgrade(db: Database, schema: Schema, first: Callable[[], None] | None = None) -> Upgraded:
    """Run the migrations that a database has not seen, in one transaction.

    An SQLite file is copied first. Of two that do this at once, one waits and finds it done.

    Parameters
    ----------
    first : callable, optional
        Is called when nobody else is in it and nothing is changed yet; to refuse, it raises.

    Raises
    ------
    ConfigError
        It holds nothing of this kind, or is newer than this medgrid; or somebody's view on a server
        needs what is changed.
    Denied
        Its tables belong to somebody else.
    DatabaseFull
        There is no room for the copy or for the change; nothing was changed.
    IntegrityError
        Rows would be lost, or more of them name what is not there; nothing was changed.
    """
    before = check_not_newer(db, schema)
    if before == schema.revision:
        return Upgraded(before, before, copies_of(db))
    backup = None
    held = copies_of(db)
    try:
        with db.rebuild() as connection:
            hold(connection, schema)
            before = check_not_newer(db, schema)  # meanwhile somebody else may have done it
            if before == schema.revision:
                return Upgraded(before, before, copies_of(db))
            _stay_there(connection, schema)
            run = _Run(db, schema, connection, before)
            run.check_owner()
            with _all_rows(connection):
                if first is not None:
                    first()
                if db.path is not None:
                    backup = back_up(db, db.path, before)
                broken = run.all()
    except BaseException as error:
        if backup is not None and backup not in held:
            with contextlib.suppress(MedgridError, OSError):
                if revision(db, schema) == before:
                    backup.unlink()
        if isinstance(error, exc.DBAPIError):
            if found := _in_the_way(error):
                raise ConfigError(
                    f"{_refusal(db, before)}: {found}",
                    hint="drop views of your own, say the same again, and make them again; "
                    "nothing was changed",
                ) from error
            kind = type(error.orig).__name__
            raise IntegrityError(
                f"{_refusal(db, before)}: the database refuses a step ({kind})",
                hint=_UNCHANGED,
            ) from error
        raise
    db.empty_log()  # which grew with the change; when somebody reads now, it is done later
    return Upgraded(before, schema.revision, copies_of(db), broken)


def _in_the_way(error: exc.DBAPIError) -> str:
    """What of a server's user depends on what a step changes; its names, and never rows."""
    if getattr(error.orig, "sqlstate", None) not in ("2BP01", "0A000"):
        return ""
    return (error.orig.diag.message_detail or "").replace("\n", ", ")  # type: ignore[union-attr]


def _refusal(db: Database, before: str) -> str:
    return f"the {db.what} {db.name} cannot be upgraded from schema {before}"


class _Run:
    """One upgrade, in its transaction."""

    def __init__(self, db: Database, schema: Schema, connection: Connection, before: str) -> None:
        self._schema = schema
        self._connection = connection
        self._before = before
        self._refusal = _refusal(db, before)

    def check_owner(self) -> None:
        """On a server only who owns tables may change them."""
        if self._connection.dialect.name != "postgresql":
            return
        question = text(
            "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class"  # noqa: S608 - ours
            f" WHERE {_HERE} AND relname = ANY (:names)"
            " AND NOT pg_has_role(relowner, 'USAGE')"
        )
        names = [self._schema.version_table, *self._schema.tables.tables]
        owners = self._connection.scalars(question, {"names": names}).all()
        if owners:
            raise Denied(
                f"{self._refusal}: its tables belong to {', '.join(sorted(owners))}",
                hint=f"their owner runs '{self._schema.command}'",
            )

    def all(self) -> tuple[str, ...]:
        """Take all steps, and say which rows were broken before."""
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", "medgrid.database:migrations")
        steps = str(self._schema.migrations).replace("%", "%%")  # else a reference for alembic
        config.set_main_option("version_locations", steps)
        config.set_main_option("path_separator", "newline")
        config.attributes["connection"] = self._connection
        config.attributes["version_table"] = self._schema.version_table
        newest = self._schema.revision
        with _by_hand(self._connection):
            rows = self._count()
            broken = self._broken()
            if not inspect(self._connection).has_table(self._schema.version_table):
                stamp(self._connection, self._schema, self._before)
            try:
                changed = {
                    name
                    for step in ScriptDirectory.from_config(config).walk_revisions()
                    if step.revision > self._before
                    for name in getattr(step.module, "changes_rows_of", ())
                }
                command.upgrade(config, newest)
            except CommandError as error:
                raise ConfigError(self._refusal, hint="it is of no released medgrid") from error
            self._check_rows(rows, changed)
            if added := self._broken() - broken:
                words = ", ".join(_words(added, "would name"))
                raise IntegrityError(f"{self._refusal}: {words}", hint=_UNCHANGED)
        return tuple(_words(broken, "name"))

    def _count(self) -> dict[str, int]:
        return {
            name: self._connection.scalar(select(func.count()).select_from(table(name))) or 0
            for name in _tables(self._connection)
            if name != self._schema.version_table
        }

    def _check_rows(self, before: Mapping[str, int], changed: Collection[str]) -> None:
        after = self._count()
        lost = [
            f"{name} had {count} rows and would have {after.get(name, 0)}"
            for name, count in sorted(before.items())
            if after.get(name, 0) != count and name not in changed
        ]
        if lost:
            raise IntegrityError(f"{self._refusal}: {', '.join(lost)}", hint=_UNCHANGED)

    def _broken(self) -> Counter[tuple[str, str]]:
        """How many rows of which table of SQLite name no row of which; a server has none."""
        if self._connection.dialect.name != "sqlite":
            return Counter()
        found = self._connection.exec_driver_sql("PRAGMA foreign_key_check")
        return Counter((child, parent) for child, _, parent, _ in found)


def _words(broken: Counter[tuple[str, str]], name: str) -> Iterator[str]:
    for (child, parent), count in sorted(broken.items()):
        yield f"{count} rows of {child} {name} no row of {parent}"


def _stay_there(connection: Connection, schema: Schema) -> None:
    """Let names mean, first of all, what lies beside the table that says the revision."""
    if connection.dialect.name != "postgresql":
        return
    question = text(
        "SELECT set_config('search_path', concat_ws(', ', relnamespace::regnamespace,"
        " nullif(current_setting('search_path'), '')), true)"
        " FROM pg_class WHERE oid = coalesce(to_regclass(:newer), to_regclass(:earlier))"
    )
    names = {"newer": schema.version_table, "earlier": schema.earlier_table}
    connection.execute(question, names)


def _tables(connection: Connection) -> list[str]:
    """All tables; on a server those that are one's own, as there others may lie beside them."""
    if connection.dialect.name != "postgresql":
        return inspect(connection).get_table_names()
    question = text(
        f"SELECT relname::text FROM pg_class WHERE {_HERE}"  # noqa: S608 - ours
        " AND relkind IN ('r', 'p') AND pg_has_role(relowner, 'USAGE') ORDER BY relname"
    )
    return list(connection.scalars(question))


@contextmanager
def _all_rows(connection: Connection) -> Iterator[None]:
    """See every row of a server's tables, and let nobody change any meanwhile."""
    if connection.dialect.name != "postgresql":
        yield
        return
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, _tables(connection)))
    connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
    # policies hold for the owner too where the tables say so: a migration would pass rows over
    forced = connection.scalars(
        text(
            f"SELECT oid FROM pg_class WHERE {_HERE}"  # noqa: S608 - ours
            " AND relforcerowsecurity AND pg_has_role(relowner, 'USAGE')"
        )
    ).all()
    _say_of_each(connection, forced, "NO FORCE ROW LEVEL SECURITY")
    connection.exec_driver_sql("SET LOCAL row_security = off")
    yield
    _say_of_each(connection, forced, "FORCE ROW LEVEL SECURITY")


def _say_of_each(connection: Connection, oids: Collection[int], what: str) -> None:
    question = text("SELECT oid::regclass::text FROM pg_class WHERE oid = ANY (:oids)")
    for name in connection.scalars(question, {"oids": list(oids)}).all():
        connection.exec_driver_sql(f"ALTER TABLE {name} {what}")


@contextmanager
def _by_hand(connection: Connection) -> Iterator[None]:
    """Make what somebody added to SQLite again, when a table was made anew.

    With a table go its triggers and its indexes. Alembic makes indexes again, but none of
    expressions, and others without their order and collation. What views and triggers of others say
    of it would keep the new one from its name. All these go before.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    question = (
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"
        " OR type = 'index' AND sql IS NOT NULL"
        " AND EXISTS (SELECT 1 FROM pragma_index_xinfo(sqlite_master.name)"
        ' WHERE "key" AND (cid = -2 OR "desc" OR coll <> \'BINARY\'))'
        " ORDER BY type = 'trigger'"  # which may be of a view
    )
    before = connection.exec_driver_sql(question).all()
    quote = connection.dialect.identifier_preparer.quote_identifier
    for kind, name, _, _ in before:
        connection.exec_driver_sql(f"DROP {kind} IF EXISTS {quote(name)}")
    yield
    there = {name for _, name, _, _ in connection.exec_driver_sql(question)}
    known = {*_tables(connection), *(name for kind, name, _, _ in before if kind == "view")}
    for _, name, of_what, statement in before:
        if name not in there and of_what in known:
            connection.exec_driver_sql(statement)
