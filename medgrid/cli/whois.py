"""``medgrid whois``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_json, emit_table
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.patient import warn_of_merged

__all__ = ["whois"]

_COLUMNS = ("PatientName", "PatientBirthDate", "PatientID")


@click.command()
@click.argument("patients", nargs=-1, metavar="[PATIENT]...")
@input_option("pseudonyms")
@pass_session
def whois(session: Session, patients: tuple[str, ...], input_files: tuple[str, ...]) -> None:
    """Say who patients are: name, date of birth, the hospital's id.

    For their care team and the patient alone; the key store writes down who asked. With --json all
    that names the patient is printed.
    """
    from medgrid.actions.outcome import Failure
    from medgrid.actions.whois import whois as ask

    grid = session.open_grid()
    words = read_words(patients, input_files, "patient")
    warn_of_merged(session, grid, " ".join(words))
    failures: list[Failure] = []
    done = 0

    def rows() -> Iterator[list[str]]:
        nonlocal done
        for one in ask(grid, words):
            if isinstance(one, Failure):
                failures.append(one)
                continue
            done += 1
            if session.as_json:
                emit_json("named/1", {"patient": one.patient, "names": dict(one.names)})
            else:
                yield [one.patient, *(one.names.get(name, "") for name in _COLUMNS)]

    emit_table(rows(), ["patient", *_COLUMNS])
    finish(session, failures, done)
