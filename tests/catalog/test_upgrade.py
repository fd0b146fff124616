"""Making and opening catalogs, on SQLite and PostgreSQL; upgrades: `tests/database`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from medgrid.actions.broker import refuse_broker
from medgrid.broker.process import own_process
from medgrid.catalog import Catalog
from medgrid.catalog.job_schema import lease as lease_table
from medgrid.catalog.leases import BROKER, TTL_S, LeaseHeld, LeaseLost, open_leases
from medgrid.catalog.upgrade import upgrade
from medgrid.catalog.version import REVISION
from medgrid.database import Database
from medgrid.database.upgrade import Upgraded
from medgrid.errors import ConfigError
from tests.database.kinds import CATALOG_KIND
from tests.lab.schemas import rows_of, schema_of


def test_create_makes_a_catalog_once(empty_url: str) -> None:
    first = Catalog.create(empty_url)
    again = Catalog.create(empty_url)
    assert len(first.grid_id) == 16
    assert again.grid_id == first.grid_id
    assert upgrade(empty_url, refuse_broker) == Upgraded(REVISION, REVISION)
    first.close()
    again.close()


def test_a_database_without_tables_is_no_catalog(empty_url: str) -> None:
    Database(empty_url, create=True).optimize()
    for refused in (Catalog.open, lambda url: upgrade(url, refuse_broker)):
        with pytest.raises(ConfigError) as caught:
            refused(empty_url)
        assert caught.value.message.endswith(" holds no catalog")
        assert caught.value.hint == "make a grid home with 'medgrid init'"


def test_a_new_sqlite_file_is_private(tmp_path: Path) -> None:
    Catalog.create(f"sqlite:///{tmp_path / 'new.db'}").close()
    assert (tmp_path / "new.db").stat().st_mode & 0o777 == 0o600


def test_a_failed_create_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalog.create(f"sqlite:///{tmp_path / 'no' / 'new.db'}")
    assert caught.value.message == (
        f"the catalog {tmp_path / 'no' / 'new.db'} cannot be made: No such file or directory"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["a b%20c?d#é.db", "%2e%2e%2fa", "a#b?mode=ro", "a;b&c=d", "?", "%"]
)
def test_odd_names_of_files_and_folders(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / name
    path.parent.mkdir()
    Catalog.create(f"sqlite:///{path}").close()
    with closing(Catalog.open(f"sqlite:///{path}")) as catalog, catalog.db.read() as connection:
        assert connection.exec_driver_sql("PRAGMA database_list").one().file == str(path)
        assert connection.exec_driver_sql("SELECT count(*) FROM site").scalar_one() == 0
    assert list(tmp_path.iterdir()) == [path.parent]
    assert {one.name for one in path.parent.iterdir()} <= {name, f"{name}-wal", f"{name}-shm"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_upgraded_under_a_broker(empty_url: str) -> None:
    CATALOG_KIND.older(empty_url)
    with open_leases(empty_url) as leases:
        lease = leases.acquire(BROKER, *own_process())
        before = schema_of(empty_url), rows_of(empty_url)
        with pytest.raises(LeaseHeld) as caught:
            upgrade(empty_url, refuse_broker)
        assert caught.value.message == f"no upgrade while a broker works: {own_process()[0]}"
        assert caught.value.hint == "end it with 'medgrid broker stop', then say the same again"
        assert (schema_of(empty_url), rows_of(empty_url)) == before
        leases.release(lease)
        assert upgrade(empty_url, refuse_broker).after == REVISION


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_broker_that_was_silent_can_write_no_more(empty_url: str, is_dead: bool) -> None:
    CATALOG_KIND.older(empty_url)
    with open_leases(empty_url) as leases:
        holder, process = own_process()
        machine = process.split("/")[0]
        lease = leases.acquire(BROKER, holder, f"{machine}/1/none" if is_dead else process)
        if not is_dead:
            with Database(empty_url).write() as connection:
                silent_s = lease_table.c.heartbeat_s - 2 * TTL_S
                connection.execute(update(lease_table).values(heartbeat_s=silent_s))
        upgrade(empty_url, refuse_broker)
        with pytest.raises(LeaseLost), leases.writing(lease):
            pytest.fail("it writes what it knows of the older schema")
        leases.acquire(BROKER, *own_process())
