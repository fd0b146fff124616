"""Both kinds of database that there are, and migrations that are made up."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgrid.catalog import Catalog
from medgrid.catalog.version import SCHEMA as CATALOG
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_version import SCHEMA as KEYSTORE
from medgrid.crypto.keystore_version import open_database
from medgrid.database import Database
from medgrid.database.upgrade import Upgraded, upgrade
from medgrid.database.version import Schema
from tests.older.load import load

__all__ = ["CATALOG_KIND", "KEYSTORE_KIND", "KINDS", "Kind"]

_MIGRATION = '''\
"""Made up."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down_revision}"
branch_labels = None
depends_on = None
{more}

def upgrade() -> None:
{body}
'''


@dataclass(frozen=True)
class Kind:
    """A kind of database: its schema, and how one is made and opened."""

    name: str
    schema: Schema
    create: Callable[[str], Any]
    open: Callable[[str], Database]

    def upgrade(self, url: str, schema: Schema | None = None) -> Upgraded:
        """Upgrade to this medgrid's schema, or a made-up one."""
        with closing(self.open(url)) as db:
            return upgrade(db, schema or self.schema)

    def older(self, url: str) -> str:
        """Make one of the first release, full of rows, and give its revision."""
        load(url, self.name, "0001")
        return "0001"

    def newest(self, url: str) -> None:
        """Make one of this medgrid's schema, full of rows."""
        self.older(url)
        self.upgrade(url)

    def made_up(self, folder: Path) -> Path:
        """Directory of made-up migrations, with a character that configuration files hold dear."""
        return folder / f"{self.name} 100%"

    def later(self, folder: Path, body: str, more: str = "") -> Schema:
        """A schema whose last migration is made up of `body`, lines of Python."""
        made = self.made_up(folder)
        shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(self.schema.migrations, made, ignore=shutil.ignore_patterns("__pycache__"))
        revision = f"{int(self.schema.revision) + 1:04}"
        (made / f"v{revision}_made_up.py").write_text(
            _MIGRATION.format(
                revision=revision,
                down_revision=self.schema.revision,
                more=more,
                body="\n".join(f"    {line}" for line in body.strip().splitlines()),
            )
        )
        return dataclasses.replace(self.schema, revision=revision, migrations=made)


CATALOG_KIND = Kind("catalog", CATALOG, Catalog.create, Database)
KEYSTORE_KIND = Kind("keystore", KEYSTORE, KeyStore.create, open_database)
KINDS = (CATALOG_KIND, KEYSTORE_KIND)
