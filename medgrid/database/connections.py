"""A database: one connection pool, reads, writes, and its failures in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url

from medgrid.config import has_grid
from medgrid.errors import Busy, ConfigError, Denied, IntegrityError, MedgridError, Unreachable

__all__ = [
    "BUSY_TIMEOUT_S",
    "Database",
    "DatabaseFull",
    "DatabaseReadOnly",
    "address_for_people",
]

BUSY_TIMEOUT_S = 30.0
_IDLE_MOST_S = 600  # who writes may seal keys of many objects meanwhile, or wait for key stores
_POOL_SIZE = 20
_MANY_ROWS = 1000
_MUCH_GROWN = 2  # times as many rows as when they were looked at


_SECRETS = (
    "password",
    "sslpassword",
    "scram_client_key",
    "scram_server_key",
    "oauth_client_secret",
)
"""What of the query of a PostgreSQL address nobody else may read."""


def address_for_people(url: str) -> str:
    """A database's address, without anything secret."""
    if url.startswith("sqlite:"):
        return url
    try:
        return make_url(url).difference_update_query(_SECRETS).render_as_string()
    except (exc.ArgumentError, ValueError):
        return "an address that is no database URL"


class DatabaseFull(Unreachable):
    """The disk under the database is full; nothing of the change was kept."""


class DatabaseReadOnly(ConfigError):
    """The database takes no changes, by its permissions or for a while."""


class Database:
    """Connections to one database.

    Parameters
    ----------
    url : str
        SQLAlchemy URL: ``sqlite:///PATH`` or ``postgresql+psycopg://...``.
    create : bool
        Make the SQLite file when it is missing.
    busy_timeout_s : float
        How long a write waits for another writer.
    what : str
        How messages call it: ``catalog``, ``key store``.

    Raises
    ------
    ConfigError
        The URL cannot be understood.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        what: str = "catalog",
    ) -> None:
        self.url = url
        self.what = what
        self._local = threading.local()
        self._busy_timeout_s = busy_timeout_s
        self._has_written = False
        self.path: Path | None = None
        self.is_sqlite = url.startswith("sqlite:")
        if self.is_sqlite:
            self.engine = self._reading = self._sqlite(url, create)
        else:
            self.engine = self._postgres(url)
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ")

    def _sqlite(self, url: str, create: bool) -> Engine:
        # all after the slashes is the path, whatever characters it has
        prefix, _, path = url.partition(":///")
        if prefix != "sqlite" or path in ("", ":memory:"):
            raise ConfigError(
                f"the {self.what} must be a file", hint="as in sqlite:////dir/catalog.db"
            )
        self.path = Path(path).absolute()
        self.name = str(self.path)
        if not create and self._is_missing():
            raise self._missing()
        how = {"mode": "rwc" if create else "rw", "uri": "true"}
        engine = create_engine(
            # not as a text, which some versions of SQLAlchemy decode before SQLite does
            URL.create(
                "sqlite+pysqlite",
                database=f"file:{quote(os.fsencode(self.name))}",
                query={**how, "timeout": f"{self._busy_timeout_s:g}"},
            ),
            pool_size=_POOL_SIZE,
            max_overflow=_POOL_SIZE,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def _postgres(self, url: str) -> Engine:
        try:
            parsed = make_url(url)
        except (exc.ArgumentError, ValueError):
            # the text may hold a password: do not repeat it
            raise ConfigError(
                f"the {self.what}'s address is not a database URL",
                hint="it looks like sqlite:////dir/catalog.db or postgresql://user@host/name",
            ) from None
        if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise ConfigError(
                f"a {self.what} cannot live in {parsed.drivername!r}",
                hint="use sqlite or postgresql",
            )
        parsed = parsed.set(drivername="postgresql+psycopg")
        self.name = address_for_people(url)
        milliseconds = int(self._busy_timeout_s * 1000)
        try:
            return create_engine(
                parsed,
                pool_size=_POOL_SIZE,
                max_overflow=_POOL_SIZE,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": 10,
                    # many small questions: to compile one takes longer than to answer it
                    "options": f"-c lock_timeout={milliseconds} -c timezone=UTC -c jit=off",
                },
            )
        except ModuleNotFoundError as error:
            raise ConfigError(
                "the PostgreSQL driver is not installed",
                hint="install it with 'pip install medgrid[postgres]'",
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection whose statements see one state of it.

        Inside `write` of the same thread it is the writing connection, which sees its own changes.

        Raises
        ------
        MedgridError
            See `write`.
        """
        current: Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            yield current
            return
        with self._translated(), self._reading.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def write(self, *, idle_most_s: float | None = None) -> Iterator[Connection]:
        """Give a connection whose changes are all kept at the end, or none of them.

        A `write` inside a `write` of the same thread joins it, so that stores combine into one
        transaction; when the inner one fails, its changes alone are undone.

        Parameters
        ----------
        idle_most_s : float, optional
            A PostgreSQL server undoes one in which nothing was said for so long: its locks keep
            others waiting. The default is ten minutes; that of the outermost one counts.

        Raises
        ------
        Busy
            Another writer holds it too long.
        ConfigError
            It is missing, read-only or something else.
        DatabaseFull
            The disk is full.
        Unreachable
            The server does not answer.
        """
        current: Connection | None = getattr(self._local, "connection", None)
        if current is not None:
            with current.begin_nested():
                yield current
            return
        with self._translated(), self.engine.connect() as connection, self._writing(connection):
            if not self.is_sqlite:
                limit_s = _IDLE_MOST_S if idle_most_s is None else idle_most_s
                setting = f"SET LOCAL idle_in_transaction_session_timeout = '{limit_s:g}s'"
                connection.exec_driver_sql(setting)
            yield connection

    @contextmanager
    def rebuild(self) -> Iterator[Connection]:
        """As an outermost `write`, for changes of the schema.

        SQLite makes some changes by making a table anew, and with the old one it would delete the
        rows that refer to it: it looks after no foreign keys meanwhile. The caller does.

        Raises
        ------
        MedgridError
            See `write`.
        """
        with self._translated(), self.engine.connect() as connection:
            self._look_after_foreign_keys(connection, False)
            try:
                with self._writing(connection):
                    yield connection
            finally:
                self._look_after_foreign_keys(connection, True)

    def _look_after_foreign_keys(self, connection: Connection, look: bool) -> None:
        if self.is_sqlite:
            connection.rollback()  # inside a transaction the pragma does nothing
            connection.exec_driver_sql(f"PRAGMA foreign_keys={'ON' if look else 'OFF'}")
            connection.rollback()

    @contextmanager
    def _writing(self, connection: Connection) -> Iterator[None]:
        if self.is_sqlite:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        self._local.connection = connection
        try:
            yield
            connection.commit()
            self._has_written = True
        finally:
            self._local.connection = None

    @property
    def in_write(self) -> bool:
        """Whether this thread is inside `write`."""
        return getattr(self._local, "connection", None) is not None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            found = self._in_our_words(error)
            if found is None:
                raise
            raise found from error

    def _in_our_words(self, error: exc.DBAPIError) -> MedgridError | None:
        if self.is_sqlite:
            return self._sqlite_error(error.orig)
        return self._postgres_error(error)

    def absent(self, message: str) -> ConfigError:
        """What to raise when it is not there, or holds nothing: was it lost, or never made?"""
        if self.what != "catalog":
            hint = (
                "mount its disk, or restore it from a backup; of several 'medgrid keystore mend' "
                "makes a lost one again"
            )
        elif self.path is not None and has_grid(self.path.parent):
            hint = "restore it from a backup, or from its .schema- copy"
        else:
            hint = "make a grid home with 'medgrid init'"
        return ConfigError(message, hint=hint)

    def _is_missing(self) -> bool:
        """Whether there is no such file; who may not look is told so when it is opened."""
        try:
            return self.path is not None and not self.path.exists()
        except OSError:
            return False

    def _missing(self) -> ConfigError:
        return self.absent(f"there is no {self.what} at {self.name}")

    def _sqlite_error(self, error: BaseException | None) -> MedgridError | None:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        where = f"the {self.what} {self.name}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Busy(
                f"{where} is locked by another process for more than {self._busy_timeout_s:g} s",
                hint="try again when the other medgrid command has ended",
            )
        if code == sqlite3.SQLITE_READONLY:
            return DatabaseReadOnly(
                f"{where} cannot be written",
                hint="check the permissions of the file and of its directory",
            )
        if code == sqlite3.SQLITE_FULL:
            return DatabaseFull(
                f"{where}: the disk is full", hint="free some space; nothing was changed"
            )
        if code == sqlite3.SQLITE_CANTOPEN:
            if self._is_missing():
                return self._missing()
            return ConfigError(
                f"{where} cannot be opened",
                hint="check the permissions of the file and of its directory",
            )
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigError(f"{self.name} is not a {self.what}: it is no SQLite database")
        if code == sqlite3.SQLITE_CORRUPT:
            return IntegrityError(
                f"{where} is damaged", hint="restore it from a backup; 'medgrid fsck' compares it"
            )
        if code == sqlite3.SQLITE_IOERR:
            return Unreachable(
                f"{where}: the disk reports an error",
                hint="see whether it has space left, and whether it is healthy",
            )
        return None

    def _postgres_error(self, error: exc.DBAPIError) -> MedgridError | None:
        state = getattr(error.orig, "sqlstate", None) or ""
        where = f"the {self.what} {self.name}"
        if state in ("55P03", "40P01", "40001"):
            return Busy(
                f"{where} is locked by another process for more than {self._busy_timeout_s:g} s",
                hint="try again when the other medgrid command has ended",
            )
        if state == "25006":
            return DatabaseReadOnly(f"{where} cannot be written: the server is read-only")
        if state == "53100":
            return DatabaseFull(
                f"{where}: the server's disk is full", hint="free some space; nothing was changed"
            )
        if state == "42501" or state.startswith("28"):
            return Denied(f"{where}: the server refuses this user")
        if state == "3D000":
            return ConfigError(f"{where}: the server has no such database")
        if error.connection_invalidated or state[:2] in ("08", "57", "53"):
            return Unreachable(
                f"{where}: the server has gone away", hint="try again when it is back"
            )
        if isinstance(error, exc.OperationalError) and not state:
            text = str(error.orig)
            if "password" in text or "authentication" in text or "role" in text:
                return Denied(f"{where}: the server refuses this user")
            if "does not exist" in text:
                return ConfigError(f"{where}: the server has no such database")
            return Unreachable(
                f"{where}: the server does not answer",
                hint="check that PostgreSQL runs and that this host may reach it",
            )
        return None

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Give a connection outside of any transaction, for settings; raises as `write`."""
        with self._translated(), self.engine.connect() as connection:
            yield connection

    def optimize(self) -> None:
        """Let the database look at how its values are spread, so that questions find the indexes.

        Takes milliseconds: SQLite looks at samples only; PostgreSQL does it by itself. Of tables
        with few rows nothing is remembered, since SQLite would read the whole of one that has grown
        meanwhile. When another process writes, it is left to the next one.
        """
        if self.is_sqlite:
            with self._hasty() as connection:
                connection.exec_driver_sql("PRAGMA analysis_limit=1000")
                with contextlib.suppress(exc.OperationalError):
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                    connection.exec_driver_sql("ANALYZE")
                    few = "DELETE FROM sqlite_stat1 WHERE stat + 0 < ?"
                    connection.exec_driver_sql(few, (_MANY_ROWS,))
                    connection.commit()

    def empty_log(self) -> None:
        """Let SQLite's log hold nothing that was deleted since, unless it is in use just now."""
        if self.is_sqlite:
            with contextlib.suppress(MedgridError), self._hasty() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def _hasty(self) -> Iterator[Connection]:
        """A connection outside of any transaction that does not wait for others."""
        with self.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=100")
            yield connection
            milliseconds = int(self._busy_timeout_s * 1000)
            connection.exec_driver_sql(f"PRAGMA busy_timeout={milliseconds}")

    def close(self) -> None:
        """Give back all connections; who has written looks whether a table has much grown."""
        if self._has_written and self.is_sqlite:
            with contextlib.suppress(MedgridError, exc.DBAPIError):
                with self.connect() as connection:
                    has_grown = _has_grown(connection)
                if has_grown:
                    self.optimize()
        self.engine.dispose()


def _has_grown(connection: Connection) -> bool:
    """Whether a table of SQLite has far more rows than when its values were looked at."""
    ask = connection.exec_driver_sql
    known = "SELECT name FROM sqlite_master WHERE type = 'table'"
    names = ask(f"{known} AND sql NOT LIKE '%WITHOUT ROWID%'").scalars().all()
    seen: dict[str, int] = {}
    if "sqlite_stat1" in names:
        looked = ask("SELECT tbl, max(stat + 0) FROM sqlite_stat1 GROUP BY tbl")
        seen = {row[0]: row[1] for row in looked}
    for name in names:
        most = max(_MANY_ROWS, _MUCH_GROWN * seen.get(name, 0))
        # the last row's id is found at once; there are fewer rows when some were deleted
        last = ask(f'SELECT max(rowid) FROM "{name}"').scalar() or 0  # noqa: S608 - our tables
        if last >= most and not name.startswith("sqlite_"):
            some = f'SELECT 1 FROM "{name}" LIMIT {most}'  # noqa: S608
            if ask(f"SELECT count(*) FROM ({some})").scalar() == most:  # noqa: S608
                return True
    return False


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by Database, not guessed
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")  # what is committed survives a power cut
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.execute("PRAGMA mmap_size=1073741824")
    cursor.close()
