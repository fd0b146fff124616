"""Databases of older releases, as those made them, with rows in every table."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import make_url

from tests.lab.postgres import binaries

__all__ = ["load", "revisions"]

_HERE = Path(__file__).parent


def revisions(name: str) -> list[str]:
    """Which schemas of the ``catalog`` or the ``keystore`` are kept."""
    return sorted(
        path.name.split(".")[0].split("-")[1] for path in _HERE.glob(f"{name}-*.sqlite.sql")
    )


def load(url: str, name: str, revision: str) -> None:
    """Make the database of an older release where there is an empty one, or no file."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        path.touch(mode=0o600)
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript((_HERE / f"{name}-{revision}.sqlite.sql").read_text("utf-8"))
        connection.close()
        return
    bin_dir = binaries()
    assert bin_dir is not None
    address = make_url(url)
    script = (_HERE / f"{name}-{revision}.postgres.sql").read_bytes()
    subprocess.run(
        [
            *(str(bin_dir / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-h"),
            *(str(address.query["host"]), "-U", str(address.username), str(address.database)),
        ],
        check=True,
        input=script,
        capture_output=True,
    )
