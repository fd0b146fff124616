"""A key store with many keys, and the audit log of many releases, on SQLite.

Run: python -m tests.benchmarks.bench_keystore [--keys N] [--records N]
Keys are kept, released, lent to a broker and borrowed by it. Then a log is signed, appended to,
signed again and verified whole. Time is that of this processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from medgrid.crypto.audit_checkpoint import Memory
from medgrid.crypto.audit_record import Event
from medgrid.crypto.compartments import Compartments
from medgrid.crypto.delegation import borrow, lend
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_values import HeaderRow
from medgrid.model import DataClass, ObjectId
from tests.benchmarks.figures import Figure, Row, command, processor_s
from tests.crypto.conftest import everybody

KEEP = Figure("10 k data keys kept in a key store", " s", at_most=5)
RELEASE = Figure("10 k data keys released, each recorded", " s", at_most=5)
LEND = Figure("10 k data keys lent to a broker and borrowed by it", " s", at_most=5)
SIGN = Figure("an audit log of 100 k records signed for the first time", " s", at_most=5)
AGAIN = Figure("the same signed again after one more record", " s", at_most=1)
VERIFY = Figure("the same verified whole", " s", at_most=10)
FIGURES = (KEEP, RELEASE, LEND, SIGN, AGAIN, VERIFY)
QUICK = {"keys": 200, "records": 2000}
BATCH = 10_000


def keys_of(store: KeyStore, count: int) -> Iterator[Row]:
    """Keep, release, lend and borrow keys of one patient."""
    people = everybody()
    alice, broker = people["alice"], people["broker"]
    Compartments(store, alice, people.trust).create("P-1", DataClass.IMAGE)
    rows = [
        HeaderRow(ObjectId(f"{n:032x}"), "P-1", DataClass.IMAGE, 1, None, bytes(124), b"m" * 250)
        for n in range(count)
    ]
    yield KEEP.row(processor_s(lambda: store.put_headers(rows)))
    yield RELEASE.row(processor_s(lambda: store.release([row.object_id for row in rows], "submit")))
    lent = [(number, row.object_id, bytes(32)) for number, row in enumerate(rows)]

    def lend_and_borrow() -> None:
        lend(store, 1, {"broker": broker.encryption_public}, lent)
        if len(borrow(store.acting("broker"), broker, 1)) != count:
            raise SystemExit("not all keys came back")

    yield LEND.row(processor_s(lend_and_borrow))


def log_of(store: KeyStore, count: int, memory: Memory) -> Iterator[Row]:
    """Sign and verify a log."""
    people = everybody()
    alice = people["alice"]
    for start in range(0, count, BATCH):
        ids = range(start, min(count, start + BATCH))
        store.audit.append(*(Event("release", f"{n:032x}", "P-1", "x") for n in ids))
    yield SIGN.row(processor_s(lambda: store.audit.checkpoint(alice, memory)))
    store.audit.append(Event("release"))
    yield AGAIN.row(processor_s(lambda: store.audit.checkpoint(alice, memory)))

    def verify() -> None:
        report = store.audit.verify(people.trust, memory)
        if report.problems or report.size != count + 1:
            raise SystemExit("the log is not whole")

    yield VERIFY.row(processor_s(verify))


def measure(keys: int = 10_000, records: int = 100_000) -> Iterator[Row]:
    """Measure a key store with keys, and another with a log alone."""
    with tempfile.TemporaryDirectory(prefix="mg-bench-") as name:
        folder = Path(name)
        for title, count in (("keys", keys), ("log", records)):
            store = KeyStore.create(f"sqlite:///{folder / title}.db", "alice")
            try:
                if title == "keys":
                    yield from keys_of(store, count)
                else:
                    yield from log_of(store, count, Memory(folder / "memory"))
            finally:
                store.close()


if __name__ == "__main__":
    command(measure, __doc__)
