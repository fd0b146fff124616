"""``medgrid algorithm``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit, emit_done, emit_json, emit_lines, note
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.model import Algorithm

__all__ = ["algorithm"]


@click.group()
def algorithm() -> None:
    """The programs the grid knows."""


@algorithm.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--se", help="Storage element for its code [the default one].")
@pass_session
def add(session: Session, file: Path, se: str | None) -> None:
    """Add an algorithm: a Boutiques descriptor, and the code beside it.

    Prints NAME@VERSION. Adding the same again changes nothing; a change of the descriptor, of the
    code or of the lock file that the descriptor names needs a new tool-version.

    What belongs to an input image lies beside it in the job's directory: image.json, image.bval and
    image.bvec, events.tsv, physio.tsv.gz beside image.nii.gz. A DICOM series is a folder.

    \b
    medgrid algorithm add config/algorithms/similarity.json
    """
    from medgrid.actions.algorithm import add_algorithm

    found, added = add_algorithm(session.open_grid(), file, se)
    if session.as_json:
        emit_json("algorithm/1", {**_row(found), "added": added})
        return
    emit_lines([str(found)])
    if not added:
        note(session, f"{found} was there already")


@algorithm.command()
@pass_session
def ls(session: Session) -> None:
    """List algorithms."""
    rows = map(_row, session.open_grid().catalog.algorithms.all())
    emit(session, "algorithm/1", rows, ("name", "version", "environment", "description"))


@algorithm.command()
@click.argument("name", metavar="NAME[@VERSION]")
@pass_session
def show(session: Session, name: str) -> None:
    """Show an algorithm's inputs, parameters and outputs; --json gives the whole descriptor."""
    found = session.open_grid().catalog.algorithms.find(name)
    if session.as_json:
        emit_json("algorithm/1", {**_row(found), "descriptor": dict(found.descriptor)})
    else:
        emit_lines(_described(found))


@algorithm.command()
@click.argument("name", metavar="NAME[@VERSION]")
@pass_session
def rm(session: Session, name: str) -> None:
    """Forget an algorithm that was never used."""
    from medgrid.actions.algorithm import remove_algorithm

    removed = remove_algorithm(session.open_grid(), name)
    emit_done(session, "algorithm/1", {**_row(removed), "state": "removed"})


def _row(found: Algorithm) -> dict[str, Any]:
    from medgrid.algorithms.invocation import environment_of

    return {
        "name": found.name,
        "version": found.version,
        "digest": found.digest,
        "environment": environment_of(found.descriptor).kind,
        "description": _first_sentence(found.descriptor["description"]),
        "created_s": found.created_s,
    }


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def _described(found: Algorithm) -> Iterator[str]:
    from textwrap import wrap

    from medgrid.algorithms.invocation import environment_of

    descriptor = found.descriptor
    yield str(found)
    yield from wrap(descriptor["description"], 100, initial_indent="  ", subsequent_indent="  ")
    files = [entry for entry in descriptor["inputs"] if entry["type"] == "File"]
    others = [entry for entry in descriptor["inputs"] if entry["type"] != "File"]
    outputs = descriptor.get("output-files", ())
    for title, entries in (("inputs", files), ("parameters", others), ("outputs", outputs)):
        if entries:
            yield f"{title}:"
        for entry in entries:
            facts = ", ".join(_facts(entry))
            text = f"  {entry['id']}" + (f" ({facts})" if facts else "")
            yield f"{text}: {' '.join(entry.get('description', entry['name']).split())}"
    environment = environment_of(descriptor)
    needs = [*environment.programs, *environment.requirements, *environment.alone]
    if environment.image:
        needs.append(environment.image)
    if environment.lock:
        needs.append("locked")
    yield f"environment: {environment.kind}" + (f" ({', '.join(needs)})" if needs else "")
    yield f"command: {' '.join(descriptor['command-line'].split())}"
    yield f"digest: {found.digest}"


def _facts(entry: Mapping[str, Any]) -> Iterator[str]:
    kind = entry.get("type", "File")
    if kind == "Number":
        yield "whole number" if entry.get("integer") else "number"
    elif kind != "File":
        yield {"String": "text", "Flag": "true or false"}[kind]
    if entry.get("list"):
        yield "list"
    if entry.get("optional"):
        yield "optional"
    if "minimum" in entry:
        yield f"{'>' if entry.get('exclusive-minimum') else '>='} {entry['minimum']:g}"
    if "maximum" in entry:
        yield f"{'<' if entry.get('exclusive-maximum') else '<='} {entry['maximum']:g}"
    if "value-choices" in entry:
        yield "one of " + " ".join(map(str, entry["value-choices"]))
    if "default-value" in entry:
        yield f"default {entry['default-value']}"
