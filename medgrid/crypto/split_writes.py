"""Writing to several key stores: all of them change, or none.

Databases cannot commit together. So each store first keeps what is to be changed, the first store
last; then each makes the change, the first store first. What the first store has changed is
finished everywhere by whoever comes after an interruption; what it has not is forgotten. Other
writers wait meanwhile.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_door import now_us
from medgrid.crypto.keystore_schema import applied, pending, share
from medgrid.crypto.split_codec import Step, decode, encode, together
from medgrid.crypto.splitting import Batch, split
from medgrid.errors import Busy, IntegrityError, MedgridError, Unreachable

__all__ = ["WRITES", "Pending", "SplitWrites"]

_STALE_S = 30.0
"""A write that is not finished after so long was interrupted."""

_WAIT_S = 60.0
_POLL_S = 0.02
_KEEP_SHARE = "keep share"


class Pending(NamedTuple):
    """A write that is not finished."""

    write_id: str
    who: str
    made_us: int


@dataclass(slots=True)
class _Change:
    """What a transaction does: shares of its batch by place, and steps that all stores take."""

    shares: dict[int, list[Step]]
    steps: list[Step] = field(default_factory=list)
    batch: Batch | None = None


class SplitWrites:
    """Writes to stores by place, all of them.

    Parameters
    ----------
    stores : mapping
        Those that can be reached, by place.
    missing : mapping
        What is known of those that cannot, by place.
    threshold : int
    wait_s : float
        How long to wait for another writer.
    """

    def __init__(
        self,
        stores: Mapping[int, KeyStore],
        missing: Mapping[int, str],
        threshold: int,
        wait_s: float = _WAIT_S,
    ) -> None:
        self._stores = stores
        self._missing = missing
        self._threshold = threshold
        self._wait_s = wait_s
        self._local = threading.local()

    def run(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of every store, in a transaction of its own unless there is one.

        Returns
        -------
        object
            What the first store says.
        """
        with self.transaction():
            step = Step(method, args, options)
            found = [_apply(store, step) for store in self._stores.values()]
            self._local.change.steps.append(step)
        return found[0]

    def batch(self) -> Batch:
        """The batch of the running transaction; its shares are kept when it is first asked for."""
        change: _Change = self._local.change
        if change.batch is None:
            change.batch = Batch.draw()
            shares = split(change.batch.key, self._threshold, len(self._stores))
            for place, store in self._stores.items():
                step = Step(_KEEP_SHARE, (change.batch.id, 0, shares[place]), {})
                _apply(store, step)
                change.shares[place].append(step)
        return change.batch

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write to all stores or to none; inner transactions join.

        Raises
        ------
        Busy
            Another write is not finished.
        Unreachable
            A store cannot be reached: nothing is written.
        """
        if self._change is not None:
            with self._joined(self._change):
                yield
            return
        if any(store.db.in_write for store in self._stores.values()):
            raise RuntimeError("one transaction of several key stores is of one identity")
        if self._missing:
            raise Unreachable(
                f"nothing can be written while a key store is missing: {self._names()}",
                hint="reading needs fewer of them; 'medgrid keystore mend' makes a lost one again",
            )
        write_id = secrets.token_hex(16)
        try:
            with ExitStack() as stack:
                connections = self._begin(stack)
                trials = [connection.begin_nested() for connection in connections.values()]
                self._local.change = change = _Change({place: [] for place in self._stores})
                yield
                for trial in trials:
                    trial.rollback()
                if not change.steps:
                    return
                self._promise(write_id, change, connections)
        except BaseException:
            self._forget(write_id)
            raise
        finally:
            self._local.change = None
        self._fulfil(write_id, change)

    @property
    def _change(self) -> _Change | None:
        found: _Change | None = getattr(self._local, "change", None)
        return found

    def _begin(self, stack: ExitStack) -> dict[int, Connection]:
        """Lock all stores, when no write is unfinished."""
        end_s = time.monotonic() + self._wait_s
        while True:
            self.settle()
            with ExitStack() as trial:
                found = {
                    place: trial.enter_context(_locked(store))
                    for place, store in self._stores.items()
                }
                waiting = self.pending()
                if not waiting:
                    stack.push(trial.pop_all())
                    return found
            if time.monotonic() > end_s:
                raise Busy(
                    f"a write of {waiting[0].who} to the key stores is not finished",
                    hint="when it was interrupted, the next command of this identity ends it",
                )
            time.sleep(_POLL_S)

    @contextmanager
    def _joined(self, change: _Change) -> Iterator[None]:
        before = len(change.steps)
        shares = {place: len(some) for place, some in change.shares.items()}
        batch = change.batch
        with ExitStack() as stack:
            for store in self._stores.values():
                stack.enter_context(store.db.write())
            try:
                yield
            except BaseException:
                del change.steps[before:]
                for place, count in shares.items():
                    del change.shares[place][count:]
                change.batch = batch
                raise

    def _promise(
        self, write_id: str, change: _Change, connections: Mapping[int, Connection]
    ) -> None:
        """Have each store keep what is to be changed; kept when the transactions end."""
        steps = encode(change.steps)
        for place, store in self._stores.items():
            connection = connections[place]
            connection.execute(delete(applied).where(applied.c.identity == store.who))
            row = {"write_id": write_id, "identity": store.who, "made_us": now_us()}
            kept = together(encode(change.shares[place]), steps)
            connection.execute(insert(pending).values(**row, change=kept))

    def _fulfil(self, write_id: str, change: _Change) -> None:
        """Have each store make the change that it keeps, the first store first."""
        is_first = True
        for place, store in self._stores.items():
            try:
                _finish(store, write_id, [*change.shares[place], *change.steps])
            except BaseException:
                if is_first:
                    self._forget(write_id)
                raise
            if is_first and not _has_applied(store, write_id):
                raise Busy("a write to the key stores took too long, and was undone by another")
            is_first = False

    def _forget(self, write_id: str) -> None:
        """Forget a write that the first store has not made."""
        for store in self._stores.values():
            with suppress(MedgridError), store.db.write() as connection:
                connection.execute(delete(pending).where(pending.c.write_id == write_id))

    def settle(self) -> None:
        """Finish or forget writes that were interrupted."""
        for one in self.pending():
            if now_us() - one.made_us > _STALE_S * 1e6:
                self._settle(one.write_id)

    def _settle(self, write_id: str) -> None:
        # what others of a server's users left behind is theirs to settle: not seen by `pending`
        if any(_has_applied(store, write_id) for store in self._stores.values()):
            for store in self._stores.values():
                _finish(store, write_id)
            return
        if 0 not in self._stores:
            return  # the store that decides is missing
        with self._stores[0].db.write() as connection:
            if _has_applied(self._stores[0], write_id):
                return
            connection.execute(delete(pending).where(pending.c.write_id == write_id))
        self._forget(write_id)

    def pending(self) -> list[Pending]:
        """Writes that are not finished."""
        found = {}
        for store in self._stores.values():
            with store.db.read() as connection:
                columns = (pending.c.write_id, pending.c.identity, pending.c.made_us)
                for row in connection.execute(select(*columns)):
                    found[row.write_id] = Pending(row.write_id, row.identity, row.made_us)
        return list(found.values())

    def wait(self) -> bool:
        """Wait until no write is unfinished; False when there was none."""
        end_s = time.monotonic() + self._wait_s
        was_there = False
        while self.pending() and time.monotonic() < end_s:
            was_there = True
            self.settle()
            time.sleep(_POLL_S)
        return was_there

    def _names(self) -> str:
        return ", ".join(self._missing.values())


@contextmanager
def _locked(store: KeyStore) -> Iterator[Connection]:
    """A write transaction that no other one of several stores runs beside."""
    with store.db.write() as connection:
        if not store.db.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE pending IN SHARE ROW EXCLUSIVE MODE")
        yield connection


def _has_applied(store: KeyStore, write_id: str) -> bool:
    question = select(applied.c.write_id).where(applied.c.write_id == write_id)
    with store.db.read() as connection:
        return connection.scalar(question) is not None


def _finish(store: KeyStore, write_id: str, steps: Sequence[Step] | None = None) -> None:
    """Make a change that the store keeps, unless it was made or forgotten.

    `steps` are what it keeps, where that is known.
    """
    with store.db.write() as connection:
        change = store.pending(write_id)
        if change is None:
            return
        connection.execute(delete(pending).where(pending.c.write_id == write_id))
        if steps is None:
            _take_up(store, change)
        else:
            for step in steps:
                _apply(store, step)
        connection.execute(insert(applied).values(write_id=write_id, identity=store.who))


def _take_up(store: KeyStore, change: bytes) -> None:
    """Make a change that was kept: the database may hold anything by now."""
    try:
        for step in decode(change):
            _apply(store, step)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise IntegrityError("an interrupted write in the key store is damaged") from None


def _apply(store: KeyStore, step: Step) -> Any:
    if step.method == _KEEP_SHARE:
        batch, generation, part = step.args
        with store.db.write() as connection:
            connection.execute(insert(share).values(batch=batch, generation=generation, share=part))
        return None
    if step.method == "audit":
        return store.audit.append(*step.args)
    if step.method not in WRITES:
        raise ValueError("no write")
    return getattr(store, step.method)(*step.args, **step.options)


WRITES = frozenset(
    {
        "create_compartments",
        "drop",
        "drop_compartments",
        "drop_delegation",
        "drop_ended_grants",
        "drop_grants",
        "drop_seal",
        "drop_wraps",
        "extend_delegation",
        "put_certificate",
        "put_delegation",
        "put_document",
        "put_grant_headers",
        "put_headers",
        "put_seals",
        "put_wraps",
        "reseal",
    }
)
"""Methods of a key store that a pending write may call: what is kept there is not trusted."""
