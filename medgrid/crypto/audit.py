"""The audit log: who did what, in an append-only Merkle tree (RFC 9162).

Appending writes the record and its leaf hash. A checkpoint adds the leaves since the last one to
what is remembered of the tree, and signs the root. Verifying reads all records again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from medgrid.crypto.audit_checkpoint import Checkpoint, Memory
from medgrid.crypto.audit_record import Event, Record
from medgrid.crypto.keystore_door import Door, now_us
from medgrid.crypto.keystore_schema import checkpoint as table
from medgrid.crypto.keystore_schema import compartment
from medgrid.crypto.keystore_values import Signer, Trust
from medgrid.crypto.merkle import Frontier, consistency_proof, inclusion_proof
from medgrid.errors import IntegrityError, NotFound

if TYPE_CHECKING:
    from medgrid.crypto.audit_report import AuditReport
    from medgrid.database import Database

__all__ = ["AuditLog"]


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
        what: str | Collection[str] | None = None,
        since_s: float | None = None,
    ) -> Iterator[Record]:
        """Records that this identity may see, the oldest first.

        Parameters
        ----------
        who : str, optional
            Those of one identity.
        what : str or collection of str, optional
            Those of one verb, thing or patient, or of one of these.
        since_s : float, optional
            Those from this time on, seconds since 1970.
        """
        names = None if what is None else {what} if isinstance(what, str) else {*what}
        since_us = None if since_s is None else math.ceil(since_s * 1e6)
        pages = self._door.records(0)
        if names is not None or since_us is not None or who is not None:
            pages = self._door.numbered(self._door.found(names, since_us, who))
        for page in pages:
            for record in page:
                if who is not None and record.who != who:
                    continue
                if since_us is not None and record.time_us < since_us:
                    continue
                yield record

    def all_records(self, start: int = 0) -> Iterator[list[Record]]:
        """Records that this identity may see from number `start` on, some at a time."""
        return self._door.records(start)

    def leaves(self, start: int = 0) -> Iterator[list[tuple[int, bytes]]]:
        """Numbers and leaf hashes of all records from number `start` on, some at a time."""
        return self._door.leaves(start)

    def kept(self) -> tuple[set[tuple[str, str]], dict[str, str]]:
        """Compartments that are in the store, and digests of its seals: what records speak of."""
        with self._db.read() as connection:
            columns = (compartment.c.patient, compartment.c.data_class, compartment.c.revision)
            compartments = {
                (row.patient, f"{row.data_class} {row.revision}")
                for row in connection.execute(select(*columns))
            }
        return compartments, self._door.seal_digests()

    # -- checkpoints -------------------------------------------------------------------------------

    def checkpoint(self, identity: Signer, memory: Memory) -> Checkpoint:
        """Sign the log's state, keep the checkpoint in the store, and remember it.

        Nothing is signed when there is nothing new.

        Raises
        ------
        IntegrityError
            The log is not a continuation of what is remembered; nothing is signed.
        """
        remembered = memory.recall(self.store_id)
        frontier = self._since(remembered)
        if remembered is not None and remembered[0].size == frontier.size:
            return remembered[0]
        draft = Checkpoint(self.store_id, frontier.size, frontier.root(), now_us(), identity.name)
        made = Checkpoint(
            *(draft.store_id, draft.size, draft.root, draft.time_us, draft.signer),
            identity.sign(draft.signed_bytes()),
        )
        self._keep(made)
        memory.remember(made, frontier)
        return made

    def _since(self, remembered: tuple[Checkpoint, Frontier] | None) -> Frontier:
        """The tree now, grown from what is remembered: what was cut off does not go unnoticed."""
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

    def verify(
        self, trust: Trust, memory: Memory | None = None, copies: Sequence[Path] = ()
    ) -> AuditReport:
        """Read the whole log again; see `medgrid.crypto.audit_verify.verify`."""
        from medgrid.crypto.audit_verify import verify

        return verify(self, trust, memory, copies)

    def copy_to(self, path: Path) -> int:
        """Add what is new to a copy; see `medgrid.crypto.audit_copy.copy_to`."""
        from medgrid.crypto.audit_copy import copy_to

        return copy_to(self, path)


def _broken(how: str) -> IntegrityError:
    return IntegrityError(
        f"the audit log is not whole: {how}", hint="'medgrid audit verify' says more"
    )
