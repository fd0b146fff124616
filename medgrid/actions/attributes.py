"""What people and tables say of patients and visits goes into the catalog, and is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from medgrid.actions.grid import Grid
from medgrid.catalog.names import PATIENT
from medgrid.catalog.patient_attributes import Given
from medgrid.crypto.audit_record import Event

__all__ = ["Changed", "give", "pass_on"]


class Changed(NamedTuple):
    """What was new, and what took the place of another value."""

    fresh: list[Given]
    replaced: list[Given]


def give(
    grid: Grid,
    new: Sequence[Given],
    source: str = "",
    units: Mapping[str, str] | None = None,
    place: str = PATIENT,
) -> Changed:
    """Say something of patients, whom the user may say something of; all or nothing.

    See `medgrid.catalog.patient_attributes.PatientAttributeStore.give`. Names of attributes are
    recorded in the audit log, values are not.
    """
    catalog = grid.whole
    with catalog.transaction():
        done = Changed(
            *catalog.patient_attributes.give(
                new, grid.settings.user, source=source, units=units, place=place
            )
        )
        if events := _events(done, source):
            grid.vault.store.audit.append(*events)
    return done


def _events(done: Changed, source: str) -> list[Event]:
    names: dict[tuple[str, str], list[str]] = {}
    for one in (*done.fresh, *done.replaced):
        names.setdefault((one.patient, one.visit), []).append(one.name)
    what = f" ({source})" if source else ""
    return [
        Event("meta", visit, patient, f"{' '.join(sorted(given))}{what}")
        for (patient, visit), given in names.items()
    ]


def pass_on(grid: Grid, old: str, new: str, visits: Mapping[str, str]) -> set[str]:
    """Say of a patient what is said of another, who became them; give what contradicts.

    What was said of the patient before stays, and so does what was said of the other.

    Parameters
    ----------
    visits : mapping
        Visits of the one, as those of the other are called; empty is the patient.
    """
    store = grid.whole.patient_attributes
    theirs = [one.given for one in store.of([old]) if one.given.visit in visits]
    if not theirs:
        return set()
    there = {(one.given.visit, one.given.name): one.given.value for one in store.of([new])}
    contradicted: set[str] = set()
    fresh: dict[str, list[Given]] = {}
    for one in theirs:
        visit = visits[one.visit]
        known = store.known(one.name)
        if (visit, one.name) not in there and known is not None:
            fresh.setdefault(known.place, []).append(replace(one, patient=new, visit=visit))
        elif there.get((visit, one.name)) != one.value:
            contradicted.add(one.name)
    for place, given in fresh.items():
        give(grid, given, f"merge {old}", place=place)
    return contradicted
