"""The audit logs of several key stores: each keeps its own, and all are verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.crypto.audit import AuditLog
from medgrid.crypto.audit_checkpoint import Checkpoint, Memory
from medgrid.crypto.audit_record import Event
from medgrid.crypto.audit_report import AuditReport
from medgrid.crypto.keystore_values import Signer, Trust

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore
    from medgrid.crypto.split_writes import SplitWrites

__all__ = ["SplitAudit"]


class SplitAudit(AuditLog):
    """Reads the log of the first store; signs, copies and verifies those of all."""

    def __init__(self, stores: Mapping[int, KeyStore], writes: SplitWrites) -> None:
        first = next(iter(stores.values()))
        super().__init__(first.db, first.store_id, first._door)
        self._logs = {place: store.audit for place, store in stores.items()}
        self._writes = writes

    def append(self, *events: Event) -> None:
        self._writes.run("audit", *events)

    def checkpoint(self, identity: Signer, memory: Memory) -> Checkpoint:
        made = [log.checkpoint(identity, memory) for log in self._logs.values()]
        return made[0]

    def verify(
        self, trust: Trust, memory: Memory | None = None, copies: Sequence[Path] = ()
    ) -> AuditReport:
        reports = [
            log.verify(trust, memory, [_copy_of(copy, place) for copy in copies])
            for place, log in self._logs.items()
        ]
        found = reports[0]
        for place, report in zip(self._logs, reports, strict=True):
            report.problems[:] = [f"store {place + 1}: {one}" for one in report.problems]
        for report in reports[1:]:
            found.problems += report.problems
        return found

    def copy_to(self, path: Path) -> int:
        """Each log is copied to a file of its own: `path` with the number of the store added."""
        return sum(log.copy_to(_copy_of(path, place)) for place, log in self._logs.items())


def _copy_of(path: Path, place: int) -> Path:
    return path.with_name(f"{path.name}.{place + 1}")
