"""Making, opening and upgrading catalogs, on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from medgrid.catalog import Catalog
from medgrid.catalog.upgrade import migrate, upgrade
from medgrid.catalog.version import REVISION
from medgrid.database import Database
from medgrid.errors import ConfigError
from tests.lab.postgres import binaries


def _schema_of(url: str) -> list[str]:
    """Lines of the statements that make the tables, as the database itself tells them, sorted."""
    if url.startswith("sqlite"):
        db = Database(url)
        with db.read() as connection:
            rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
            dump = "\n".join(sql for (sql,) in rows)
        db.close()
    else:
        bin_dir = binaries()
        assert bin_dir is not None
        address = make_url(url)
        dump = subprocess.run(
            [
                *(str(bin_dir / "pg_dump"), "--schema-only", "-h", str(address.query["host"])),
                *("-U", str(address.username), str(address.database)),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    lines = ("".join(line.split()).rstrip(",") for line in dump.splitlines())
    return sorted(line for line in lines if line and not line.startswith(("--", "\\")))


def test_migrations_make_the_tables_of_the_metadata(empty_url: str, catalog_url: str) -> None:
    db = Database(empty_url, create=True)
    migrate(db)
    db.close()
    assert _schema_of(empty_url) == _schema_of(catalog_url)


def test_create_makes_a_catalog_once(empty_url: str) -> None:
    first = Catalog.create(empty_url)
    again = Catalog.create(empty_url)
    assert len(first.grid_id) == 16
    assert again.grid_id == first.grid_id
    assert upgrade(empty_url) == (REVISION, REVISION)
    first.close()
    again.close()


def _set_revision(url: str, revision: str) -> None:
    db = Database(url)
    with db.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    db.close()


def test_an_older_catalog_is_refused_with_the_way_out(catalog_url: str) -> None:
    _set_revision(catalog_url, "0000")
    with pytest.raises(ConfigError) as caught:
        Catalog.open(catalog_url)
    name = Database(catalog_url).name
    assert caught.value.message == f"the catalog {name} has schema 0000, this medgrid needs 0001"
    assert caught.value.hint == "run 'medgrid catalog upgrade'"


def test_a_newer_catalog_is_refused(catalog_url: str) -> None:
    _set_revision(catalog_url, "9999")
    name = Database(catalog_url).name
    for refused in (Catalog.open, Catalog.create, upgrade):
        with pytest.raises(ConfigError) as caught:
            refused(catalog_url)
        assert caught.value.message == (
            f"the catalog {name} has schema 9999, newer than this medgrid's 0001"
        )
        assert caught.value.hint == "install the newer medgrid that made it"


def test_an_unknown_schema_cannot_be_upgraded(catalog_url: str) -> None:
    _set_revision(catalog_url, "0000")
    with pytest.raises(ConfigError, match=r"cannot be upgraded from schema 0000$"):
        upgrade(catalog_url)


def test_a_database_without_tables_is_no_catalog(empty_url: str) -> None:
    Database(empty_url, create=True).optimize()
    for refused in (Catalog.open, upgrade):
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


def test_odd_file_names(tmp_path: Path) -> None:
    path = tmp_path / "a b%20c?d#é.db"
    Catalog.create(f"sqlite:///{path}").close()
    assert path.exists()
