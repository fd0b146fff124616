"""Care teams: who can open all data of a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medgrid.actions.grid import Grid
from medgrid.actions.permission import no_patient, patients_allowed
from medgrid.catalog.access import Member
from medgrid.crypto.audit_record import Event
from medgrid.crypto.care_team import CareTeam
from medgrid.crypto.policy import Care, Verb
from medgrid.errors import Denied, NotFound, UsageError

__all__ = ["STAYS_READ", "Dropped", "add_member", "care_team", "drop_member", "my_patients", "team"]

STAYS_READ = (
    "what {name} has read stays read, and keys that {name} may have kept open what was stored "
    "until now: 'medgrid rekey --patient {patient}' makes new ones"
)
"""What leaving a care team does not protect from."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Who left a care team; `left_out` are members who got no new key, since nobody certifies them
    any more."""

    member: Member
    left_out: tuple[str, ...] = ()


def care_team(grid: Grid) -> CareTeam:
    """What this user can do with the keys of patients."""
    vault = grid.vault
    return CareTeam(vault.store, vault.identity, vault.compartments, vault.seals)


def add_member(grid: Grid, patient: str, name: str, role: Care) -> Member:
    """Let an identity open all data of a patient, also what comes later.

    Keys come first, then the catalog: what is interrupted is done again by the next try.

    Raises
    ------
    NotFound
        There is no such patient or identity; the same for whoever may not change the team.
    Denied
        The identity's certificate does not hold, or does not say what it is to be.
    """
    _require(grid, patient)
    known = grid.vault.trust(name)
    if str(role) not in known.roles:
        raise Denied(
            f"the certificate of {name} does not say {role}",
            hint=f"it says {', '.join(sorted(known.roles))}",
        )
    try:
        care_team(grid).add(patient, name, known.encryption_public)
    except Denied:
        # without keys one cannot give any; to say so would tell that there is such a patient
        raise no_patient(patient) from None
    new = Member(patient, name, role)
    grid.vault.store.audit.append(Event("team-add", name, patient, str(role)))
    grid.catalog.access.add_care(new)
    return new


def drop_member(grid: Grid, patient: str, name: str) -> list[Dropped]:
    """Take the keys of a patient from an identity; new ones are for those who stay.

    Raises
    ------
    NotFound
        There is no such patient, or the identity is not of the team.
    UsageError
        Nobody would care for the patient any more.
    """
    _require(grid, patient)
    members = grid.catalog.access.team(patient)
    if not members:
        raise no_patient(patient)
    theirs = [one for one in members if one.identity == name]
    if not theirs:
        raise NotFound(
            f"{name} is not of the care team of {patient}", hint=f"see 'medgrid team ls {patient}'"
        )
    if not any(one.role is Care.PHYSICIAN and one.identity != name for one in members):
        raise UsageError(
            f"{name} is the only physician of {patient}",
            hint="add another first with 'medgrid team add'",
        )
    left_out = _drop_keys(grid, patient, name)
    grid.vault.store.audit.append(Event("team-drop", name, patient))
    grid.catalog.access.drop_care(patient, name)
    return [Dropped(one, left_out) for one in theirs]


def _drop_keys(grid: Grid, patient: str, name: str) -> tuple[str, ...]:
    keys, vault = care_team(grid), grid.vault
    if name == grid.settings.user:
        # who goes makes the new keys for those who stay, and keeps none
        rotated = keys.rotate(patient)
        vault.store.drop_wraps(patient, None, name)
    else:
        try:
            rotated = keys.drop(patient, name)
        except NotFound:
            return ()  # an earlier try came so far
    vault.compartments.forget()
    return tuple(sorted({one for many in rotated for one in many.left_out}))


def team(grid: Grid, patient: str) -> list[Member]:
    """Who is what to a patient.

    Raises
    ------
    NotFound
        There is no such patient, or the user is not of the team.
    """
    found = grid.catalog.access.team(patient)
    if not found:
        problem = patients_allowed(grid, Verb.SEE, [patient])[patient]
        if problem is not None:
            raise problem
    return found


def my_patients(grid: Grid) -> list[Member]:
    """What the user is to whom."""
    access, me = grid.catalog.access, grid.settings.user
    found: Sequence[Member] = [
        one
        for members in access.teams(access.patients_of(me)).values()
        for one in members
        if one.identity == me
    ]
    return sorted(found)


def _require(grid: Grid, patient: str) -> None:
    problem = patients_allowed(grid, Verb.TEAM, [patient])[patient]
    if problem is not None:
        raise problem
