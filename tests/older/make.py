"""Makes what the tests keep of a release: its catalog and its key store, with rows in every table.

    python -m tests.older.make

writes ``catalog-REVISION.KIND.sql`` and ``keystore-REVISION.KIND.sql`` beside this file, for SQLite
and PostgreSQL, of the revisions that this checkout makes. Run it once for each release, and never
change what it wrote. A row that refers to another names one that is there; the last row of
each table has no value wherever it may have none.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, delete, insert, inspect, text

from tests.database.kinds import KINDS
from tests.lab.postgres import PostgresServer, binaries, new_server, remove_server

HERE = Path(__file__).parent
ROWS = 3

_KNOWN: Mapping[str, tuple[Any, ...]] = {
    "site.site_class": ("keys", "compute", "store"),
    "object.kind": ("series", "volume", "file"),
    "object.data_class": ("nominative", "image", "public"),
    "object.review": ("", "needed", "passed"),
    "care.role": ("patient", "physician", "physician"),
    "job.state": ("Done", "Running", "Submitted"),
    "job.cause": ("ok", None, None),
    "job.worker": ("worker 1", "worker 2", None),
    "attribute_name.type": ("num", "text", "text"),
    "attribute_name.place": ("rows", "document", "column"),
    "compartment.data_class": ("image", "nominative", "image"),
    "protected.data_class": ("image", "nominative", "image"),
    "store.split_id": (None,),
}
"""Values that are not any: by ``table.column``, for each row."""


def value(table: Table, column: Column[Any], row: int) -> Any:
    """What stands in a column of row 1, 2 or 3."""
    key = f"{table.name}.{column.name}"
    if key in _KNOWN:
        return _KNOWN[key][row - 1]
    if column.foreign_keys:
        (reference,) = column.foreign_keys
        return value(reference.column.table, reference.column, row)
    if row == ROWS and column.nullable:
        return None
    kind = getattr(column.type, "impl_instance", column.type).python_type
    if kind is str:
        return f"{column.name.replace('_', ' ')} {row}" + (" 'é\n" if row == 2 else "")
    if kind is bytes:
        return f"{key} {row}".encode() + bytes(range(256 if row == 2 else 8))
    if kind is bool:
        return row == 1
    if kind is float:
        return 1_700_000_000.123456 + row
    if kind is int:
        # places in one large table are counted, other numbers may be too large for 32 bits
        is_large = str(column.type) == "BIGINT" and not column.primary_key
        return row + (2**53 if is_large else 0)
    return {"text": f"'\"é\n{row}", "number": row / 8, "many": [None, True, {"a": row}]}


def fill(connection: Connection, tables: MetaData) -> None:
    """Put rows into every table, in place of those that a new database has."""
    for table in tables.sorted_tables:
        connection.execute(delete(table))
        count = 1 if table.name in ("grid", "store") else ROWS
        connection.execute(
            insert(table),
            [
                {column.name: value(table, column, row) for column in table.c}
                for row in range(1, count + 1)
            ],
        )
    if connection.dialect.name == "postgresql":
        _finish_server(connection, tables)


def _finish_server(connection: Connection, tables: MetaData) -> None:
    for table in tables.tables.values():
        for column in table.c:
            where = {"table": f'"{table.name}"', "column": column.name}
            counter = text("SELECT pg_get_serial_sequence(:table, :column)")
            if connection.scalar(counter, where) is not None:
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence(:table, :column), {ROWS})"), where
                )
    if inspect(connection).has_table("ticket"):
        connection.execute(
            text("INSERT INTO ticket VALUES (0, 1, 'me', 'headers', '\\x01', '700', 'epoch')")
        )


def dump_sqlite(path: Path) -> str:
    """A file as SQL."""
    connection = sqlite3.connect(path)
    try:
        return "\n".join(connection.iterdump()) + "\n"
    finally:
        connection.close()


def dump_postgres(server: PostgresServer, database: str) -> str:
    """A database as SQL, without what differs from server to server."""
    bin_dir = binaries()
    assert bin_dir is not None
    words = ["--no-owner", "--column-inserts", "-U", "medgrid", "-h", str(server.sockets), database]
    made = subprocess.run(
        [str(bin_dir / "pg_dump"), *words], check=True, capture_output=True, text=True
    ).stdout
    made = re.sub(r"^(--\n(-- .*\n)+--|-- Dumped .*)\n+", "", made, flags=re.MULTILINE)
    return re.sub(r"^(SET (?!check_function_bodies).*;|\\.*)\n", "", made, flags=re.MULTILINE)


def main() -> int:
    server = new_server()
    try:
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                path, database = Path(folder) / "made.db", server.make_database()
                for url in (f"sqlite:///{path}", server.url(database)):
                    kind.create(url).close()
                    with closing(kind.open(url)) as db, db.write() as connection:
                        fill(connection, kind.schema.tables)
                name = f"{kind.name}-{kind.schema.revision}"
                (HERE / f"{name}.sqlite.sql").write_text(dump_sqlite(path), "utf-8")
                (HERE / f"{name}.postgres.sql").write_text(dump_postgres(server, database), "utf-8")
    finally:
        remove_server(server)
    return 0


if __name__ == "__main__":
    sys.exit(main())
