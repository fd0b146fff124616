"""What people and tables say of patients and visits goes into the catalog, and is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medgrid.actions.grid import Grid
from medgrid.catalog.names import PATIENT
from medgrid.catalog.patient_attributes import Given
from medgrid.crypto.audit_record import Event

__all__ = ["Changed", "give"]


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
