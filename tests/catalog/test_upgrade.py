"""Making and opening catalogs, on SQLite and PostgreSQL; upgrades: `tests/database`."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.upgrade import upgrade
from medgrid.catalog.version import REVISION
from medgrid.database import Database
from medgrid.database.upgrade import Upgraded
from medgrid.errors import ConfigError


def test_create_makes_a_catalog_once(empty_url: str) -> None:
    first = Catalog.create(empty_url)
    again = Catalog.create(empty_url)
    assert len(first.grid_id) == 16
    assert again.grid_id == first.grid_id
    assert upgrade(empty_url) == Upgraded(REVISION, REVISION)
    first.close()
    again.close()


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
