"""One role of the database for each identity, and rows that only those may see who may.

PostgreSQL only: `apply` makes a server hold what `medgrid.catalog.row_policies` says, whoever
connects and whatever is sent. A role is called like its identity. All is said anew each time, so
that doing it twice changes nothing. What it does not hide: how large the tables are, that an LFN
is taken, and the names (not values) of attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Dialect, Table, text

from medgrid.catalog import job_schema as _job_schema  # noqa: F401 - its tables are ours too
from medgrid.catalog.row_policies import FUNCTIONS, GUARDED, OPEN, SCHEMA, SEQUENCES, VIEWER
from medgrid.catalog.schema import metadata
from medgrid.crypto.policy import Role
from medgrid.database import Database
from medgrid.errors import ConfigError, Denied, UsageError

__all__ = ["DatabaseUser", "apply", "statements"]

_GROUPS = ("grid", "user", "physician", "registrar")
_ALL = {"see": "SELECT", "add": "INSERT", "change": "UPDATE", "remove": "DELETE"}


@dataclass(frozen=True, slots=True)
class DatabaseUser:
    """An identity that is to have a role of the database, and the roles of its certificate.

    One with `Role.BROKER` sees all rows, as the grid's own processes must.
    """

    name: str
    roles: frozenset[str] = frozenset()

    @property
    def groups(self) -> set[str]:
        """Group roles it is to be a member of."""
        if Role.BROKER in self.roles:
            return {"grid"}
        return {"user", *({"physician", "registrar"} & {str(role) for role in self.roles})}


def apply(url: str, users: Sequence[DatabaseUser]) -> list[str]:
    """Make the roles and policies, and let nobody else in; return what was done as SQL.

    Raises
    ------
    ConfigError
        The catalog is no PostgreSQL database.
    Denied
        Whoever is connected may not make roles, or a role of that name may too much.
    UsageError
        Two users have one name, or a name cannot be that of a role.
    """
    db = Database(url)
    try:
        _require_postgres(db)
        with db.write() as connection:
            found = _statements(connection, users)
            for statement in found:
                connection.exec_driver_sql(statement.replace("%", "%%"))
        return found
    finally:
        db.close()


def statements(url: str, users: Sequence[DatabaseUser]) -> list[str]:
    """SQL that `apply` would send; raises as it does."""
    db = Database(url)
    try:
        _require_postgres(db)
        with db.read() as connection:
            return _statements(connection, users)
    finally:
        db.close()


def _require_postgres(db: Database) -> None:
    if db.is_sqlite:
        raise ConfigError(
            "a SQLite catalog has no users: whoever can read the file can read it all",
            hint="keys still protect the content; use PostgreSQL where users are many",
        )


def _statements(connection: Connection, users: Sequence[DatabaseUser]) -> list[str]:
    _check(connection, users)
    schema, me, database, grid_id = connection.execute(
        text(
            "SELECT n.nspname, current_user::text, current_database()::text,"
            " (SELECT grid_id FROM grid) FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.oid = 'object'::regclass"
        )
    ).one()
    writer = _Writer(connection.dialect, str(schema), str(grid_id))
    members = _members(connection, writer)
    own = ("grid", str(me)) in members
    analyzed = set(
        connection.scalars(
            text(
                "SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c"
                " ON c.oid = a.attrelid WHERE c.relnamespace = CAST(:schema AS regnamespace)"
                " AND a.attnum > 0 AND coalesce(a.attstattarget, -1) <> 0"
            ),
            {"schema": schema},
        )
    )
    return [
        *writer.groups(),
        *([] if own else [f"GRANT {writer.group('grid')} TO {_name(str(me))}"]),
        *writer.open_tables(str(database)),
        *writer.drop_policies(),
        *writer.forget_values(analyzed),
        *writer.functions(),
        *writer.policies(),
        *writer.members(users, members),
        *([] if own else [f"REVOKE {writer.group('grid')} FROM {_name(str(me))}"]),
    ]


def _check(connection: Connection, users: Sequence[DatabaseUser]) -> None:
    names = [user.name for user in users]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named twice")
        if name.startswith("pg_") or name in ("public", "none") or len(name.encode()) > 63:
            raise UsageError(f"{name} cannot be the name of a role of the database")
    mighty = connection.scalars(
        text(
            "SELECT rolname::text FROM pg_roles WHERE rolname = ANY (:names) AND (rolsuper OR"
            " rolbypassrls OR rolcreaterole OR rolreplication OR oid = (SELECT relowner FROM"
            " pg_class WHERE oid = 'object'::regclass)) ORDER BY rolname"
        ),
        {"names": names},
    ).all()
    if mighty:
        raise Denied(
            f"the database's role {mighty[0]} may more than a user: its rows would not be guarded",
            hint="certify the identity under another name, or take the role's attributes away",
        )


def _members(connection: Connection, writer: _Writer) -> set[tuple[str, str]]:
    """Members of the group roles now: (group, role)."""
    rows = connection.execute(
        text(
            "SELECT g.rolname::text, m.rolname::text FROM pg_auth_members a"
            " JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member"
            " WHERE g.rolname = ANY (:groups)"
        ),
        {"groups": [writer.group_name(group) for group in _GROUPS]},
    )
    kinds = {writer.group_name(group): group for group in _GROUPS}
    return {(kinds[name], member) for name, member in rows}


def _name(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _text(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"


class _Writer:
    """Writes the statements for the catalog of one grid, whose tables lie in schema `tables`."""

    def __init__(self, dialect: Dialect, tables: str, grid_id: str) -> None:
        self._dialect = dialect
        self._tables = tables
        self._grid_id = grid_id

    def group_name(self, group: str) -> str:
        """Name of a group role: roles belong to the server, not to one database."""
        return f"medgrid_{self._grid_id}_{group}"

    def group(self, group: str) -> str:
        """Group role, quoted."""
        return _name(self.group_name(group))

    def _table(self, name: str) -> str:
        return f"{_name(self._tables)}.{_name(name)}"

    def groups(self) -> Iterator[str]:
        """Make the group roles."""
        for group in _GROUPS:
            yield self._make_role(self.group_name(group), "NOLOGIN")
        yield (f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")

    @staticmethod
    def _make_role(name: str, attributes: str) -> str:
        return (
            f"DO $$ BEGIN CREATE ROLE {_name(name)} {attributes};"
            " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )

    def open_tables(self, database: str) -> Iterator[str]:
        """Say who may enter and touch which tables at all."""
        schema, user, of_grid = _name(self._tables), self.group("user"), self.group("grid")
        yield f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC"
        yield f"GRANT CONNECT ON DATABASE {_name(database)} TO {user}, {of_grid}"
        yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"
        yield f"GRANT USAGE ON SCHEMA {schema} TO {user}, {of_grid}"
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            yield f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM PUBLIC, {user}"
        for kind in ("TABLES", "SEQUENCES"):
            yield f"GRANT ALL ON ALL {kind} IN SCHEMA {schema} TO {of_grid}"
        for name in SEQUENCES:
            yield f"GRANT USAGE ON SEQUENCE {self._table(name)} TO {user}"
        for name, privileges in OPEN.items():
            yield f"GRANT {privileges} ON {self._table(name)} TO {user}"
        for name, guard in GUARDED.items():
            for part, privilege in _ALL.items():
                if getattr(guard, part) is None:
                    continue
                if part == "change" and guard.fixed:
                    columns = [one.name for one in metadata.tables[name].c]
                    free = ", ".join(_name(one) for one in columns if one not in guard.fixed)
                    privilege = f"UPDATE ({free})"
                yield f"GRANT {privilege} ON {self._table(name)} TO {user}"

    def drop_policies(self) -> Iterator[str]:
        """Take the policies away that are there; until the end of the transaction nobody looks."""
        for name in GUARDED:
            for policy in ("grid", *_ALL):
                yield f"DROP POLICY IF EXISTS {SCHEMA}_{policy} ON {self._table(name)}"

    def forget_values(self, analyzed: Collection[str]) -> Iterator[str]:
        """Keep no statistics of values: the estimates of EXPLAIN would tell how common one is.

        To set a column's type, the same one, drops the statistics that are there.
        """
        for name in GUARDED:
            table: Table = metadata.tables[name]
            for column in table.c:
                if f"{name}.{column.name}" in analyzed:
                    alter = f"ALTER TABLE {self._table(name)} ALTER COLUMN {_name(column.name)}"
                    kind = column.type.compile(self._dialect)
                    yield f"{alter} SET DATA TYPE {kind}"
                    yield f"{alter} SET STATISTICS 0"

    def functions(self) -> Iterator[str]:
        """Make the functions."""
        words = {
            "tables": self._tables,
            **{group: _text(self.group_name(group)) for group in _GROUPS},
        }
        user, of_grid = self.group("user"), self.group("grid")
        yield f"GRANT USAGE, CREATE ON SCHEMA {SCHEMA} TO {of_grid}"
        yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {user}"
        path = f"SET search_path = {_name(self._tables)}, pg_temp"
        yield (
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.viewer() RETURNS text LANGUAGE sql STABLE"
            f" AS $${VIEWER.format(**words)}$$"
        )
        yield f"GRANT EXECUTE ON FUNCTION {SCHEMA}.viewer() TO {user}, {of_grid}"
        for head, body in FUNCTIONS.items():
            changes = any(word in body for word in ("INSERT", "UPDATE"))
            yield (
                f"CREATE OR REPLACE FUNCTION {SCHEMA}.{head} LANGUAGE sql"
                f" {'VOLATILE' if changes else 'STABLE'} SECURITY DEFINER {path}"
                f" AS $${body.format(**words)}$$"
            )
            signature = f"{SCHEMA}.{_signature(head)}"
            yield f"ALTER FUNCTION {signature} OWNER TO {of_grid}"
            yield f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC"
            yield f"GRANT EXECUTE ON FUNCTION {signature} TO {user}"

    def policies(self) -> Iterator[str]:
        """Guard the rows."""
        user, of_grid = self.group("user"), self.group("grid")
        for name, guard in GUARDED.items():
            table = self._table(name)
            yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
            yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
            yield (
                f"CREATE POLICY {SCHEMA}_grid ON {table} TO {of_grid}"
                " USING (true) WITH CHECK (true)"
            )
            for part, privilege in _ALL.items():
                condition = getattr(guard, part)
                if condition is None:
                    continue
                using = "" if part == "add" else f" USING ({condition})"
                checked = {"add": condition, "change": guard.keep or condition}.get(part)
                check = f" WITH CHECK ({checked})" if checked else ""
                yield (
                    f"CREATE POLICY {SCHEMA}_{part} ON {table} FOR {privilege} TO {user}"
                    f"{using}{check}"
                )

    def members(
        self, users: Iterable[DatabaseUser], now: Collection[tuple[str, str]]
    ) -> Iterator[str]:
        """Make the users' roles and let them in; put all others out."""
        wanted = {(group, user.name) for user in users for group in user.groups}
        for user in users:
            yield self._make_role(user.name, "LOGIN")
        for group, name in sorted(wanted - set(now)):
            yield f"GRANT {self.group(group)} TO {_name(name)}"
        for group, name in sorted(set(now) - wanted):
            yield f"REVOKE {self.group(group)} FROM {_name(name)}"


def _signature(head: str) -> str:
    """``cares(patient text)`` of ``cares(patient text) RETURNS boolean``."""
    return head.partition(" RETURNS ")[0]
