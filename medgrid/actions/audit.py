"""The audit log: who did what with which data; whether the log is whole; copies of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.actions.grid import Grid
from medgrid.actions.permission import asker
from medgrid.crypto.audit_checkpoint import Memory
from medgrid.crypto.audit_record import Record
from medgrid.crypto.policy import Care, Kind, Thing, Verb, may
from medgrid.errors import IntegrityError, MedgridError
from medgrid.model import LFN, ObjectId

if TYPE_CHECKING:
    from medgrid.crypto.audit_report import AuditReport

__all__ = ["Entry", "copy", "entries", "sign", "verify"]

_MEMORY = "audit.json"
_AT_ONCE = 1000
_ID_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and the LFN of the object it is about, where the user sees one."""

    record: Record
    lfn: LFN | None = None


def entries(
    grid: Grid, who: str | None = None, what: str | None = None, since_s: float | None = None
) -> Iterator[Entry]:
    """Records that the user may see, the oldest first: their own, and those on their patients.

    Parameters
    ----------
    who : str, optional
        Those of one identity.
    what : str, optional
        Those of one verb, patient, object (by LFN or id) or identity that something was done to.
    since_s : float, optional
        Those from this time on, seconds since 1970.

    Raises
    ------
    NotFound
        There is no such LFN.
    """
    me = asker(grid)
    log = grid.vault.store.audit
    objects = _Objects(grid, (one for one in log.records(what="rekey")))
    wanted = None if what is None else {what}
    if what is not None and what.startswith("/"):
        wanted = objects.things(grid.catalog.objects.get(LFN(what)).id)
    records = log.records(who=who, what=wanted, since_s=since_s)
    now_s = time.time()
    while some := list(islice(records, _AT_ONCE)):
        patients = {record.patient for record in some if record.patient}
        cares = grid.whole.access.cares_for(patients, me.name)
        seen = [
            record
            for record in some
            if may(me, Verb.SEE, _thing(record, cares.get(record.patient, frozenset())), now_s)
        ]
        names = objects.lfns(record.thing for record in seen)
        yield from (Entry(record, names.get(record.thing)) for record in seen)


def _thing(record: Record, care: frozenset[Care]) -> Thing:
    return Thing(Kind.AUDIT, owner=record.who, patient=record.patient or None, care=care)


class _Objects:
    """What objects records are about: an object that was encrypted anew has several names."""

    def __init__(self, grid: Grid, rekeyed: Iterator[Record]) -> None:
        self._grid = grid
        self._object = {
            one.detail.removeprefix("as "): one.thing
            for one in rekeyed
            if one.detail.startswith("as ")
        }

    def things(self, object_id: ObjectId) -> set[str]:
        """All that records call an object."""
        return {object_id, *(key for key, one in self._object.items() if one == object_id)}

    def lfns(self, things: Iterable[str]) -> dict[str, LFN | None]:
        """LFNs of the objects among things, as far as the user sees them."""
        ids = {
            one: ObjectId(self._object.get(one, one)) for one in things if len(one) == _ID_LENGTH
        }
        items = self._grid.catalog.objects.by_ids(set(ids.values()))
        return {thing: items[one].lfn for thing, one in ids.items() if one in items}


def verify(grid: Grid, copies: Sequence[Path] = ()) -> AuditReport:
    """Read the whole log again, and compare it with what this home remembers and with copies.

    A log that is whole is remembered.

    Raises
    ------
    ConfigError
        A copy cannot be read.
    IntegrityError
        A copy is damaged itself.
    """
    vault = grid.vault
    report = vault.store.audit.verify(vault.trust, _memory(grid), copies)
    if not report.problems:
        vault.store.audit.checkpoint(vault.identity, _memory(grid))
    return report


def copy(grid: Grid, file: Path) -> int:
    """Add what is new in the log to a copy, or make one; return how many records were added.

    Raises
    ------
    ConfigError
        The file cannot be read or written.
    IntegrityError
        The log does not continue what the copy has, or what this home remembers.
    """
    vault = grid.vault
    vault.store.audit.checkpoint(vault.identity, _memory(grid))
    return vault.store.audit.copy_to(file)


def sign(grid: Grid) -> IntegrityError | None:
    """Sign the log's state when this process wrote to it; what is wrong with the log, if it is.

    It is remembered in this home, so that a cut is noticed. What hinders it else is no matter: the
    next command signs.
    """
    if not grid.used_identity:
        return None
    try:
        grid.vault.store.audit.checkpoint(grid.vault.identity, _memory(grid))
    except IntegrityError as error:
        return error
    except MedgridError:
        pass
    return None


def _memory(grid: Grid) -> Memory:
    return Memory(grid.settings.keys_dir / _MEMORY)
