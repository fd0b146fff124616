"""What a schema cannot say of a descriptor: names that must agree, values that must arrive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgrid.algorithms.lockfile import lock_problem
from medgrid.algorithms.options import options
from medgrid.algorithms.outputs import check_condition
from medgrid.algorithms.parameters import typed_value
from medgrid.algorithms.schema import json_path
from medgrid.algorithms.template import BUNDLE_KEY, command_template
from medgrid.errors import ConfigError, UsageError

__all__ = ["Problem", "problems"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_ID = re.compile(r"[A-Za-z0-9_]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PINNED = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,\s-]+\])?\s*==\s*[A-Za-z0-9.!+_-]+\s*(;.*)?"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: steps of its JSON path, what is wrong, what to do."""

    path: tuple[str | int, ...]
    text: str
    hint: str | None = None


def problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    """Find what is wrong with a descriptor that fits its schemas, one problem after another."""
    yield from _name_problems(descriptor)
    yield from _id_problems(descriptor)
    yield from _input_problems(descriptor)
    yield from _key_problems(descriptor)
    yield from _template_problems(descriptor)
    yield from _output_problems(descriptor)
    yield from _container_problems(descriptor)
    yield from _option_problems(descriptor)


def _name_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    if "\\u0000" in json.dumps(descriptor):
        yield Problem((), "the descriptor holds a NUL character")
    for field, pattern in (("name", _NAME), ("tool-version", _VERSION)):
        if not pattern.fullmatch(descriptor[field]):
            yield Problem(
                (field,),
                f"{descriptor[field]!r} cannot be typed as NAME@VERSION",
                "use letters, digits, '.', '_' and '-'",
            )


def _id_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for section in ("inputs", "output-files", "groups"):
        for at, entry in enumerate(descriptor.get(section, ())):
            name = entry["id"]
            if not _ID.fullmatch(name):
                yield Problem(
                    (section, at, "id"),
                    f"{name!r} is not an id",
                    "use letters, digits and '_'",
                )
            if name in seen:
                yield Problem((section, at, "id"), f"{name!r} is also the id of {seen[name]}")
            seen[name] = json_path("$", section, at)
    inputs = {entry["id"] for entry in descriptor["inputs"]}
    groups = {group["id"] for group in descriptor.get("groups", ())}
    for at, group in enumerate(descriptor.get("groups", ())):
        for number, member in enumerate(group["members"]):
            if member not in inputs:
                yield Problem(("groups", at, "members", number), f"there is no input {member!r}")
    for at, entry in enumerate(descriptor["inputs"]):
        for field, known in (("requires-inputs", inputs | groups), ("disables-inputs", inputs)):
            for number, other in enumerate(entry.get(field, ())):
                if other not in known:
                    yield Problem(("inputs", at, field, number), f"there is no input {other!r}")
        for field in ("value-requires", "value-disables"):
            for choice, others in entry.get(field, {}).items():
                where = ("inputs", at, field, choice)
                if choice not in map(str, entry.get("value-choices", ())):
                    yield Problem(where, f"{choice!r} is not one of the value-choices")
                for other in others if isinstance(others, list) else [others]:
                    if other not in inputs:
                        yield Problem(where, f"there is no input {other!r}")


def _input_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    for at, entry in enumerate(descriptor["inputs"]):
        where = ("inputs", at)
        if entry["type"] == "Flag" and "command-line-flag" not in entry:
            yield Problem(where, "a Flag needs a 'command-line-flag'")
        if entry.get("minimum", 0) > entry.get("maximum", entry.get("minimum", 0)):
            yield Problem(
                (*where, "minimum"), f"{entry['minimum']:g} is above maximum {entry['maximum']:g}"
            )
        least, most = entry.get("min-list-entries", 0), entry.get("max-list-entries")
        if most is not None and most < max(least, 1):
            yield Problem((*where, "max-list-entries"), f"{most:g} is below {max(least, 1):g}")
        if "default-value" not in entry:
            continue
        if entry["type"] == "File":
            yield Problem(
                (*where, "default-value"),
                "a File has no default: no file is on every worker",
                "put the file into the bundle and name it [BUNDLE]/file on the command line",
            )
            continue
        try:
            typed_value(entry, entry["default-value"])
        except UsageError as exc:
            yield Problem((*where, "default-value"), exc.message)


def _key_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    outputs = descriptor.get("output-files", ())
    used = [descriptor["command-line"]]
    used += [entry["value"] for entry in descriptor.get("environment-variables", ())]
    for output in outputs:
        used += output.get("file-template", ())
        used.append(output.get("path-template", ""))
        used += [
            str(path)
            for choice in output.get("conditional-path-template", ())
            for path in choice.values()
        ]
    keys: dict[str, str] = {BUNDLE_KEY: ""} if "bundle" in options(descriptor) else {}
    exclusive = [
        set(group["members"])
        for group in descriptor.get("groups", ())
        if group.get("mutually-exclusive")
    ]
    for section in ("inputs", "output-files"):
        for at, entry in enumerate(descriptor.get(section, ())):
            key = entry.get("value-key")
            if key is None:
                continue
            where = (section, at, "value-key")
            if not any(key in text for text in used):
                yield Problem(
                    where, f"{key!r} is used nowhere", "put it on the command line, or leave it out"
                )
            for other, owner in keys.items():
                if key == other:
                    if not any({owner, entry["id"]} <= members for members in exclusive):
                        yield Problem(
                            where,
                            f"{key!r} is also the value-key of "
                            f"{owner or 'the bundle'} and both may be given",
                        )
                elif key in other or other in key:
                    yield Problem(where, f"{key!r} and {other!r} are parts of one another")
            keys[key] = entry["id"]


def _template_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        template = command_template(descriptor)
    except ConfigError as exc:
        yield Problem(("command-line",), exc.message, exc.hint)
        return
    for section in ("inputs", "output-files"):
        for at, entry in enumerate(descriptor.get(section, ())):
            key = entry.get("value-key")
            if key not in template.keys or template.standing_alone(key):
                continue
            if _makes_several_arguments(entry):
                yield Problem(
                    (section, at, "value-key"),
                    f"{key!r} is a part of an argument on the command line and may become several",
                    "let it stand alone, or give it a flag separator or list-separator that is "
                    "not white space",
                )
    for at, entry in enumerate(descriptor.get("environment-variables", ())):
        if not _VARIABLE.fullmatch(entry["name"]):
            yield Problem(
                ("environment-variables", at, "name"), f"{entry['name']!r} is no variable's name"
            )


def _makes_several_arguments(entry: Mapping[str, Any]) -> bool:
    if entry.get("list") and not entry.get("list-separator", " ").strip():
        return True
    flag = entry.get("command-line-flag")
    if flag is None:
        return False
    separator = entry.get("command-line-flag-separator", " ")
    alone = entry.get("type") == "Flag" or separator == "" or separator.strip()
    return bool(len(flag.split()) > 1 or not alone)


def _output_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    names = {entry["id"]: entry for entry in descriptor["inputs"]}
    templates: dict[str, str] = {}
    for at, output in enumerate(descriptor.get("output-files", ())):
        where = ("output-files", at)
        if output.get("uses-absolute-path"):
            yield Problem((*where, "uses-absolute-path"), "an output's path is relative to the job")
        template = output.get("path-template")
        if template is not None:
            if template.startswith("/") or ".." in template.split("/"):
                yield Problem(
                    (*where, "path-template"), f"{template!r} leads out of the job's directory"
                )
            if template in templates:
                yield Problem(
                    (*where, "path-template"),
                    f"{template!r} is also the path-template of {templates[template]}",
                )
            templates[template] = output["id"]
            if "*" in template and "file-template" in output:
                yield Problem((*where, "path-template"), "a configuration file has no wildcard")
        conditions = [
            (number, condition)
            for number, choice in enumerate(output.get("conditional-path-template", ()))
            for condition in choice
        ]
        for number, condition in conditions:
            if condition == "default":
                continue
            try:
                check_condition(condition, names)
            except ConfigError as exc:
                yield Problem((*where, "conditional-path-template", number), exc.message, exc.hint)
        known = {condition for _, condition in conditions}
        if conditions and not output.get("optional") and "default" not in known:
            yield Problem(
                (*where, "conditional-path-template"),
                "an output that is not optional needs a 'default'",
            )


def _container_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    image = descriptor.get("container-image", {})
    where = ("container-image",)
    if image.get("type") == "rootfs":
        yield Problem(where, "a rootfs cannot be run", "give a docker or singularity image")
    for field in ("container-opts", "working-directory"):
        if image.get(field):
            yield Problem(
                (*where, field),
                "is not passed on: the worker decides how a container is run",
                f"leave {field} out",
            )


def _option_problems(descriptor: Mapping[str, Any]) -> Iterator[Problem]:
    own = options(descriptor)
    where = ("custom", "medgrid")
    files = {entry["id"]: entry for entry in descriptor["inputs"] if entry["type"] == "File"}
    outputs = {entry["id"]: entry for entry in descriptor.get("output-files", ())}
    if "bundle" in own:
        folder = Path(own["bundle"])
        if folder.is_absolute() or ".." in folder.parts:
            yield Problem((*where, "bundle"), "the folder must lie beside the descriptor")
        if BUNDLE_KEY not in command_template(descriptor).keys:
            yield Problem((*where, "bundle"), f"the command line has no {BUNDLE_KEY}")
    if "item" in own and own["item"] not in files:
        yield Problem((*where, "item"), f"there is no File input {own['item']!r}")
    environment = own.get("environment", {})
    kind = environment.get("kind")
    for field in ("requirements", "alone"):
        requirements = environment.get(field, [])
        place = (*where, "environment", field)
        if requirements and kind != "python":
            yield Problem(place, "only an environment of kind python has some")
        for at, requirement in enumerate(requirements):
            if not _PINNED.fullmatch(requirement.strip()) or "==*" in requirement:
                yield Problem(
                    (*place, at),
                    f"{requirement!r} is not pinned",
                    "pin it with '==', so that the same algorithm gives the same result next year",
                )
    if "lock" in environment:
        yield from _lock_problems(environment, (*where, "environment", "lock"))
    if kind == "container" and "image" not in environment and "container-image" not in descriptor:
        yield Problem((*where, "environment"), "an environment of kind container needs an 'image'")
    for name in own.get("attributes", {}):
        if name not in outputs:
            yield Problem((*where, "attributes", name), f"there is no output {name!r}")
    for name, role in own.get("per_input", {}).items():
        if not outputs.get(name, {}).get("list"):
            yield Problem((*where, "per_input", name), f"there is no output list {name!r}")
        if role not in files:
            yield Problem((*where, "per_input", name), f"there is no File input {role!r}")


def _lock_problems(environment: Mapping[str, Any], place: tuple[str, ...]) -> Iterator[Problem]:
    lock = environment["lock"]
    if environment["kind"] != "python":
        yield Problem(place, "only an environment of kind python has one")
    elif isinstance(lock, str):
        if Path(lock).is_absolute() or ".." in Path(lock).parts:
            yield Problem(place, "the file must lie beside the descriptor")
    else:
        wanted = [*environment.get("requirements", ()), *environment.get("alone", ())]
        problem = lock_problem(lock, wanted)
        if problem is not None:
            yield Problem(place, *problem)
