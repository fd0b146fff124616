"""Outputs of ended attempts: from the worker to a storage element."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from medgrid.broker.messages import Collected
from medgrid.broker.storages import Storages
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.crypto.vault import SealedOutput
from medgrid.errors import IntegrityError, MedgridError, Unreachable
from medgrid.model import Cause, ObjectId, StorageElement
from medgrid.storage.base import Storage, Stored, physical_name
from medgrid.workers.base import AttemptId, JournalRecord, OutputFile, WorkerLink

__all__ = ["Collector", "output_id", "output_prefix"]

_TRIES = 6
_PAUSE_S = 0.5
_RESUMED_BYTES = 8 * 1024 * 1024  # what of larger files has come once is not asked for again
_UNUSUAL = re.compile(r"[^A-Za-z0-9._+-]+")


def output_id(grid_id: str, attempt: AttemptId, path: str) -> ObjectId:
    """Object id of an output: the same each time the attempt's outputs are brought home.

    A broker that died half-way is thus repeated byte for byte, and leaves nothing behind. The ids
    of an attempt's outputs begin alike, so that fsck knows whose bytes are which.
    """
    text = "\0".join((grid_id, attempt, path))
    own = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return ObjectId(output_prefix(grid_id, attempt) + own[:16])


def output_prefix(grid_id: str, attempt: AttemptId) -> str:
    """How the object ids of an attempt's outputs begin: 16 characters.

    Examples
    --------
    >>> output_id("g", "42.7.1", "out").startswith(output_prefix("g", "42.7.1"))
    True
    """
    return hashlib.sha256(f"{grid_id}\0{attempt}".encode()).hexdigest()[:16]


class _StorageTrouble(MedgridError):
    """The storage element failed, not the worker."""


class Collector:
    """Brings the outputs of one worker's attempts to storage elements."""

    def __init__(self, storages: Storages, grid_id: str) -> None:
        self._storages = storages
        self._grid_id = grid_id

    def collect(
        self, link: WorkerLink, done: Sequence[tuple[JournalRecord, StorageElement]]
    ) -> tuple[dict[AttemptId, tuple[Collected, ...]], dict[AttemptId, AttemptEnd]]:
        """Fetch the outputs of attempts that succeeded and make them safe.

        Returns
        -------
        outputs, failed
            What each attempt wrote; and, for those whose outputs cannot be had, why.

        Raises
        ------
        Unreachable
            The worker stops answering.
        """
        outputs: dict[AttemptId, tuple[Collected, ...]] = {}
        failed: dict[AttemptId, AttemptEnd] = {}
        wanted = [(record, se) for record, se in done if record.cause is Cause.OK]
        for tried in range(_TRIES):
            left = [pair for pair in wanted if pair[0].attempt not in outputs]
            if not left:
                break
            if tried:
                time.sleep(_PAUSE_S * 2**tried)
            troubles = self._fetch(link, left, outputs)
            failed = {
                record.attempt: _end(record, troubles[record.attempt])
                for record, _ in left
                if record.attempt in troubles
            }
        return outputs, failed

    def drop(self, outputs: Iterable[Collected]) -> None:
        """Delete outputs that the catalog refused."""
        for one in outputs:
            try:
                self._storages.get(one.se).delete(one.pfn)
            except MedgridError:
                continue  # fsck lists it as DARK

    def _fetch(
        self,
        link: WorkerLink,
        pairs: Sequence[tuple[JournalRecord, StorageElement]],
        outputs: dict[AttemptId, tuple[Collected, ...]],
    ) -> dict[AttemptId, MedgridError]:
        """Add the `outputs` of attempts that give all of theirs; say what is wrong with others."""
        small: list[tuple[AttemptId, OutputFile]] = []
        large: list[tuple[AttemptId, OutputFile]] = []
        for record, _ in pairs:
            for one in record.outputs:
                kind = small if _stored_bytes(one) < _RESUMED_BYTES else large
                kind.append((record.attempt, one))
        elements = {record.attempt: se.name for record, se in pairs}
        wanted = {record.attempt: record.outputs for record, _ in pairs}
        got: dict[AttemptId, dict[OutputFile, Collected]] = {attempt: {} for attempt in wanted}
        troubles: dict[AttemptId, MedgridError] = {}
        for attempt, one, chunks in link.collect(small) if small else ():
            try:
                got[attempt][one] = self._put(elements[attempt], attempt, one, chunks)
            except (_StorageTrouble, IntegrityError) as exc:
                troubles[attempt] = exc
        for attempt, one in large:
            if attempt not in troubles:
                try:
                    got[attempt][one] = self._resume(elements[attempt], attempt, one, link)
                except (_StorageTrouble, IntegrityError) as exc:
                    troubles[attempt] = exc
        for attempt, many in wanted.items():
            found = got[attempt]
            if len(found) == len(many):
                outputs[attempt] = tuple(found[one] for one in many)
            else:
                lacking = f"the worker gave {len(found)} of {len(many)} outputs"
                troubles.setdefault(attempt, IntegrityError(lacking))
        return troubles

    def _put(
        self, se: str, attempt: AttemptId, one: OutputFile, chunks: Iterable[bytes]
    ) -> Collected:
        source = _Source()
        watched = source.watch(chunks)

        def put(storage: Storage, pfn: str) -> Stored:
            return storage.put(pfn, watched, expected=one.sha256)

        try:
            return self._store(se, attempt, one, source, put)
        except (_StorageTrouble, IntegrityError):
            # the rest of this output is still to come on the worker's stream
            for _ in watched:
                pass
            raise

    def _resume(self, se: str, attempt: AttemptId, one: OutputFile, link: WorkerLink) -> Collected:
        source = _Source()

        def rest(offset: int) -> Iterator[bytes]:
            if offset > _stored_bytes(one):
                raise IntegrityError(f"expected {_stored_bytes(one)} bytes, found {offset} bytes")
            for _, _, chunks in link.collect([(attempt, one)], offset):
                yield from chunks

        def resume(storage: Storage, pfn: str) -> Stored:
            return storage.resume(pfn, lambda offset: source.watch(rest(offset)), one.sha256)

        return self._store(se, attempt, one, source, resume)

    def _store(
        self,
        se: str,
        attempt: AttemptId,
        one: OutputFile,
        source: _Source,
        store: Callable[[Storage, str], Stored],
    ) -> Collected:
        object_id = output_id(self._grid_id, attempt, one.path)
        try:
            stored = store(self._storages.get(se), physical_name(object_id))
        except MedgridError as exc:
            if source.problem is not None:
                raise source.problem from exc
            raise _StorageTrouble(f"{se}: {exc.message}") from exc
        name = _UNUSUAL.sub("_", one.path.rsplit("/", 1)[-1]) or "output"
        sealed = None
        if one.header:
            sealed = SealedOutput(one.header, one.tags_sha256 or "", one.sealed_digest)
            # the program may have named its file after the patient; its role says enough
            number, *suffixes = name.split(".")
            name = ".".join([one.role if number == "1" else f"{one.role}-{number}", *suffixes])
        return Collected(
            one.role,
            one.path,
            name,
            object_id,
            se,
            stored.pfn,
            one.size_bytes,
            stored.size_bytes,
            stored.sha256,
            sealed,
        )


class _Source:
    """Keeps the failure of a worker that sends chunks apart from the storage element's."""

    def __init__(self) -> None:
        self.problem: Unreachable | None = None

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on."""
        try:
            yield from chunks
        except Unreachable as exc:
            self.problem = exc
            raise


def _stored_bytes(one: OutputFile) -> int:
    return one.body_bytes if one.header else one.size_bytes


def _end(record: JournalRecord, problem: MedgridError) -> AttemptEnd:
    return AttemptEnd(
        Cause.STAGE_OUT,
        record.exit_code,
        f"its outputs cannot be stored: {problem.message}",
        record.stdout_tail,
        record.stderr_tail,
        record.started_s,
        record.ended_s,
        record.max_rss_bytes,
        record.cpu_s,
        of_storage=isinstance(problem, _StorageTrouble),
        is_away=isinstance(problem.__cause__, Unreachable),
    )
