"""Verifying the audit log: all of it is read and hashed again.

Changed, missing, moved and inserted records show in the hashes and numbers of the records. Whoever
changes the hashes too, or cuts records off at the end, is found out by a checkpoint that covers
them: those in the store, the one that this client remembers, those in copies. What came after the
last checkpoint is covered by none yet: sign one after each command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medgrid.crypto.audit import AuditLog
from medgrid.crypto.audit_checkpoint import Checkpoint, Memory
from medgrid.crypto.audit_record import Record
from medgrid.crypto.audit_report import AuditReport
from medgrid.crypto.keystore_values import Trust
from medgrid.crypto.merkle import EMPTY_ROOT, Frontier
from medgrid.errors import Denied, IntegrityError, NotFound

__all__ = ["verify"]


def verify(
    log: AuditLog, trust: Trust, memory: Memory | None = None, copies: Sequence[Path] = ()
) -> AuditReport:
    """Read a log again and compare it with all that is known of it.

    Parameters
    ----------
    log : AuditLog
    trust : Trust
        Says whose checkpoints count.
    memory : Memory, optional
        What this client remembers.
    copies : sequence of Path
        Copies at other sites.

    Raises
    ------
    ConfigError
        What is remembered, or a copy, cannot be read.
    IntegrityError
        A copy is damaged itself.
    """
    from medgrid.crypto.audit_copy import verify_against

    report = AuditReport()
    others: list[Checkpoint] = []
    for path in copies:
        others += verify_against(log, path, report)
    remembered = memory.recall(log.store_id) if memory is not None else None
    if remembered is not None:
        others.append(remembered[0])
    known = [
        one
        for one in dict.fromkeys((*log.checkpoints(), *others))
        if _is_signed(one, log.store_id, trust, report)
    ]
    kept = _Kept()
    _read(log, known, kept, report)
    kept.compare(log, report)
    return report


def _is_signed(checkpoint: Checkpoint, store_id: str, trust: Trust, report: AuditReport) -> bool:
    if checkpoint.store_id != store_id:
        report.add(f"a checkpoint of {checkpoint.signer} belongs to another key store")
        return False
    try:
        trust.check_signature(checkpoint.signer, checkpoint.signed_bytes(), checkpoint.signature)
    except IntegrityError:
        report.add(
            f"the checkpoint of {checkpoint.size} records was not signed by {checkpoint.signer}"
        )
        return False
    except (Denied, NotFound) as error:
        report.add(error.message)
        return False
    return True


def _read(log: AuditLog, known: Sequence[Checkpoint], kept: _Kept, report: AuditReport) -> None:
    sizes = {one.size for one in known}
    frontier, roots = Frontier(), {0: EMPTY_ROOT}
    for leaf in _checked_leaves(log, kept, report):
        frontier.extend((leaf,))
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    report.size, report.root = frontier.size, frontier.root()
    for one in known:
        if one.size > report.size:
            report.add(
                f"its end is cut off: {one.signer} signed {one.size} records, and there are "
                f"{report.size}"
            )
        elif roots[one.size] != one.root:
            report.add(f"the first {one.size} records are not those that {one.signer} signed")
        else:
            report.signed = max(report.signed, one.size)


def _checked_leaves(log: AuditLog, kept: _Kept, report: AuditReport) -> Iterator[bytes]:
    """Leaf hashes in order; records that this identity may see are hashed again, and noted."""
    records = (kept.note(record) for rows in log.all_records() for record in rows)
    record = next(records, None)
    expected = 0
    for leaves in log.leaves():
        for seq, leaf in leaves:
            if seq != expected:
                report.add(f"records are missing or misplaced before record {seq}")
            expected = seq + 1
            while record is not None and record.seq <= seq:
                if record.seq == seq and record.leaf() != leaf:
                    report.add(f"record {seq} was changed")
                record = next(records, None)
            yield leaf
    for _ in records:  # those behind the last leaf
        pass


class _Kept:
    """What records say was kept; an older state of a key store has something else."""

    def __init__(self) -> None:
        self._compartments: dict[str, set[str]] = {}
        self._seals: dict[str, str] = {}

    def note(self, record: Record) -> Record:
        """Take a record in, in order."""
        if record.verb == "compartment":
            self._compartments.setdefault(record.patient, set()).add(record.detail)
        elif record.verb == "seal":
            self._seals[record.patient] = record.detail
        elif record.verb == "forget":
            self._compartments.pop(record.patient, None)
        return record

    def compare(self, log: AuditLog, report: AuditReport) -> None:
        """Report what is not there, or is not what was kept last."""
        there, digests = log.kept()
        for patient, some in self._compartments.items():
            for what in sorted(some):
                if (patient, what) not in there:
                    report.add(
                        f"patient {patient} had a key ({what}) that is gone from the key store"
                    )
        for patient, digest in digests.items():
            if self._seals.get(patient, digest) != digest:
                report.add(f"the seal of patient {patient} is not the one that was kept last")
