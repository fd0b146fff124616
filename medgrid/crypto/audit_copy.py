"""A copy of the audit log at a second site: JSON Lines, to which new records are added.

The first line says which log it is. Records follow in order, checkpoints where they were signed.
Whoever changes or cuts the log must change all copies too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medgrid.config import sync_folder
from medgrid.crypto.audit import AuditLog
from medgrid.crypto.audit_checkpoint import Checkpoint
from medgrid.crypto.audit_record import Record
from medgrid.crypto.audit_report import AuditReport
from medgrid.errors import ConfigError, Denied, IntegrityError

__all__ = ["AuditCopy", "copy_to", "verify_against"]

_SCHEMA = "medgrid.audit-copy/1"
_LINE_CHARS_MAX = 100_000


@dataclass(slots=True)
class AuditCopy:
    """What a copy holds."""

    store_id: str
    records: list[Record] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> AuditCopy:
        """Read a copy.

        Raises
        ------
        ConfigError
            The file cannot be read.
        IntegrityError
            It is none, or damaged.
        """
        lines = _lines(path)
        found = cls(_store_id(path, next(lines, None)))
        for number, line in enumerate(lines, 2):
            try:
                if "record" in line:
                    found.records.append(_record(line["record"]))
                else:
                    found.checkpoints.append(Checkpoint.from_dict(line["checkpoint"]))
            except (KeyError, TypeError, ValueError):
                raise _damaged(path, number) from None
        return found


def copy_to(log: AuditLog, path: Path) -> int:
    """Add to a copy what is new in the log; make the copy when there is none.

    Returns
    -------
    int
        How many records were added.

    Raises
    ------
    ConfigError
        The file cannot be read or written.
    IntegrityError
        The log does not continue the copy: nothing is added.
    """
    _mend(path)
    if not path.exists():
        copy = AuditCopy(log.store_id)
        first = [{"schema": _SCHEMA, "store_id": log.store_id}]
    else:
        copy, first = AuditCopy.read(path), []
        report = AuditReport()
        _compare(log, copy, report)
        report.check()
    size = len(copy.records)
    known = set(copy.checkpoints)
    records = [record for rows in log.all_records(size) for record in rows]
    if [record.seq for record in records] != list(range(size, size + len(records))):
        raise Denied(
            "a copy needs all records of the audit log, and some of them cannot be seen",
            hint="a registrar sees all; 'medgrid audit verify' says whether records are missing",
        )
    lines: list[dict[str, Any]] = [*first, *({"record": asdict(record)} for record in records)]
    lines += [
        {"checkpoint": one.to_dict()}
        for one in log.checkpoints()
        if one not in known and one.size <= size + len(records)
    ]
    _append(path, lines)
    return len(records)


def verify_against(log: AuditLog, path: Path, report: AuditReport) -> list[Checkpoint]:
    """Compare the log with a copy, and note what differs.

    Returns
    -------
    list of Checkpoint
        Those of the copy, for `AuditLog.verify`.

    Raises
    ------
    ConfigError
        The copy cannot be read.
    IntegrityError
        It is none, or damaged.
    """
    copy = AuditCopy.read(path)
    _compare(log, copy, report)
    return copy.checkpoints


def _compare(log: AuditLog, copy: AuditCopy, report: AuditReport) -> None:
    if copy.store_id != log.store_id:
        report.add("the copy is one of another key store's log")
        return
    there = dict(pair for leaves in log.leaves(0) for pair in leaves)
    for number, record in enumerate(copy.records):
        if record.seq != number:
            report.add(f"the copy lacks records before record {record.seq}")
            return
        if number not in there:
            report.add(f"record {number} is in the copy alone: {_show(record)}")
        elif record.leaf() != there[number]:
            report.add(f"record {number} differs; the copy has: {_show(record)}")


def _record(found: Any) -> Record:
    record = Record(**found)
    values = [type(value) for value in asdict(record).values()]
    if values != [int, int, str, str, str, str, str]:
        raise TypeError
    return record


def _mend(path: Path) -> None:
    """Take away a last line that was not written to its end: a copy was interrupted."""
    try:
        with path.open("r+b") as stream:
            data = stream.read()
            if not data.endswith(b"\n"):
                stream.truncate(data.rfind(b"\n") + 1)
        if not path.stat().st_size:
            path.unlink()
    except FileNotFoundError:
        return
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc


def _show(record: Record) -> str:
    words = (record.who, record.verb, record.thing, record.patient, record.detail)
    return " ".join(filter(None, words))


def _append(path: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(path.parent)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}") from exc


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open() as stream:
            for number, line in enumerate(iter(lambda: stream.readline(_LINE_CHARS_MAX), ""), 1):
                if not line.endswith("\n"):
                    return  # a copy was interrupted
                try:
                    found = json.loads(line)
                except ValueError:
                    raise _damaged(path, number) from None
                if not isinstance(found, dict):
                    raise _damaged(path, number)
                yield found
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read") from exc


def _store_id(path: Path, line: dict[str, Any] | None) -> str:
    if line is None or line.get("schema") != _SCHEMA or "store_id" not in line:
        raise IntegrityError(f"{path}: not a copy of an audit log")
    return str(line["store_id"])


def _damaged(path: Path, number: int) -> IntegrityError:
    return IntegrityError(f"{path}: line {number} of the copy of the audit log is damaged")
