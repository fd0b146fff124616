"""Bytes between storage elements and this host: verified before they are released, two-phase."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from medgrid.actions.files import atomic_file
from medgrid.actions.grid import Grid
from medgrid.actions.progress import SILENT
from medgrid.catalog.uploads import Place
from medgrid.crypto.vault import ObjectKey, Sealing, Whose, decrypted, sealing
from medgrid.errors import IntegrityError, MedgridError, NotFound, Unreachable
from medgrid.model import GridObject, ObjectId, Replica, Sha256, new_object_id
from medgrid.storage.base import Stored, physical_name, read_chunks
from medgrid.storage.errors import RootMissing

__all__ = [
    "BadReplica",
    "OnBad",
    "Sealed",
    "Uploads",
    "delete_bytes",
    "fetch_file",
    "fetch_packed",
    "ignore_bad",
    "label",
    "nearest",
    "read_small",
    "repair",
]

_SMALL_BYTES = 16 * 1024 * 1024
_MOST_AHEAD = 64  # places that are reserved at once


@dataclass(frozen=True, slots=True)
class BadReplica:
    """A replica that could not be used, and why."""

    replica: Replica
    error: MedgridError

    def __str__(self) -> str:
        return f"replica at {self.replica.se} is not usable: {self.error.message}"


T = TypeVar("T")
OnBad = Callable[[BadReplica], None]


def ignore_bad(_bad: BadReplica) -> None:
    """Say nothing of a replica that could not be used."""


def label(item: GridObject) -> str:
    """How messages call an object: its LFN, or what it is."""
    return item.lfn or f"{item.filename} (object {item.id})"


def nearest(grid: Grid, replicas: Iterable[Replica], site: str | None = None) -> list[Replica]:
    """Order replicas: files of this host first, then those at `site`, then the others.

    Replicas at a storage element that is switched off or gone are left out.
    """
    elements = {element.name: element for element in grid.catalog.places.ses()}

    def distance(replica: Replica) -> tuple[int, str]:
        element = elements[replica.se]
        if element.url.startswith("file:"):
            return 0, replica.se
        return (1 if element.site == site else 2), replica.se

    usable = [one for one in replicas if one.se in elements and elements[one.se].enabled]
    return sorted(usable, key=distance)


def _first_good(
    grid: Grid,
    item: GridObject,
    replicas: Sequence[Replica],
    use: Callable[[Iterator[bytes]], T],
    on_bad: OnBad,
    key: ObjectKey | None = None,
) -> T:
    """Give `use` the bytes of one replica after the other, until it takes them.

    They are the bytes as stored, or with `key` the content. The chunks end in an IntegrityError
    when they were not those of `item`: `use` must release nothing before it has seen the end.
    """
    failures: list[BadReplica] = []
    for replica in nearest(grid, replicas):
        chunks = _Verified(grid, item, replica, key)
        try:
            result = use(iter(chunks))
        except MedgridError as error:
            if chunks.error is not error:
                raise  # the receiving side failed: another replica would not help
            failures.append(BadReplica(replica, error))
            on_bad(failures[-1])
            continue
        return result
    if not failures:
        raise NotFound(
            f"{label(item)}: no storage element that is switched on has a replica",
            hint=f"see 'medgrid replica ls {item.lfn}'" if item.lfn else None,
        )
    first = failures[0].error
    same = len({type(bad.error) for bad in failures}) == 1
    kind = type(first) if same else Unreachable  # where kinds differ, one may come back
    places = ", ".join(bad.replica.se for bad in failures)
    raise kind(
        f"{label(item)}: no replica is usable (tried {places}): {first.message}", hint=first.hint
    )


class _Verified:
    """Chunks of a replica; the last `next` raises when they were not the object's bytes."""

    def __init__(
        self, grid: Grid, item: GridObject, replica: Replica, key: ObjectKey | None
    ) -> None:
        self._grid = grid
        self._item = item
        self._replica = replica
        self._key = key
        self.error: MedgridError | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._read() if self._key is None else decrypted(self._read(), self._key)
        except MedgridError as error:
            self.error = error
            raise

    def _read(self) -> Iterator[bytes]:
        item, replica = self._item, self._replica
        hasher = hashlib.sha256()
        size_bytes = 0
        with self._grid.storage(replica.se).open(replica.pfn) as stream:
            for chunk in read_chunks(stream):
                hasher.update(chunk)
                size_bytes += len(chunk)
                if size_bytes > item.stored_bytes:
                    break
                yield chunk
        start = f"storage element {replica.se}: {replica.pfn}"
        if size_bytes != item.stored_bytes:
            found = "more" if size_bytes > item.stored_bytes else f"{size_bytes} bytes"
            raise IntegrityError(f"{start}: expected {item.stored_bytes} bytes, found {found}")
        if hasher.hexdigest() != item.sha256:
            raise IntegrityError(
                f"{start}: expected digest {item.sha256}, found {hasher.hexdigest()}"
            )


def fetch_file(
    grid: Grid,
    item: GridObject,
    replicas: Sequence[Replica],
    target: Path,
    *,
    force: bool = False,
    on_bad: OnBad = ignore_bad,
    advance: Callable[[int], None] = SILENT.advance,
) -> None:
    """Write the content of an object to the file `target`, which appears when it is verified.

    Parameters
    ----------
    advance : callable
        Is told how many bytes have come; what it raises ends the transfer.

    Raises
    ------
    AlreadyExists
        `target` exists and `force` is not given.
    Denied
        The key store does not release its key.
    MedgridError
        No replica is usable, or the file cannot be written.
    """
    key = grid.key(item)

    def use(chunks: Iterator[bytes]) -> None:
        with atomic_file(target, force=force) as stream:
            for chunk in chunks:
                stream.write(chunk)
                advance(len(chunk))

    _first_good(grid, item, replicas, use, on_bad, key)


def fetch_packed(
    grid: Grid,
    item: GridObject,
    replicas: Sequence[Replica],
    folder: Path,
    *,
    on_bad: OnBad = ignore_bad,
    advance: Callable[[int], None] = SILENT.advance,
) -> list[Path]:
    """Make `folder`, unpack a tar into it while it comes, and give the paths in order.

    Until this returns the bytes are not verified: nobody else may see `folder`. When it raises,
    there is no `folder`. Parameters and errors are those of `fetch_file`; what the disk says comes
    as OSError.
    """
    from medgrid.images.pack import unpack

    key = grid.key(item)

    def told(chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            advance(len(chunk))

    def use(chunks: Iterator[bytes]) -> list[Path]:
        folder.mkdir()
        try:
            return unpack(told(chunks), folder)
        except BaseException:
            shutil.rmtree(folder)
            raise

    return _first_good(grid, item, replicas, use, on_bad, key)


def read_small(
    grid: Grid,
    item: GridObject,
    replicas: Sequence[Replica],
    *,
    limit_bytes: int = _SMALL_BYTES,
    on_bad: OnBad = ignore_bad,
) -> bytes:
    """Read a small object into memory.

    Raises
    ------
    MedgridError
        No replica is usable, or the object is larger than `limit_bytes`.
    """
    if item.size_bytes > limit_bytes:
        raise IntegrityError(
            f"{label(item)}: expected at most {limit_bytes} bytes, found {item.size_bytes}"
        )
    return _first_good(grid, item, replicas, b"".join, on_bad, grid.key(item))


def _copy(
    grid: Grid,
    item: GridObject,
    replicas: Sequence[Replica],
    se: str,
    pfn: str,
    on_bad: OnBad,
) -> Stored:
    storage = grid.storage(se)
    return _first_good(
        grid, item, replicas, lambda chunks: storage.put(pfn, chunks, item.sha256), on_bad
    )


def repair(grid: Grid, item: GridObject, replicas: Sequence[Replica], bad: Replica) -> None:
    """Write the bytes of `bad`, which is lost or corrupt, anew from one of `replicas`.

    Raises
    ------
    MedgridError
        None of `replicas` is usable, or the storage element of `bad` is not.
    """
    _copy(grid, item, replicas, bad.se, bad.pfn, ignore_bad)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted object whose body is in storage, before it is known anywhere.

    `digest` is the keyed digest of its content, None where this home has no key for it.
    """

    replica: Replica
    size_bytes: int
    digest: str | None
    sealing: Sealing


class Uploads:
    """Bytes in storage that the catalog does not have yet. Use as a context manager.

    Each put is reserved in the catalog first. What is not registered when the block ends, in
    whatever way, is taken back: reservations turned into deletions, bytes deleted. When the
    process is killed, or the catalog does not answer, fsck finds the reservations.

    Examples
    --------
    ::

        with Uploads(grid) as uploads:
            replica = uploads.put(object_id, "store1", chunks)
            grid.catalog.objects.register([Registration(item, (replica,))], uploaded=True)
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._reserved: dict[tuple[ObjectId, str, str], None] = {}
        self._begun: set[tuple[ObjectId, str, str]] = set()  # those where bytes may be
        self._ahead: dict[str, list[ObjectId]] = {}  # of storage elements: for objects to come
        self._sealed: set[ObjectId] = set()

    def new_ids(self, count: int, se: str) -> list[ObjectId]:
        """Ids of new objects, their places at storage element `se` reserved.

        The more there were, the more are reserved ahead: a transaction for each small image costs
        more than its bytes.
        """
        ahead = self._ahead.setdefault(se, [])
        if len(ahead) < count:
            more = max(count, min(len(self._reserved), _MOST_AHEAD))
            new = [new_object_id() for _ in range(more)]
            self.reserve(new, se)
            ahead += new
        taken = ahead[:count]
        del ahead[:count]
        return taken

    def reserve(self, ids: Iterable[ObjectId], se: str) -> None:
        """Reserve places for many objects at once; after that, any thread may put or copy them."""
        new = [(object_id, se, physical_name(object_id)) for object_id in ids]
        self._grid.catalog.objects.reserve_many(new)
        self._reserved.update(dict.fromkeys(new))

    def put(
        self,
        object_id: ObjectId,
        se: str,
        chunks: Iterable[bytes],
        expected: Sha256 | None = None,
    ) -> Replica:
        """Write the bytes of a new object to storage element `se`."""
        storage = self._grid.storage(se)
        pfn = physical_name(object_id)
        self._reserve(object_id, se, pfn)
        return _replica(object_id, se, storage.put(pfn, chunks, expected))

    def seal(
        self,
        object_id: ObjectId,
        se: str,
        chunks: Iterable[bytes],
        whose: Whose,
    ) -> Sealed:
        """Encrypt a new object to storage element `se`; `Grid.keep` makes its key last."""
        work = sealing(object_id, whose)
        self._sealed.add(object_id)
        replica = self.put(object_id, se, work.encrypt(chunks))
        work.stored(replica.sha256)
        return Sealed(replica, work.size_bytes, self._grid.keyed(work.plain_sha256), work)

    def copy(
        self,
        item: GridObject,
        replicas: Sequence[Replica],
        se: str,
        on_bad: OnBad = ignore_bad,
    ) -> Replica:
        """Write another replica of an object to storage element `se`."""
        self._grid.storage(se)
        pfn = physical_name(item.key_id)
        self._reserve(item.id, se, pfn)
        return _replica(item.id, se, _copy(self._grid, item, replicas, se, pfn, on_bad))

    def rekey(
        self,
        item: GridObject,
        replicas: Sequence[Replica],
        key_id: ObjectId,
        se: str,
        whose: Whose,
        on_bad: OnBad = ignore_bad,
    ) -> Sealed:
        """Encrypt an object anew to storage element `se`, under a new key called `key_id`.

        Its own replicas stay as they are until the catalog says otherwise (`ObjectStore.rekey`).
        """
        self._grid.storage(se)

        def seal(chunks: Iterator[bytes]) -> Sealed:
            return self.seal(key_id, se, chunks, whose)

        made = _first_good(self._grid, item, replicas, seal, on_bad, self._grid.key(item))
        return replace(made, replica=replace(made.replica, object_id=item.id))

    def copy_rekeyed(self, item: GridObject, made: Replica, key_id: ObjectId, se: str) -> Replica:
        """Write a second replica of what `rekey` made to storage element `se`."""
        self._grid.storage(se)
        pfn = physical_name(key_id)
        self._reserve(key_id, se, pfn)
        draft = replace(item, sha256=made.sha256, rekeyed_as=key_id)
        return _replica(item.id, se, _copy(self._grid, draft, [made], se, pfn, ignore_bad))

    def _reserve(self, object_id: ObjectId, se: str, pfn: str) -> None:
        new = (object_id, se, pfn)
        if new not in self._reserved:
            self._grid.catalog.objects.reserve(*new)
            self._reserved[new] = None
        self._begun.add(new)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._reserved:
            return
        with contextlib.suppress(MedgridError):
            objects = self._grid.catalog.objects
            # what was registered has no reservation any more, and what somebody took back is theirs
            standing = objects.reserved(key_id for key_id, _, _ in self._reserved)
            places = {
                (se, pfn) for key_id, se, pfn in self._reserved if (key_id, se, pfn) in standing
            }
            if not places:
                return
            going = objects.condemn_uploads(places)
            kept: set[ObjectId] = set()
            taken_back: set[ObjectId] = set()
            gone: set[Place] = set()
            for object_id, se, pfn in self._reserved:
                if (se, pfn) not in going:
                    kept.add(object_id)
                    continue
                try:
                    if (object_id, se, pfn) in self._begun:
                        self._grid.storage(se).delete(pfn)
                except RootMissing:
                    pass  # what lies on a disk that was taken away is DARK
                except MedgridError:
                    kept.add(object_id)  # fsck finds that its deletion never ended
                    continue
                gone.add((se, pfn))
                taken_back.add(object_id)
            objects.end_condemned(gone)
            self._grid.forget_keys(self._sealed.intersection(taken_back) - kept)


def _replica(object_id: ObjectId, se: str, stored: Stored) -> Replica:
    return Replica(object_id, se, stored.pfn, stored.size_bytes, stored.sha256)


def delete_bytes(grid: Grid, replicas: Iterable[Replica]) -> Mapping[Replica, MedgridError]:
    """Delete the bytes of replicas that the catalog has forgotten; gives those that would not go.

    Where they were condemned that ends. What stays behind is DARK: harmless, and removed by
    ``fsck --repair``.
    """
    failures: dict[Replica, MedgridError] = {}
    replicas = list(replicas)
    for replica in replicas:
        try:
            grid.storage(replica.se).delete(replica.pfn)
        except MedgridError as error:
            failures[replica] = error
    if replicas:
        grid.catalog.objects.end_condemned((one.se, one.pfn) for one in replicas)
    return failures
