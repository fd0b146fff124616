"""Who asks, and whether policy lets them: what actions on data ask before they begin.

The key store and the catalog refuse besides; asked first, policy can say why.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medgrid.actions.grid import Grid
from medgrid.actions.outcome import Failure
from medgrid.actions.transfer import label
from medgrid.catalog.query import parse
from medgrid.crypto.policy import Decision, Verb, Who, may
from medgrid.errors import Denied, MedgridError, NotFound, UsageError
from medgrid.model import LFN, GridObject, ObjectId

__all__ = [
    "Chosen",
    "asker",
    "choose",
    "decide",
    "members_of",
    "no_patient",
    "patients_allowed",
    "sift",
]


@dataclass(slots=True)
class Chosen:
    """Objects that something may be done to, and why not to others that were named."""

    items: list[GridObject] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def asker(grid: Grid) -> Who:
    """The user, with the roles of their certificate.

    Raises
    ------
    NotFound, Denied
        They have no certificate that holds.
    """
    known = grid.vault.trust(grid.settings.user)
    return Who(known.name, known.roles)


def patients_allowed(
    grid: Grid, verb: Verb, patients: Iterable[str]
) -> dict[str, MedgridError | None]:
    """For each patient None, or what to say where policy refuses.

    Of a patient whom the user may not know of it is what is said of one who does not exist.
    """
    wanted = list(dict.fromkeys(patients))
    who, now_s = asker(grid), time.time()
    things = grid.whole.access.patient_things(wanted, who.name)
    found: dict[str, MedgridError | None] = {}
    for patient in wanted:
        decision = may(who, verb, things[patient], now_s)
        if decision:
            found[patient] = None
        elif may(who, Verb.SEE, things[patient], now_s):
            found[patient] = Denied(f"{patient}: {decision.reason}")
        else:
            found[patient] = no_patient(patient)
    return found


def no_patient(patient: str) -> NotFound:
    """What is said of a patient who does not exist, or is none of the user's."""
    return NotFound(f"no patient {patient}", hint="'medgrid team ls' shows yours")


def decide(grid: Grid, verb: Verb, items: Iterable[GridObject]) -> dict[ObjectId, Decision]:
    """What policy says of each object."""
    wanted = list(items)
    who, now_s = asker(grid), time.time()
    things = grid.catalog.access.things(wanted, who.name)
    return {one.id: may(who, verb, things[one.id], now_s) for one in wanted}


def sift(grid: Grid, verb: Verb, items: Sequence[GridObject], hint: str | None = None) -> Chosen:
    """Part objects into those that policy allows `verb` for, and refusals that say why."""
    decisions = decide(grid, verb, items)
    found = Chosen()
    for item in items:
        decision = decisions[item.id]
        if decision:
            found.items.append(item)
        else:
            name = label(item)
            found.failures.append(Failure(name, Denied(f"{name}: {decision.reason}", hint=hint)))
    return found


def choose(grid: Grid, words: Iterable[str]) -> Chosen:
    """Objects that LFNs name; those that do not exist, or are not seen, are failures."""
    found = Chosen()
    lfns: dict[LFN, None] = {}
    for word in words:
        try:
            lfns[LFN(word)] = None
        except UsageError as error:
            found.failures.append(Failure(word, error))
    there = grid.catalog.objects.get_many(lfns)
    for lfn in lfns:
        if lfn in there:
            found.items.append(there[lfn])
        else:
            found.failures.append(Failure(lfn, _missing(grid, lfn)))
    return found


def _missing(grid: Grid, lfn: LFN) -> MedgridError:
    try:
        grid.catalog.objects.get(lfn)
    except MedgridError as error:
        return error
    return NotFound(f"no LFN {lfn}")


def members_of(grid: Grid, dataset: str) -> list[LFN]:
    """LFNs of one of the user's datasets, as they are now.

    Raises
    ------
    NotFound
        The user has no dataset of this name.
    """
    found = grid.catalog.datasets.get(dataset)
    if found.members is not None:
        return list(found.members)
    return list(grid.catalog.objects.lfns(parse(found.question)))
