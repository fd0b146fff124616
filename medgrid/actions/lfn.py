"""LFNs: list, look at, rename, remove."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.transfer import delete_bytes
from medgrid.catalog.attributes import TWIN_MISSING, TWIN_REMOVED
from medgrid.catalog.objects import ObjectStore
from medgrid.catalog.provenance import Derivation
from medgrid.crypto.pseudonym import file_key, load_key
from medgrid.errors import NotFound, UsageError
from medgrid.model import LFN, ORIGINAL_SUFFIX, DataClass, GridObject, ObjectId, Replica

__all__ = [
    "Entry",
    "Facts",
    "FromFile",
    "as_folder",
    "facts",
    "is_folder",
    "list_folder",
    "move",
    "named",
    "of_file",
    "remove",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing: a folder (its name ends with ``/``) or an LFN and its object."""

    name: str
    item: GridObject | None = None
    replica_count: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of an LFN."""

    item: GridObject
    replicas: tuple[Replica, ...]
    older: tuple[int, ...]  # versions
    waiting: tuple[int, ...]  # versions that become what the LFN names when they are reviewed
    made_by: Derivation | None
    made_into: tuple[Derivation, ...]
    original: LFN | None = None  # whose de-identified twin it is, where one may see that
    refers_to: tuple[LFN, ...] = ()  # series, as far as one sees them
    said: Mapping[str, Any] = field(default_factory=dict)  # of its patient and visit


def as_folder(text: str) -> str:
    """Return a folder of the catalog without its last ``/``; ``/`` itself stays.

    Raises
    ------
    UsageError
        `text` cannot be a place of the catalog.
    """
    stripped = text.rstrip("/")
    return str(LFN(stripped)) if stripped or not text else "/"


def list_folder(grid: Grid, place: str, *, details: bool) -> list[Entry]:
    """What lies directly below a folder, or the LFN itself; `details` looks the objects up.

    Raises
    ------
    NotFound
        There is neither.
    """
    objects = grid.catalog.objects
    folder = as_folder(place)
    if folder != "/" and not place.endswith("/") and objects.exists(LFN(folder)):
        names = [folder]
    else:
        names = objects.list(folder)
    if not details:
        return [Entry(name) for name in names]
    found = objects.get_many([LFN(name) for name in names if not name.endswith("/")])
    copies = objects.replicas([item.id for item in found.values()])
    entries = []
    for name in names:
        item = None if name.endswith("/") else found.get(LFN(name))
        entries.append(Entry(name, item, len(copies[item.id]) if item else 0))
    return entries


def facts(grid: Grid, lfn: LFN, version: int | None = None) -> Facts:
    """All that is known of an LFN.

    Raises
    ------
    NotFound
        There is no such LFN.
    """
    catalog = grid.catalog
    item = catalog.objects.get(lfn, version)
    original = None
    if item.original is not None:
        seen = catalog.objects.by_ids([item.original]).get(item.original)
        original = seen.lfn if seen else None
    current = catalog.objects.get_many([lfn]).get(lfn, item)
    versions = [one for one, _ in catalog.objects.versions(lfn)]
    return Facts(
        item,
        tuple(catalog.objects.replicas([item.id])[item.id]),
        tuple(one for one in versions if one < current.version),
        tuple(one for one in versions if one > current.version),
        catalog.provenance.made_by(item.id),
        tuple(catalog.provenance.made_from(item.id)),
        original,
        _referred(catalog.objects, item),
        _said(grid, item),
    )


class FromFile(NamedTuple):
    """The LFN of what was imported from a file, and whether the file has changed since."""

    lfn: LFN
    has_changed: bool


def of_file(grid: Grid, path: str) -> FromFile:
    """What was imported from a file of this host, by this user with this home's key.

    Raises
    ------
    NotFound
        Nothing was, or it has no LFN any more.
    """
    from medgrid.images.pack import FileStamp

    path = os.path.realpath(path)
    key = file_key(load_key(grid.settings.keys_dir), path)
    before = grid.whole.scanned.known([key], grid.settings.user).get(key)
    held = before.object_id if before and before.object_id and not before.outcome else None
    objects = grid.catalog.objects
    seen = [*(one.id for one in objects.twins([held])), held] if held else []
    current = objects.current(seen)
    lfns = [current[one].lfn for one in seen if one in current]
    if before is None or not lfns or lfns[0] is None:
        raise NotFound(
            f"no object that you see was imported from {path}", hint="import it, or its folder"
        )
    is_there = os.path.lexists(path)
    return FromFile(lfns[0], is_there and FileStamp.of(os.lstat(path)) != before.stamp)


def _referred(objects: ObjectStore, item: GridObject) -> tuple[LFN, ...]:
    """LFNs of the series that an object says it refers to: their twins, where these are."""
    uids = item.attributes.get("ReferencedSeriesInstanceUID")
    if not uids:
        return ()
    found = objects.of_series(map(str, uids if isinstance(uids, list) else [uids]))
    there = set(found)
    return tuple(one for one in found if one.removesuffix(ORIGINAL_SUFFIX) not in there - {one})


def _said(grid: Grid, item: GridObject) -> dict[str, Any]:
    """What is known of an object's patient and visit; what is said of the visit goes first.

    A list is what its session and its date say that differs.
    """
    from medgrid.images.deidentify import first

    if item.patient is None:
        return {}
    visits = {first(item.attributes.get(name)) for name in ("session", "StudyDate")}
    whole: dict[str, Any] = {}
    own: dict[str, list[Any]] = {}
    for given in (one.given for one in grid.catalog.patient_attributes.of([item.patient])):
        if not given.visit:
            whole[given.name] = given.value
        elif given.visit in visits and given.value not in own.setdefault(given.name, []):
            own[given.name].append(given.value)
    return whole | {name: many if len(many) > 1 else many[0] for name, many in own.items()}


def move(grid: Grid, source: str, target: str, *, only: bool = False) -> list[tuple[LFN, LFN]]:
    """Give an LFN, or all below a folder, another name; all or nothing.

    A target that ends with ``/`` or is a folder keeps the last name of the source. Original and
    twin go together, unless `only` that which was named is meant.

    Returns
    -------
    list of (LFN, LFN)
        Old and new names.

    Raises
    ------
    NotFound
        There is no such LFN or folder.
    AlreadyExists
        A new name is taken.
    UsageError
        A folder would go into itself, or an original get a name that is none.
    """
    objects = grid.catalog.objects
    old = as_folder(source)
    if old == "/":
        raise UsageError("'/' cannot be moved")
    with grid.catalog.transaction():
        new = as_folder(target)
        if new == "/" or target.endswith("/") or is_folder(objects, new):
            new = LFN(f"{new.rstrip('/')}/{LFN(old).name}")
        if objects.exists(LFN(old)) and not source.endswith("/"):
            pairs = [(LFN(old), LFN(new))]
            if not only:
                pairs += _moved_along(objects, *pairs[0])
        else:
            if f"{new}/".startswith(f"{old}/"):
                raise UsageError(f"{old} cannot go into itself")
            pairs = [(lfn, LFN(new + lfn.removeprefix(old))) for lfn in objects.below(old)]
        objects.rename_many(dict(pairs))
    return pairs


def _moved_along(objects: ObjectStore, old: LFN, new: LFN) -> list[tuple[LFN, LFN]]:
    """The other name of an image, and what it becomes."""
    other = _others(objects, [old]).get(old)
    if other is None:
        return []
    if not old.endswith(ORIGINAL_SUFFIX):
        return [(other, LFN(new + ORIGINAL_SUFFIX))]
    if not new.endswith(ORIGINAL_SUFFIX):
        raise UsageError(
            f"{old} has a twin, {other}: {new} does not end with {ORIGINAL_SUFFIX}",
            hint=f"name the twin, or say --only to leave {other} where it is",
        )
    return [(other, LFN(new.removesuffix(ORIGINAL_SUFFIX)))]


def _others(objects: ObjectStore, lfns: Iterable[LFN]) -> dict[LFN, LFN]:
    """The originals of twins, and the twins of originals, that are called alike."""
    pairs = {
        lfn: LFN(lfn.removesuffix(ORIGINAL_SUFFIX))
        if lfn.endswith(ORIGINAL_SUFFIX)
        else LFN(lfn + ORIGINAL_SUFFIX)
        for lfn in lfns
    }
    there = objects.get_many({*pairs, *pairs.values()})

    def are_one(lfn: LFN, other: LFN) -> bool:
        twin, original = sorted((lfn, other), key=len)
        return (
            lfn in there
            and other in there
            and there[twin].original is not None
            and there[original].data_class is DataClass.NOMINATIVE
        )

    return {lfn: other for lfn, other in pairs.items() if are_one(lfn, other)}


def is_folder(objects: ObjectStore, folder: str) -> bool:
    """Whether something lies below `folder`."""
    return not objects.exists(LFN(folder)) and objects.is_folder(folder)


def named(grid: Grid, places: Sequence[str], *, recursive: bool, only: bool = False) -> list[LFN]:
    """LFNs that `places` name, each once; folders stand for all below them when `recursive`.

    The other name of an image, its original or its twin, is meant, too, unless `only` is given.

    Raises
    ------
    NotFound
        One does not exist; the message counts the others.
    UsageError
        One is a folder and `recursive` is not given.
    """
    objects = grid.catalog.objects
    found: dict[LFN, None] = {}
    whole = objects.get_many([LFN(place) for place in places if not place.endswith("/")])
    missing: list[str] = []
    for place in places:
        if place in whole:
            found[LFN(place)] = None
            continue
        folder = as_folder(place)
        if not is_folder(objects, folder):
            missing.append(place)
        elif recursive:
            found.update(dict.fromkeys(objects.below(folder)))
        else:
            raise UsageError(f"{folder} is a folder", hint="say -r for all that is below it")
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise NotFound(f"no LFN {missing[0]}{more}", hint="nothing was removed")
    if not only:
        found.update(dict.fromkeys(_others(objects, list(found)).values()))
    return list(found)


def remove(grid: Grid, lfns: Sequence[LFN], *, force: bool = False) -> list[Failure]:
    """Remove LFNs, all or none, then their bytes; give the bytes that could not be deleted.

    What an import brought is marked, so that the next one leaves it out.

    Raises
    ------
    UsageError
        An open job needs one of them, and `force` is not given.
    """
    objects = grid.catalog.objects
    with grid.catalog.transaction():
        if not force:
            _refuse_needed(grid, lfns)
        keys = _keys(objects, lfns)
        _mark(grid, lfns)
        gone = objects.remove_many(lfns)
    grid.forget_keys(keys)
    owners = {replica: lfn for lfn, replicas in gone.items() for replica in replicas}
    return [
        Failure(f"bytes of {owners[replica]} at {replica.se}", error)
        for replica, error in delete_bytes(grid, owners).items()
    ]


def _mark(grid: Grid, lfns: Collection[LFN]) -> None:
    """Note what is removed of that which an import brought: originals, or twins alone."""
    objects = grid.catalog.objects
    gone = objects.get_many(lfns)
    contents = objects.contents(lfns)
    grid.catalog.removed.note({one: lfn for lfn, many in contents.items() for one in many})
    originals = objects.current({one.original for one in gone.values() if one.original})
    for original in originals.values():
        if original.lfn is not None and original.lfn not in gone:
            objects.set_attributes(original.id, {TWIN_MISSING: TWIN_REMOVED})


def _keys(objects: ObjectStore, lfns: Sequence[LFN]) -> list[ObjectId]:
    """What the key store calls the keys of LFNs and their older versions."""
    ids = [one for many in objects.contents(lfns).values() for one in many]
    return [item.key_id for item in objects.by_ids(ids).values() if item.is_protected]


def _refuse_needed(grid: Grid, lfns: Sequence[LFN]) -> None:
    needed = grid.catalog.jobs.open_inputs()
    if not needed:
        return
    contents = grid.catalog.objects.contents(lfns)
    for lfn in lfns:
        for object_id in contents.get(lfn, ()):
            if object_id in needed:
                raise UsageError(
                    f"{lfn} is an input of job {needed[object_id]}, which has not ended",
                    hint="nothing was removed; wait for the job, cancel it, or say --force",
                )
