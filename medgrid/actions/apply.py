"""Make sites, storage elements and workers match a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, Union

from medgrid.actions.grid import Grid
from medgrid.actions.places import (
    check_name,
    check_options,
    check_se_url,
    check_worker_url,
    remove_se,
    remove_site,
    remove_worker,
)
from medgrid.config import load_yaml, parse_size
from medgrid.errors import ConfigError, UsageError
from medgrid.model import Site, SiteClass, StorageElement, Worker

__all__ = ["Change", "Plan", "apply_plan", "make_plan", "read_places"]

Place = Union[Site, StorageElement, Worker]  # noqa: UP007 - a name for isinstance's readers
T = TypeVar("T")

_KINDS: dict[type[Place], str] = {Site: "site", StorageElement: "se", Worker: "worker"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the catalog and the file.

    `verb` is ``add``, ``change``, ``remove``, or ``keep`` for what stands in the catalog only.
    `details` are ``field: before -> after`` lines.
    """

    verb: str
    kind: str
    name: str
    details: tuple[str, ...]
    before: Place | None
    after: Place | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All differences, in the order they are made."""

    changes: tuple[Change, ...]

    @property
    def to_make(self) -> tuple[Change, ...]:
        """Those that change the catalog."""
        return tuple(change for change in self.changes if change.verb != "keep")


def make_plan(grid: Grid, file: Path, *, prune: bool = False) -> Plan:
    """Compare a file with the catalog.

    Parameters
    ----------
    file : Path
        YAML with the keys ``sites``, ``storage`` and ``workers``; see config/grid.yaml.
    prune : bool
        Also remove what the file does not name.

    Raises
    ------
    ConfigError
        The file cannot be read; the message has the path to the wrong key.
    """
    wanted = read_places(file)
    places = grid.catalog.places
    there: list[Place] = [*places.sites(), *places.ses(), *places.workers()]
    before = {(_KINDS[type(place)], place.name): place for place in there}
    after = {(_KINDS[type(place)], place.name): place for place in wanted}
    _check_sites(file, wanted, before, after, prune)
    changes = []
    for key, place in after.items():
        old = before.get(key)
        if old is None:
            changes.append(Change("add", *key, _described(place), None, place))
        elif old != place:
            changes.append(Change("change", *key, _differences(old, place), old, place))
    verb = "remove" if prune else "keep"
    for key, place in reversed(before.items()):
        if key not in after:
            changes.append(Change(verb, *key, (), place, None))
    return Plan(tuple(changes))


def apply_plan(grid: Grid, plan: Plan) -> None:
    """Make all changes of a plan, or none.

    Raises
    ------
    UsageError
        Something to remove is in use.
    """
    places = grid.catalog.places
    remove = {"site": remove_site, "se": remove_se, "worker": remove_worker}
    with grid.catalog.transaction():
        for change in plan.to_make:
            if isinstance(change.after, Site):
                places.put_site(change.after)
            elif isinstance(change.after, StorageElement):
                places.put_se(change.after)
            elif isinstance(change.after, Worker):
                places.put_worker(change.after)
            else:
                remove[change.kind](grid, change.name)


def _check_sites(
    file: Path,
    wanted: Sequence[Place],
    before: Mapping[tuple[str, str], Place],
    after: Mapping[tuple[str, str], Place],
    prune: bool,
) -> None:
    known = {name for kind, name in after if kind == "site"}
    if not prune:
        known |= {name for kind, name in before if kind == "site"}
    for place in wanted:
        if not isinstance(place, Site) and place.site not in known:
            section = "workers" if isinstance(place, Worker) else "storage"
            raise ConfigError(
                f"{file}: {section}.{place.name}.site: no site {place.site!r}",
                hint=f"add it under 'sites:'; known are {', '.join(sorted(known)) or 'none'}",
            )


def _described(place: Place) -> tuple[str, ...]:
    return tuple(
        f"{field.name}: {_shown(getattr(place, field.name))}"
        for field in fields(place)
        if field.name != "name" and getattr(place, field.name) not in (None, frozenset(), {})
    )


def _differences(old: Place, new: Place) -> tuple[str, ...]:
    return tuple(
        f"{field.name}: {_shown(getattr(old, field.name))} -> {_shown(getattr(new, field.name))}"
        for field in fields(new)
        if getattr(old, field.name) != getattr(new, field.name)
    )


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={part}" for key, part in sorted(value.items())) or "none"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


class _Section:
    """A mapping of the file, and where it stands in it, for messages."""

    def __init__(self, file: Path, path: str, data: Any, known: Sequence[str] = ()) -> None:
        self.file = file
        self.path = path
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise self.wrong("", f"expected 'name: value' lines, found {_kind(data)}")
        self.data = data
        for key in data:
            if not isinstance(key, str):
                raise self.wrong(str(key), "expected a name in quotes")
            if known and key not in known:
                raise self.wrong(key, "unknown key", hint=f"keys here are {', '.join(known)}")

    def wrong(self, key: str, message: str, hint: str | None = None) -> ConfigError:
        place = ".".join(part for part in (self.path, key) if part)
        return ConfigError(": ".join(p for p in (str(self.file), place, message) if p), hint=hint)

    def below(self, key: str, known: Sequence[str] = ()) -> _Section:
        path = ".".join(part for part in (self.path, key) if part)
        return _Section(self.file, path, self.data.get(key), known)

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Value of `key`, of one type; required when it has no default."""
        value = self.data.get(key)
        if value is None:
            if default is None:
                raise self.wrong(key, "missing")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, f"expected {_NOUNS[kind]}, found {_kind(value)}")
        return value

    def parsed(self, key: str, parse: Callable[[str], T], default: T | None = None) -> T:
        """Text of `key` as `parse` reads it."""
        if self.data.get(key) is None and default is not None:
            return default
        try:
            return parse(self.get(key, str))
        except UsageError as exc:
            raise self.wrong(key, exc.message, hint=exc.hint) from exc
        except ValueError as exc:
            raise self.wrong(key, str(exc)) from exc


_NOUNS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    list: "a list",
}
_OPTIONS = ("jump", "identity")
_WORKER_OPTIONS = (*_OPTIONS, "root", "python", "cache", "mounts", "se-key")


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(value)


def read_places(file: Path) -> list[Place]:
    """Read all places of a file: sites first, then storage elements, then workers.

    Raises
    ------
    ConfigError
        The message has the path to the wrong key.
    """
    top = _Section(file, "", load_yaml(file), ("sites", "storage", "workers"))
    found: list[Place] = []
    for read, section in (
        (_read_site, top.below("sites")),
        (_read_se, top.below("storage")),
        (_read_worker, top.below("workers")),
    ):
        for name in section.data:
            try:
                check_name(section.path, name)
            except UsageError as exc:
                raise section.wrong(name, "not a name", hint=exc.hint) from exc
            found.append(read(name, section))
    return found


def _read_site(name: str, sites: _Section) -> Site:
    section = sites.below(name, ("class",))
    classes = [str(one) for one in SiteClass]
    given = section.get("class", str, "compute")
    if given not in classes:
        raise section.wrong("class", f"expected one of {', '.join(classes)}, found {given!r}")
    return Site(name, SiteClass(given))


def _read_se(name: str, storage: _Section) -> StorageElement:
    section = storage.below(name, ("url", "site", "enabled", *_OPTIONS))
    site = section.parsed("url", check_se_url)
    return StorageElement(
        name,
        section.get("url", str),
        section.get("site", str, site),
        enabled=section.get("enabled", bool, True),
        options=_read_options(section, _OPTIONS),
    )


def _read_worker(name: str, workers: _Section) -> Worker:
    section = workers.below(
        name, ("url", "site", "slots", "tags", "memory", "enabled", *_WORKER_OPTIONS)
    )
    site = section.parsed("url", check_worker_url)
    slots = section.get("slots", int, 1)
    if slots < 1:
        raise section.wrong("slots", f"expected at least 1, found {slots}")
    tags = section.get("tags", list, [])
    for tag in tags:
        if not isinstance(tag, str):
            raise section.wrong("tags", f"expected text, found {_kind(tag)}")
        try:
            check_name("tag", tag)
        except UsageError as exc:
            raise section.wrong("tags", exc.message, hint=exc.hint) from exc
    if section.data.get("cache") is not None:
        section.parsed("cache", parse_size)
    memory = section.data.get("memory")
    if memory is not None and (not isinstance(memory, int) or isinstance(memory, bool)):
        memory = section.parsed("memory", parse_size)
    return Worker(
        name,
        section.get("url", str),
        section.get("site", str, site),
        slots=slots,
        tags=frozenset(tags),
        memory_bytes=memory,
        enabled=section.get("enabled", bool, True),
        options=_read_options(section, _WORKER_OPTIONS),
    )


def _read_options(section: _Section, names: Sequence[str]) -> dict[str, str]:
    options = {name: section.get(name, str) for name in names if section.data.get(name) is not None}
    try:
        check_options(options)
    except UsageError as exc:
        raise section.wrong("jump", exc.message, hint=exc.hint) from exc
    return options
