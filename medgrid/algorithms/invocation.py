"""What one job runs: arguments, staged inputs, expected outputs, limits, environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from medgrid.algorithms.options import options
from medgrid.algorithms.outputs import Value, fill_text, output_path
from medgrid.algorithms.parameters import check_given, check_parameters
from medgrid.algorithms.template import (
    BUNDLE,
    BUNDLE_KEY,
    WORKDIR,
    Argument,
    Place,
    command_template,
)
from medgrid.errors import UsageError
from medgrid.model import PACKED_SUFFIX, ObjectKind, is_tar

__all__ = [
    "InputRef",
    "Invocation",
    "JobEnvironment",
    "JobLimits",
    "Output",
    "compose",
    "environment_of",
    "item_role",
    "limits_of",
    "slots_of",
]


@dataclass(frozen=True, slots=True)
class InputRef:
    """One input of a job: the neutral file name of its bytes, and what they are."""

    filename: str
    kind: ObjectKind


class Output(NamedTuple):
    """What the program writes: a glob, relative to the job's working directory."""

    role: str
    glob: str
    optional: bool
    is_list: bool


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may use; None is no limit."""

    walltime_s: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class JobEnvironment:
    """What the program needs on the worker: ``host``, ``python`` or ``container``.

    Of the requirements in `alone` the wheel is installed without what it depends on. With a `lock`
    its lines are all that is installed, and no other files than those of their digests.
    """

    kind: str
    programs: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    lock: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Invocation:
    """All that follows from a descriptor, inputs and parameters.

    Attributes
    ----------
    argv : tuple
        Arguments as `medgrid.workers.base.Launch` takes them.
    paths : mapping of role to relative paths
        Where each input is staged; a DICOM series becomes a directory, and so does a volume that
        has companions: it lies there beside them.
    unpack : frozenset of str
        Those of the paths whose bytes are a tar, unpacked into the directory of that name.
    texts : mapping of relative path to text
        Configuration files the program expects.
    """

    argv: tuple[str | tuple[str | Mapping[str, bool], ...], ...]
    paths: Mapping[str, tuple[str, ...]]
    unpack: frozenset[str]
    texts: Mapping[str, str]
    outputs: tuple[Output, ...]
    limits: JobLimits
    slots: int
    env: Mapping[str, str]
    environment: JobEnvironment


def compose(
    descriptor: Mapping[str, Any],
    inputs: Mapping[str, Sequence[InputRef]],
    parameters: Mapping[str, Any],
) -> Invocation:
    """Work out what one job runs.

    Parameters
    ----------
    descriptor : mapping
        A checked Boutiques descriptor.
    inputs : mapping of File input id to inputs
    parameters : mapping of input id to value
        As for `check_parameters`.

    Raises
    ------
    UsageError
        The inputs and parameters do not fit the descriptor.
    """
    typed = check_parameters(descriptor, parameters)
    check_given(descriptor, {role: len(refs) for role, refs in inputs.items()}, typed)
    entries = {entry["id"]: entry for entry in descriptor["inputs"]}
    paths: dict[str, tuple[str, ...]] = {}
    unpack: set[str] = set()
    values: dict[str, Value] = dict(typed)
    for role, refs in inputs.items():
        is_list = bool(entries[role].get("list"))
        staged = [_staged(role, at if is_list else None, ref) for at, ref in enumerate(refs, 1)]
        if staged:
            paths[role] = tuple(one.path for one in staged)
            named = tuple(one.named for one in staged)
            values[role] = named if is_list else named[0]
        unpack.update(one.path for one in staged if one.is_tar)

    outputs: list[Output] = []
    texts: dict[str, str] = {}
    by_key: dict[str, list[Argument]] = {BUNDLE_KEY: [(BUNDLE,)]}
    for name, value in values.items():
        _put(by_key, entries[name], _input_arguments(entries[name], value))
    for entry in descriptor.get("output-files", ()):
        place = output_path(entry, entries, values)
        if place is None:
            continue
        outputs.append(
            Output(entry["id"], place.glob, bool(entry.get("optional")), bool(entry.get("list")))
        )
        if "file-template" in entry:
            texts[place.path] = _config_text(entry, entries, values)
        _put(by_key, entry, _flagged(entry, [(place.path,)]))

    argv = command_template(descriptor).arguments(by_key, descriptor.get("shell", "/bin/sh"))
    plain = {name: _plain(entries[name], value) for name, value in values.items()}
    return Invocation(
        argv=tuple(_wire(argument) for argument in argv),
        paths=paths,
        unpack=frozenset(unpack),
        texts=texts,
        outputs=tuple(outputs),
        limits=limits_of(descriptor),
        slots=slots_of(descriptor),
        env={
            entry["name"]: fill_text(entry["value"], entries, plain) or ""
            for entry in descriptor.get("environment-variables", ())
        },
        environment=environment_of(descriptor),
    )


def item_role(descriptor: Mapping[str, Any], given: Sequence[str] = ()) -> str:
    """Input that takes the items of a submission: one job each.

    Parameters
    ----------
    given : sequence of str
        Roles that are given to every job (``--with``).

    Raises
    ------
    UsageError
        There is none, or several could be meant.
    """
    label = descriptor["name"]
    files = [entry for entry in descriptor["inputs"] if entry["type"] == "File"]
    named = options(descriptor).get("item")
    if named is not None and named not in given:
        return str(named)
    free = [entry["id"] for entry in files if entry["id"] not in given]
    required = [entry["id"] for entry in files if entry["id"] in free and not entry.get("optional")]
    candidates = required or free
    if len(candidates) == 1:
        return str(candidates[0])
    if not candidates:
        raise UsageError(f"{label} has no input left for the LFNs")
    raise UsageError(
        f"{label} has several inputs the LFNs could be: {', '.join(candidates)}",
        hint=f"give all but one of them: --with {candidates[0]}=LFN",
    )


def limits_of(descriptor: Mapping[str, Any]) -> JobLimits:
    """Limits of one job."""
    return JobLimits(**options(descriptor).get("limits", {}))


def slots_of(descriptor: Mapping[str, Any]) -> int:
    """Slots one job takes: as said to medgrid, else Boutiques' suggested cores."""
    suggested = descriptor.get("suggested-resources", {}).get("cpu-cores", 1)
    return int(options(descriptor).get("slots", suggested))


def environment_of(descriptor: Mapping[str, Any]) -> JobEnvironment:
    """What the program needs on a worker.

    Without ``custom.medgrid.environment`` it is the container image, if there is one, else the
    program that is the first word of the command line.
    """
    own = options(descriptor).get("environment", {})
    image = own.get("image") or _image(descriptor.get("container-image"))
    kind = own.get("kind") or ("container" if image else "host")
    programs = tuple(own.get("programs", ()))
    if kind == "host" and "programs" not in own:
        first = command_template(descriptor).words[0]
        if len(first) == 1 and isinstance(first[0], str) and "/" not in first[0]:
            programs = (first[0],)
    return JobEnvironment(
        kind=kind,
        programs=programs,
        requirements=tuple(own.get("requirements", ())),
        alone=tuple(own.get("alone", ())),
        lock=tuple(own.get("lock", ())),
        image=image if kind == "container" else None,
    )


def _image(container: Mapping[str, Any] | None) -> str | None:
    """Image of a Boutiques container-image as apptainer and podman name it."""
    if container is None:
        return None
    image = str(container["image"])
    if "://" in image:
        return image
    index = str(container.get("index", "docker.io")).rstrip("/").removesuffix(":")
    scheme, separator, host = index.partition("://")
    if not separator:
        scheme, host = ("docker", index) if index not in ("docker", "shub") else (index, "")
    if host in ("", "index.docker.io") and scheme == "docker":
        host = "docker.io"
    return f"{scheme}://{host}/{image}" if host else f"{scheme}://{image}"


class _Staged(NamedTuple):
    """Where the bytes of an input go, and what the program is told."""

    path: str
    named: str
    is_tar: bool


def _staged(role: str, number: int | None, ref: InputRef) -> _Staged:
    """Where an input lies; `number` is its place in a list, whose names may be alike."""
    folder = f"in/{role}" if number is None else f"in/{role}/{number:04d}"
    if not is_tar(ref.kind, ref.filename):
        path = f"{folder}/{ref.filename}"
        return _Staged(path, path, is_tar=False)
    path = f"{folder}/{ref.filename.removesuffix(PACKED_SUFFIX)}"
    return _Staged(path if ref.kind is ObjectKind.SERIES else folder, path, is_tar=True)


def _put(
    by_key: dict[str, list[Argument]], entry: Mapping[str, Any], arguments: list[Argument]
) -> None:
    if "value-key" in entry:
        by_key.setdefault(entry["value-key"], []).extend(arguments)


def _text(value: object) -> str:
    return str(value)


def _plain(entry: Mapping[str, Any], value: Value) -> str:
    """A value as text in a configuration file or an environment variable."""
    if isinstance(value, tuple | list):
        return str(entry.get("list-separator", " ")).join(_text(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else _text(value)


def _input_arguments(entry: Mapping[str, Any], value: Value) -> list[Argument]:
    if entry["type"] == "Flag":
        return [(word,) for word in entry["command-line-flag"].split()] if value else []
    parts: tuple[Place | str, ...] = (WORKDIR, "/") if entry.get("uses-absolute-path") else ()
    if not isinstance(value, tuple | list):
        return _flagged(entry, [(*parts, _text(value))])
    separator = entry.get("list-separator", " ")
    arguments: list[Argument] = [(*parts, _text(one)) for one in value]
    if not separator.strip():
        return _flagged(entry, arguments)
    joined: list[Place | str] = []
    for argument in arguments:
        joined += [separator, *argument] if joined else argument
    return _flagged(entry, [tuple(joined)])


def _flagged(entry: Mapping[str, Any], arguments: list[Argument]) -> list[Argument]:
    """Arguments with the command-line flag before them, or glued to the first one."""
    flag = entry.get("command-line-flag")
    if flag is None:
        return arguments
    separator = entry.get("command-line-flag-separator", " ")
    words: list[Argument] = [(word,) for word in flag.split()]
    if separator and not separator.strip():
        return words + arguments
    return [*words[:-1], (*words[-1], separator, *arguments[0]), *arguments[1:]]


def _config_text(
    output: Mapping[str, Any],
    entries: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Value],
) -> str:
    plain = {name: _plain(entries[name], value) for name, value in values.items()}
    for name, text in plain.items():
        key = entries[name].get("value-key", "\0")
        if ("\n" in text or "\r" in text) and any(key in line for line in output["file-template"]):
            raise UsageError(
                f"parameter {name} holds a line end, which cannot stand in the configuration "
                f"file {output['id']}"
            )
    lines = (fill_text(line, entries, plain) for line in output["file-template"])
    return "".join(f"{line or ''}\n" for line in lines)


def _wire(argument: Argument) -> str | tuple[str | Mapping[str, bool], ...]:
    parts = tuple({"bundle": True} if part is BUNDLE else str(part) for part in argument)
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)
    return parts
