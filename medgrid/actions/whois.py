"""Who a patient is: what names them, from the seal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.patients import sealed_names
from medgrid.actions.permission import patients_allowed
from medgrid.crypto.policy import Verb
from medgrid.errors import NotFound

__all__ = ["Named", "whois"]


@dataclass(frozen=True, slots=True)
class Named:
    """A patient and what names them, by DICOM keyword."""

    patient: str
    names: Mapping[str, str]


def whois(grid: Grid, patients: Iterable[str]) -> Iterator[Named | Failure]:
    """Say who patients are, of those whom the user cares for, or is.

    For all others it says what it says of patients who do not exist. The key store writes down who
    asked for which patient before it gives anything out.
    """
    for patient, problem in patients_allowed(grid, Verb.WHOIS, patients).items():
        if problem is None:
            names = sealed_names(grid, [patient], "whois").get(patient)
            if names is not None:
                yield Named(patient, names)
                continue
            problem = NotFound(
                f"no name of {patient} is kept",
                hint="it came without one, or the key store has no key of the patient for you",
            )
        yield Failure(patient, problem)
