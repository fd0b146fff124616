"""How often patients came: the distinct study dates of their named objects, else BIDS sessions."""

# ruff: noqa: S608 - made of this file's own words

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, select, text

from medgrid.catalog.schema import object_
from medgrid.catalog.sight import Sight
from medgrid.database.many import among

__all__ = ["count_visits", "count_visits_of", "hold_patients", "patients_of", "visits_of"]

_NEXT = (
    "(SELECT o.{column} FROM object o WHERE o.patient = {patient} AND o.lfn IS NOT NULL"
    " AND o.{column} > {after} AND coalesce(o.study_date, o.session) = o.{column}"
    " ORDER BY o.{column} LIMIT 1)"
)


def visits_of(patient: str) -> str:
    """SQL of a patient's number of visits: one look-up a visit, however many objects there are."""
    steps = ", ".join(
        f"{column}s(at) AS ("
        f"SELECT {_NEXT.format(column=column, patient=patient, after=repr(''))} UNION ALL "
        f"SELECT {_NEXT.format(column=column, patient=patient, after='at')} FROM {column}s"
        " WHERE at IS NOT NULL)"
        for column in ("study_date", "session")
    )
    return (
        f"(WITH RECURSIVE {steps} SELECT count(visit.at) FROM"
        " (SELECT at FROM study_dates UNION SELECT at FROM sessions) AS visit)"
    )


def hold_patients(connection: Connection, pseudonyms: Sequence[str], sight: Sight) -> None:
    """Make sure the patients are there, and keep other writers from them until the end."""
    if pseudonyms and sight.is_guarded:
        held = text("SELECT medgrid.hold_patients(:pseudonyms)")
        connection.execute(held, {"pseudonyms": list(pseudonyms)})
    elif pseudonyms:
        connection.execute(
            text(
                "INSERT INTO patient (pseudonym, visits) VALUES (:pseudonym, 0)"
                " ON CONFLICT (pseudonym) DO UPDATE SET visits = patient.visits"
            ),
            [{"pseudonym": pseudonym} for pseudonym in pseudonyms],
        )


def patients_of(connection: Connection, which: ColumnElement[bool]) -> list[str]:
    """Give the patients of objects, sorted."""
    patients = connection.scalars(select(object_.c.patient).where(which))
    return sorted(set(filter(None, patients)))  # DISTINCT would turn SQLite's plan around


def count_visits_of(connection: Connection, ids: Iterable[str], sight: Sight) -> None:
    """Count anew the visits of the patients of objects."""
    count_visits(connection, patients_of(connection, among(connection, object_.c.id, ids)), sight)


def count_visits(connection: Connection, pseudonyms: Sequence[str], sight: Sight) -> None:
    """Count each patient's visits anew."""
    if pseudonyms and sight.is_guarded:
        counted = text("SELECT medgrid.count_visits(:pseudonyms)")
        connection.execute(counted, {"pseudonyms": list(pseudonyms)})
    elif pseudonyms:
        visits = visits_of(":pseudonym")
        connection.execute(
            text(f"UPDATE patient SET visits = {visits} WHERE pseudonym = :pseudonym"),
            [{"pseudonym": pseudonym} for pseudonym in pseudonyms],
        )
