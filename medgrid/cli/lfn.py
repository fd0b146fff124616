"""``medgrid ls``, ``stat``, ``mv`` and ``rm``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit, emit_done, emit_json, emit_lines, human_bytes, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.times import shown_time
from medgrid.model import plain_number

if TYPE_CHECKING:
    from medgrid.actions.lfn import Entry, Facts
    from medgrid.catalog.provenance import Derivation

__all__ = ["ls", "mv", "rm", "stat"]


_only = click.option(
    "--only", is_flag=True, help="Only what is named: of an image the twin, or the original."
)


@click.command()
@click.argument("folder", default="/")
@click.option("-l", "--long", "long_", is_flag=True, help="Kind, size, date and copies, too.")
@pass_session
def ls(session: Session, folder: str, long_: bool) -> None:
    """List what lies directly below FOLDER ('/' by default); folders end with '/'."""
    from medgrid.actions.lfn import list_folder

    entries = list_folder(session.open_grid(), folder, details=long_ or session.as_json)
    if long_ or session.as_json:
        columns = ("kind", "size", "created", "replicas", "lfn")
        emit(session, "entry/1", map(_entry, entries), columns)
    else:
        emit_lines(entry.name for entry in entries)


def _entry(entry: Entry) -> Mapping[str, Any]:
    if entry.item is None:
        return {"lfn": entry.name, "kind": "folder"}
    return {
        "lfn": entry.name,
        "kind": str(entry.item.kind),
        "size_bytes": entry.item.size_bytes,
        "size": human_bytes(entry.item.size_bytes),
        "created": shown_time(entry.item.created_s),
        "replicas": entry.replica_count,
    }


@click.command()
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("--version", type=click.IntRange(1), help="An older content of the LFN.")
@click.option(
    "--file", "files", multiple=True, metavar="PATH", help="What you imported from a file; repeat."
)
@pass_session
def stat(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    version: int | None,
    files: tuple[str, ...],
) -> None:
    """Show all that is known of LFNs: object, metadata, copies, what made them and what from them.

    LFNs come from the command line, '-i FILE' or stdin ('-'). The catalog has no names of files;
    --file finds the object of one that this home's key and user imported.
    """
    from medgrid.actions.lfn import facts, of_file
    from medgrid.actions.outcome import Failure
    from medgrid.errors import MedgridError
    from medgrid.model import LFN

    grid = session.open_grid()
    failures: list[Failure] = []
    done = 0
    words = read_words(lfns, input_files, "LFN", required=not files)
    for word, is_file in [*((one, True) for one in files), *((one, False) for one in words)]:
        try:
            source = of_file(grid, word) if is_file else None
            found = facts(grid, source.lfn if source else LFN(word), version)
        except MedgridError as error:
            failures.append(Failure(word, error))
            continue
        if source and source.has_changed:
            warn(session, f"{word} has changed since it was imported", hint="import it again")
        document = _document(found)
        if session.as_json:
            emit_json("object/1", document)
        else:
            emit_lines(["", *_text(document)] if done else _text(document))
        done += 1
    finish(session, failures, done)


def _document(found: Facts) -> dict[str, Any]:
    item = found.item
    return {
        "lfn": item.lfn,
        "version": item.version,
        "id": item.id,
        "kind": str(item.kind),
        "filename": item.filename,
        "size_bytes": item.size_bytes,
        "sha256": item.sha256,
        "created": shown_time(item.created_s),
        "class": str(item.data_class),
        "owner": item.owner or None,
        "review": str(item.review) or None,
        "original": found.original,
        "refers_to": list(found.refers_to),
        "attributes": dict(sorted(item.attributes.items())),
        "patient_attributes": dict(sorted(found.said.items())),
        "replicas": [{"se": one.se, "pfn": one.pfn} for one in found.replicas],
        "older_versions": list(found.older),
        "waiting_versions": list(found.waiting),
        "made_by": _made(found.made_by) if found.made_by else None,
        "made_into": [_made(one) for one in found.made_into],
    }


def _made(one: Derivation) -> dict[str, Any]:
    return {
        "algorithm": one.algorithm_label,
        "job": str(one.job) if one.job else None,
        "ended": shown_time(one.ended_s),
    }


def _text(document: Mapping[str, Any]) -> Iterator[str]:
    for name, value in document.items():
        if value is None or value == []:
            continue
        if name == "attributes":
            yield from (f"  {key}: {_attribute(value, key)}" for key in value)
        elif name == "refers_to":
            yield from (f"refers to: {one}" for one in value)
        elif name == "patient_attributes":
            yield from (f"  {key}: {plain(value[key])} (of the patient or visit)" for key in value)
        elif name == "replicas":
            yield from (f"replica: {one['se']} {one['pfn']}" for one in value)
        elif name == "made_by":
            yield f"made by: {_made_text(value)}"
        elif name == "made_into":
            yield from (f"used by: {_made_text(one)}" for one in value)
        else:
            yield f"{name.replace('_', ' ')}: {plain(value)}"


def _made_text(made: Mapping[str, Any]) -> str:
    parts = [made["algorithm"]]
    parts += [f"job {made['job']}"] if made["job"] else []
    parts += [made["ended"]] if made["ended"] else []
    return ", ".join(parts)


def _attribute(attributes: Mapping[str, Any], name: str) -> str:
    """Value of an attribute as a question may ask for it, and whether it is one of several."""
    from medgrid.model import VARIES, VARIES_WIDELY

    value = attributes[name]
    if not isinstance(value, list):
        return plain(value)
    if name in attributes.get(VARIES_WIDELY, ()):
        return f"{plain(value)} (least and greatest of many values)"
    if name in attributes.get(VARIES, ()):
        return f"{plain(value)} ({len(value)} values)"
    return plain(value)


def plain(value: Any, between: str = ", ") -> str:
    if isinstance(value, list):
        return between.join(plain(one, "\\") for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return plain_number(value)
    return " ".join(str(value).split())


@click.command()
@click.argument("source")
@click.argument("target")
@_only
@pass_session
def mv(session: Session, source: str, target: str, only: bool) -> None:
    """Give the LFN or folder SOURCE the name TARGET; into TARGET when that is a folder.

    Both names of an image change: that of the twin, LFN, and that of the original, LFN.original.
    """
    from medgrid.actions.lfn import move

    pairs = move(session.open_grid(), source, target, only=only)
    for lfn, to in pairs:
        emit_done(session, "moved/1", {"lfn": lfn, "to": to})


@click.command()
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("-r", "--recursive", is_flag=True, help="Folders, with all that is below them.")
@_only
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even inputs of jobs that have not ended.")
@pass_session
def rm(
    session: Session,
    lfns: tuple[str, ...],
    input_files: tuple[str, ...],
    recursive: bool,
    only: bool,
    yes: bool,
    force: bool,
) -> None:
    """Remove LFNs, all their versions, and their bytes.

    An image goes with both its names: the twin, LFN, and the original, LFN.original. Later imports
    leave out what was removed: they name it once, and bring it back with --again.

    All are removed from the catalog, or none; none when a job that has not ended needs one of them
    and --force is not given. What was made from them, and how, stays known.
    LFNs come from the command line, '-i FILE' or stdin ('-').
    """
    from medgrid.actions.lfn import named, remove

    grid = session.open_grid()
    words = read_words(lfns, input_files, "LFN")
    found = named(grid, words, recursive=recursive, only=only)
    if not found:
        return
    what = " and ".join(found) if len(found) < 3 else f"{len(found)} LFNs"
    session.confirm(f"remove {what} and the bytes of all copies?", yes=yes)
    failures = remove(grid, found, force=force)
    for lfn in found:
        emit_done(session, "removed/1", {"lfn": lfn})
    finish(session, failures, len(found), hint="'medgrid fsck --repair' removes them later")
