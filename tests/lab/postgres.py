"""A private PostgreSQL for the tests, and catalogs on both databases.

The server listens on a socket in a temporary directory only, and dies with the test run. Where
there is room it lies in memory: a database of a test's own is made there in a tenth of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from medgrid.catalog import Catalog
from tests.lab.memory import MEMORY, has_room
from tests.lab.surroundings import skip_without_account
from tests.lab.waiting import PATIENCE_S, wait_for

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "autovacuum": "off",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "dynamic_shared_memory_type": "mmap",  # in its directory
}
SERVERS = "mg-pg-"
"""How the names of servers' directories begin, which may lie in memory, beside what jobs leave."""
_ROOM_BYTES = 1 << 30


def binaries() -> Path | None:
    """Directory of the newest server programs on this machine."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: float(p.parts[-3])
    )
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


class PostgresServer:
    """One running server; `start`, `stop` and `kill` may be called in tests of its own."""

    def __init__(self, directory: Path, bin_dir: Path, *, durable: bool = False) -> None:
        self._bin = bin_dir
        self._settings = _SETTINGS | ({"synchronous_commit": "on"} if durable else {})
        self.directory = directory
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = next(
                (name for name in ("postgres", "nobody") if _has_user(name)), None
            )  # the server refuses to run as root
        self._data = directory / "data"
        self.sockets = directory
        if self._user is not None:
            shutil.chown(directory, self._user)
        subprocess.run(
            [
                *(str(bin_dir / "initdb"), "-D", str(self._data), "-U", "medgrid", "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=directory,
            user=self._user,
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for item in self._settings.items() for part in ("-c", "=".join(item))]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._bin / "postgres"), "-D", str(self._data)),
                    *("-k", str(self.sockets), *options),
                ],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                user=self._user,
                preexec_fn=_die_with_parent,
            )
        process = self._process
        wait_for(
            self._answers,
            lambda: f"PostgreSQL to start: {(self.directory / 'log').read_text()}",
            while_=lambda: process.poll() is None,
        )

    def _answers(self) -> bool:
        try:
            self.admin().close()
        except psycopg.OperationalError:
            return False
        return True

    def admin(self) -> psycopg.Connection:
        """Connection that may make databases."""
        return psycopg.connect(
            host=str(self.sockets), user="medgrid", dbname="postgres", autocommit=True
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT is orderly, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_S)
            self._process = None

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://medgrid@/{database}?host={self.sockets}"

    def make_database(self, template: str = "template1") -> str:
        """Make a database with a name of its own and return the name."""
        name = f"t{uuid.uuid4().hex[:12]}"
        with self.admin() as connection:
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY".encode()
            )
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        with self.admin() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


def new_server(*, durable: bool = False) -> PostgresServer:
    """Start a server in a temporary directory; skip the test when there are no programs for it.

    What a `durable` one has committed survives its crash (not the machine's), and lies on a disk.
    """
    found = binaries()
    if found is None:
        pytest.skip("no PostgreSQL server programs; install them with 'apt install postgresql'")
    skip_without_account()
    directory = _own_directory(in_memory=not durable)
    try:
        return PostgresServer(directory, found, durable=durable)
    except BaseException:
        shutil.rmtree(directory)
        raise


def remove_server(server: PostgresServer) -> None:
    """Stop a server and remove its files."""
    server.stop()
    shutil.rmtree(server.directory)
    os.close(_locks.pop(server.directory))


_locks: dict[Path, int] = {}


def _remove_dead(parent: Path) -> None:
    """Remove the directories of processes that died."""
    for one in parent.glob(f"{SERVERS}*"):
        with contextlib.suppress(OSError):  # another user's, or locked
            lock = os.open(one, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(one)
            finally:
                os.close(lock)


def pytest_unconfigure() -> None:
    """Remove what processes left that ran tests for this one and were killed."""
    _remove_dead(MEMORY)


def _own_directory(*, in_memory: bool) -> Path:
    """A new directory, locked while this process lives.

    It is none of pytest's: a socket's path must be shorter than 108 characters.
    """
    parent = MEMORY if in_memory and has_room(_ROOM_BYTES) else Path(tempfile.gettempdir())
    _remove_dead(parent)
    while True:
        directory = Path(tempfile.mkdtemp(prefix=SERVERS, dir=parent))
        lock = os.open(directory, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():  # nobody took it for that of one who died
            _locks[directory] = lock
            return directory
        os.close(lock)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The test run's PostgreSQL."""
    server = new_server()
    yield server
    remove_server(server)


@pytest.fixture(scope="session")
def _postgres_template(postgres_server: PostgresServer) -> str:
    name = postgres_server.make_database()
    Catalog.create(postgres_server.url(name)).close()
    return name


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "catalog.db"
    Catalog.create(f"sqlite:///{path}").close()
    return path


_DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=_DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """Each kind of database in turn: ``sqlite`` or ``postgres``."""
    return str(request.param)


@pytest.fixture
def empty_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address where a catalog could be made."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def catalog_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a new, empty catalog of this test's own."""
    if database == "sqlite":
        path = tmp_path / "catalog.db"
        shutil.copy(request.getfixturevalue("_sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.make_database(request.getfixturevalue("_postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """A new, empty catalog, open."""
    found = Catalog.open(catalog_url)
    yield found
    found.close()
