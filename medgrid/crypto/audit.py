"""The audit log: who did what, in an append-only Merkle tree (RFC 9162).

Appending writes the record and its leaf hash. A checkpoint adds the leaves since the last one to
what is remembered of the tree, and signs the root. Verifying reads all records again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from medgrid.crypto.audit_checkpoint import Checkpoint, Memory
from medgrid.crypto.audit_record import Event, Record
from medgrid.crypto.keystore_door import Door, now_us
from medgrid.crypto.keystore_schema import checkpoint as table
from medgrid.crypto.keystore_values import Signer, Trust
from medgrid.crypto.merkle import EMPTY_ROOT, Frontier, consistency_proof, inclusion_proof
from medgrid.errors import Denied, IntegrityError, NotFound

if TYPE_CHECKING:
    from medgrid.database import Database

__all__ = ["AuditLog", "AuditReport"]

_PROBLEMS_MAX = 100


@dataclass(slots=True)
class AuditReport:
    """What `AuditLog.verify` found: a log is whole when there are no `problems`.

    `signed` is how many of its records are covered by a checkpoint.
    """

    size: int = 0
    root: bytes = b""
    signed: int = 0
    problems: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise `IntegrityError` when there are problems."""
        if self.problems:
            error = IntegrityError(f"the audit log is not whole: {self.problems[0]}")
            error.detail = tuple(self.problems[1:])
            raise error

    def add(self, problem: str) -> None:
        """Note a problem; of very many the first ones are enough."""
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(problem)


class AuditLog:
    """The log of one key store, as the identity sees it that the store was opened for."""

    def __init__(self, db: Database, store_id: str, door: Door) -> None:
        self._db = db
        self._door = door
        self.store_id = store_id

    # -- reading and writing -----------------------------------------------------------------------

    def append(self, *events: Event) -> None:
        """Write records; inside a transaction of the key store they are part of it."""
        with self._db.write() as connection:
            self._door.append(connection, events)

    def records(
        self,
        *,
        who: str | None = None,
        what: str | None = None,
        since_s: float | None = None,
    ) -> Iterator[Record]:
        """Records that this identity may see, the oldest first.

        Parameters
        ----------
        who : str, optional
            Those of one identity.
        what : str, optional
            Those of one verb, thing or patient.
        since_s : float, optional
            Those from this time on, seconds since 1970.
        """
        for rows in self._door.records(0):
            for record in rows:
                if who is not None and record.who != who:
                    continue
                if what is not None and what not in (record.verb, record.thing, record.patient):
                    continue
                if since_s is not None and record.time_s < since_s:
                    continue
                yield record

    # -- checkpoints -------------------------------------------------------------------------------

    def checkpoint(self, identity: Signer, memory: Memory) -> Checkpoint:
        """Sign the log's state, keep the checkpoint in the store, and remember it.

        Raises
        ------
        IntegrityError
            The log is not a continuation of what is remembered; nothing is signed.
        """
        frontier = self._since(memory)
        draft = Checkpoint(self.store_id, frontier.size, frontier.root(), now_us(), identity.name)
        made = Checkpoint(
            *(draft.store_id, draft.size, draft.root, draft.time_us, draft.signer),
            identity.sign(draft.signed_bytes()),
        )
        self._keep(made)
        memory.remember(made, frontier)
        return made

    def _since(self, memory: Memory) -> Frontier:
        """The tree now, grown from what is remembered: what was cut off does not go unnoticed."""
        remembered = memory.recall(self.store_id)
        frontier = Frontier() if remembered is None else remembered[1].copy()
        start = frontier.size
        expected = max(start - 1, 0)
        for leaves in self._door.leaves(expected):
            for seq, leaf in leaves:
                if seq != expected:
                    raise _broken(f"records are missing before record {seq}")
                expected += 1
                if seq >= start:
                    frontier.extend((leaf,))
        if expected < start:
            raise _broken(f"its end is cut off since the checkpoint of {start} records")
        return frontier

    def _keep(self, made: Checkpoint) -> None:
        row = {
            "size": made.size,
            "signer": made.signer,
            "time_us": made.time_us,
            "root": made.root,
            "signature": made.signature,
        }
        with self._db.write() as connection:
            there = select(table.c.size).where(
                table.c.size == made.size, table.c.signer == made.signer
            )
            if connection.scalar(there) is None:
                connection.execute(insert(table).values(row))

    def checkpoints(self) -> list[Checkpoint]:
        """Checkpoints that are kept in the store, the smallest log first; not yet verified."""
        with self._db.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.size, table.c.time_us))
            return [
                Checkpoint(
                    *(self.store_id, row.size, row.root, row.time_us, row.signer, row.signature)
                )
                for row in rows
            ]

    # -- proofs ------------------------------------------------------------------------------------

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` records, of all by default."""
        frontier = Frontier()
        frontier.extend(self._leaves(size))
        return frontier.root()

    def inclusion(self, seq: int, size: int | None = None) -> list[bytes]:
        """Proof that record `seq` is among the first `size`; see `merkle.check_inclusion`."""
        return inclusion_proof(self._leaves(size), seq)

    def consistency(self, first: int, size: int | None = None) -> list[bytes]:
        """Proof that `size` records begin with the first ones; see `merkle.check_consistency`."""
        return consistency_proof(self._leaves(size), first)

    def _leaves(self, size: int | None) -> list[bytes]:
        found = [leaf for leaves in self._door.leaves(0) for _, leaf in leaves]
        if size is None:
            return found
        if size > len(found):
            raise NotFound(f"the audit log has {len(found)} records, not {size}")
        return found[:size]

    # -- verifying ---------------------------------------------------------------------------------

    def verify(self, trust: Trust, others: Sequence[Checkpoint] = ()) -> AuditReport:
        """Read the whole log again, and compare it with all checkpoints that are known.

        Parameters
        ----------
        trust : callable
            Gives the certified keys of those who signed checkpoints.
        others : sequence of Checkpoint
            Known from elsewhere: remembered, or from a copy.

        Returns
        -------
        AuditReport
        """
        report = AuditReport()
        known = [one for one in self.checkpoints() if self._is_signed(one, trust, report)]
        for one in others:
            if one.store_id != self.store_id:
                report.add(f"the checkpoint of {one.signer} belongs to another key store")
            elif self._is_signed(one, trust, report):
                known.append(one)
        self._read(known, report)
        return report

    def _is_signed(self, checkpoint: Checkpoint, trust: Trust, report: AuditReport) -> bool:
        try:
            checkpoint.verify(trust(checkpoint.signer).signing_public)
        except (IntegrityError, Denied, NotFound) as error:
            report.add(error.message)
            return False
        return True

    def _read(self, known: Sequence[Checkpoint], report: AuditReport) -> None:
        sizes = {one.size for one in known}
        frontier, roots = Frontier(), {0: EMPTY_ROOT}
        for leaf in self._checked_leaves(report):
            frontier.extend((leaf,))
            if frontier.size in sizes:
                roots[frontier.size] = frontier.root()
        report.size, report.root = frontier.size, frontier.root()
        for one in known:
            when = f"the checkpoint that {one.signer} signed of {one.size} records"
            if one.size > report.size:
                report.add(
                    f"its end is cut off: {when} is known, and there are {report.size} records"
                )
            elif roots[one.size] != one.root:
                report.add(f"records were changed before {when}")
            else:
                report.signed = max(report.signed, one.size)

    def _checked_leaves(self, report: AuditReport) -> Iterator[bytes]:
        """Leaf hashes in order; records that can be read are hashed again."""
        records = (record for rows in self._door.records(0) for record in rows)
        record = next(records, None)
        expected = 0
        for leaves in self._door.leaves(0):
            for seq, leaf in leaves:
                if seq != expected:
                    report.add(f"records are missing or misplaced before record {seq}")
                expected = seq + 1
                while record is not None and record.seq <= seq:
                    if record.seq == seq and record.leaf() != leaf:
                        report.add(f"record {seq} was changed")
                    record = next(records, None)
                yield leaf


def _broken(how: str) -> IntegrityError:
    return IntegrityError(
        f"the audit log is not whole: {how}", hint="'medgrid audit verify' says more"
    )
