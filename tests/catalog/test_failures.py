"""What the user reads when the catalog's database is missing, locked, full, broken or gone."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.database import Database, DatabaseFull
from medgrid.database.connections import address_for_people
from medgrid.errors import Busy, ConfigError, Denied, IntegrityError, Unreachable
from medgrid.model import LFN, GridObject, ObjectKind, Sha256, Site, SiteClass, new_object_id
from tests.lab.disks import small_disk
from tests.lab.postgres import new_server, remove_server


def _object(lfn: str, patient: str | None = None, **attributes: str) -> Registration:
    item = GridObject(
        id=new_object_id(),
        lfn=LFN(lfn),
        kind=ObjectKind.FILE,
        filename="file",
        size_bytes=1,
        sha256=Sha256("0" * 64),
        attributes=attributes,
    )
    return Registration(item, patient=patient)


# -- SQLite ----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A new catalog's file."""
    Catalog.create(f"sqlite:///{tmp_path / 'catalog.db'}").close()
    return tmp_path / "catalog.db"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    assert caught.value.message == f"there is no catalog at {tmp_path / 'catalog.db'}"
    assert caught.value.hint == "make a grid home with 'medgrid init'"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A folder of somebody else, say; nobody may look at a name that is too long."""
    path = tmp_path / ("x" * 300) / "catalog.db"
    with pytest.raises(ConfigError) as caught:
        Catalog.open(f"sqlite:///{path}")
    assert caught.value.message == f"the catalog {path} cannot be opened"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"this is a diary, not a database\n" * 100)
    for door in (Catalog.open, Catalog.create):
        with pytest.raises(ConfigError) as caught:
            door(f"sqlite:///{tmp_path / 'catalog.db'}")
        assert caught.value.message == (
            f"{tmp_path / 'catalog.db'} is not a catalog: it is no SQLite database"
        )
    assert (tmp_path / "catalog.db").read_bytes().startswith(b"this is a diary")


def test_a_damaged_file(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        list(Catalog.open(f"sqlite:///{path}").objects.lfns(parse("/")))
    assert caught.value.message == f"the catalog {path} is damaged"
    assert caught.value.exit_code == 6


def test_a_locked_catalog(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    db = Database(f"sqlite:///{path}", busy_timeout_s=0.1)
    with pytest.raises(Busy) as caught, db.write():
        pass
    assert caught.value.message == (
        f"the catalog {path} is locked by another process for more than 0.1 s"
    )
    assert caught.value.exit_code == 7
    assert Catalog.open(f"sqlite:///{path}").places.sites() == []  # readers go on
    other.close()


def test_a_catalog_that_cannot_be_written(path: Path) -> None:
    """The file belongs to somebody else; tried as an ordinary user when we are root."""
    script = (
        "import os, sys\n"
        "import medgrid.catalog.places, sqlalchemy.dialects.sqlite.pysqlite\n"
        "from medgrid.catalog import Catalog\n"
        "from medgrid.errors import ConfigError\n"
        "from medgrid.model import Site\n"
        "if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "catalog = Catalog.open(sys.argv[1])\n"
        "print(catalog.places.sites())\n"
        "try: catalog.places.put_site(Site('a'))\n"
        "except ConfigError as error: print(error.message, '|', error.hint)\n"
    )
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        copy = Path(directory) / "catalog.db"
        shutil.copy(path, copy)
        copy.chmod(0o444)
        Path(directory).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", script, f"sqlite:///{copy}"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stderr == ""
    assert done.stdout == (
        f"[]\nthe catalog {copy} cannot be written |"
        " check the permissions of the file and of its directory\n"
    )


def test_a_full_disk_keeps_what_was(path: Path) -> None:
    catalog = Catalog.open(f"sqlite:///{path}")
    with catalog.db.connect() as connection:  # this thread's next one is the same
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}")
    catalog.objects.register([_object("/before")])
    with pytest.raises(DatabaseFull) as caught:
        catalog.objects.register([_object(f"/x/{n}", note="x" * 1000) for n in range(1000)])
    assert caught.value.message == f"the catalog {path}: the disk is full"
    assert caught.value.hint == "free some space; nothing was changed"
    assert caught.value.exit_code == 7
    assert list(catalog.objects.lfns(parse("/"))) == ["/before"]
    catalog.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that gets full")
def test_a_disk_without_room_for_what_sqlite_puts_beside_it(path: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk):
        copy = shutil.copy(path, disk)
        with (disk / "filler").open("wb") as filler, pytest.raises(OSError, match="No space"):
            while True:
                os.write(filler.fileno(), bytes(4096))
        with pytest.raises(Unreachable) as caught:
            Catalog.open(f"sqlite:///{copy}")
        assert caught.value.message == f"the catalog {copy}: the disk reports an error"
        assert caught.value.hint == "see whether it has space left, and whether it is healthy"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "the catalog's address is not a database URL"),
        ("sqlite://", "the catalog must be a file"),
        ("sqlite:///:memory:", "the catalog must be a file"),
        ("mysql://u:secret@h/d", "a catalog cannot live in 'mysql'"),
        ("postgresql://u@h:secret/d", "the catalog's address is not a database URL"),
    ],
)
def test_an_address_that_is_none(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog.open(url)
    assert caught.value.message == message
    assert "secret" not in str(caught.value)


def test_no_password_of_an_address_is_told() -> None:
    query = "host=/nowhere&password=secret&sslpassword=secret&user=u"
    for url in (f"postgresql://u@/d?{query}", "postgresql://u:secret@/d?host=/nowhere"):
        with pytest.raises(Unreachable) as caught:
            Catalog.open(url)
        assert "secret" not in f"{caught.value} {caught.value.hint}"
        assert "/d?" in str(caught.value)
        assert "secret" not in address_for_people(url)
    assert address_for_people("postgresql://u@h:secret/d") == "an address that is no database URL"


# -- PostgreSQL ------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_server_that_goes_away_and_comes_back() -> None:
    server = new_server()
    try:
        url = server.url(server.make_database())
        catalog = Catalog.create(url)
        catalog.places.put_site(Site("a"))
        server.stop()
        for _ in range(2):
            with pytest.raises(Unreachable) as caught:
                catalog.places.sites()
            assert caught.value.exit_code == 7
            assert (
                caught.value.message == f"the catalog {catalog.db.name}: the server does not answer"
            )
        with pytest.raises(Unreachable):
            Catalog.open(url)
        server.start()
        assert catalog.places.sites() == [Site("a")]
        with pytest.raises(Unreachable) as caught, catalog.db.write() as connection:
            connection.exec_driver_sql("SELECT 1")
            server.stop(signal.SIGQUIT)
            connection.exec_driver_sql("SELECT 1")
        assert caught.value.message == f"the catalog {catalog.db.name}: the server has gone away"
        catalog.close()
    finally:
        remove_server(server)


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"])
def test_what_the_server_refuses(catalog_url: str, database: str) -> None:
    absent = catalog_url.replace("@/", "@/absent_")
    with pytest.raises(ConfigError) as caught:
        Catalog.open(absent)
    assert caught.value.message.endswith(": the server has no such database")
    with pytest.raises(Denied) as denied:
        Catalog.open(catalog_url.replace("medgrid@", "nobody:secret@"))
    assert denied.value.message.endswith(": the server refuses this user")
    assert "secret" not in denied.value.message


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"])
def test_a_lock_that_is_held_too_long(catalog: Catalog, catalog_url: str, database: str) -> None:
    impatient = Database(catalog_url, busy_timeout_s=0.1)
    with (
        catalog.db.write() as holder,
        pytest.raises(Busy) as caught,
        impatient.write() as connection,
    ):
        holder.exec_driver_sql("LOCK TABLE site")
        connection.exec_driver_sql("LOCK TABLE site")
    assert caught.value.message.endswith("is locked by another process for more than 0.1 s")
    impatient.close()


# -- several writers -------------------------------------------------------------------------------


def _write_many(url: str, writer: int) -> None:
    catalog = Catalog.open(url)
    for number in range(20):
        catalog.objects.register(
            [_object(f"/w{writer}/{number}", f"P-{number % 3}", StudyDate=f"20{writer:02d}-01-01")]
        )
    catalog.close()


def test_concurrent_writers_lose_nothing(catalog_url: str, catalog: Catalog) -> None:
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=_write_many, args=(catalog_url, n)) for n in range(1, 5)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0, 0, 0, 0]
    assert catalog.objects.count(parse("/")) == 80
    assert set(catalog.objects.select(parse("/"), ["PatientID", "visits"])) == {
        ("P-0", 4),
        ("P-1", 4),
        ("P-2", 4),
    }


def test_transactions_join_and_fail_alone(catalog: Catalog) -> None:
    with catalog.transaction():
        catalog.places.put_site(Site("kept"))
        with pytest.raises(ValueError, match="inner"), catalog.transaction():
            catalog.places.put_site(Site("undone"))
            raise ValueError("inner")
        catalog.objects.register([_object("/kept")])
    assert catalog.places.sites() == [Site("kept")]
    with pytest.raises(ValueError, match="outer"), catalog.transaction():
        catalog.places.put_site(Site("gone"))
        raise ValueError("outer")
    assert catalog.places.sites() == [Site("kept")]
    assert catalog.objects.exists(LFN("/kept"))


def test_threads_have_transactions_of_their_own(catalog: Catalog) -> None:
    seen: list[list[Site]] = []
    with catalog.transaction():
        catalog.places.put_site(Site("mine"))
        reader = threading.Thread(target=lambda: seen.append(catalog.places.sites()))
        reader.start()
        reader.join()
    assert seen == [[]]
    assert catalog.places.sites() == [Site("mine")]


def test_what_one_read_asks_is_of_one_state(catalog: Catalog, catalog_url: str) -> None:
    with closing(Catalog.open(catalog_url)) as other, catalog.db.read() as connection:
        question = text("SELECT count(*) FROM site")
        before = connection.scalar(question)
        other.places.put_site(Site("new"))
        assert connection.scalar(question) == before
    assert [site.name for site in catalog.places.sites()] == ["new"]


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"])
def test_who_stands_still_in_a_write_keeps_nobody_out_for_ever(
    catalog: Catalog, catalog_url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.places.put_site(Site("one"))
    monkeypatch.setattr("medgrid.database.connections._IDLE_MOST_S", 0.1)
    with pytest.raises(Unreachable, match="the server has gone away"), catalog.transaction():
        catalog.places.put_site(Site("one", SiteClass.STORE))
        monkeypatch.undo()
        with closing(Catalog.open(catalog_url)) as other:
            other.places.put_site(Site("one", SiteClass.COMPUTE))
        catalog.places.put_site(Site("one", SiteClass.KEYS))
    assert [site.site_class for site in catalog.places.sites()] == [SiteClass.COMPUTE]
