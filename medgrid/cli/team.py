"""``medgrid team``: who cares for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgrid.cli.output import emit, emit_done, warn
from medgrid.cli.params import Session, pass_session

if TYPE_CHECKING:
    from medgrid.catalog.access import Member

__all__ = ["team"]


@click.group()
def team() -> None:
    """Care teams: who can open all data of a patient, and the patient's name.

    Patients go by their pseudonym. Only a physician of the team changes it; of a patient without a
    team, any physician or registrar of the grid.
    """


@team.command()
@click.argument("patient")
@click.argument("identity")
@click.option(
    "--role",
    type=click.Choice(["physician", "patient"]),
    default="physician",
    show_default=True,
    help="What they are to the patient; their certificate must say it, too.",
)
@pass_session
def add(session: Session, patient: str, identity: str, role: str) -> None:
    """Let somebody open all data of a patient, also what comes later.

    A physician may do all with it, a patient may read it.
    """
    from medgrid.actions.team import add_member
    from medgrid.crypto.policy import Care

    new = add_member(session.open_grid(), patient, identity, Care(role))
    emit_done(session, "member/1", _row(new))


@team.command()
@click.argument("patient")
@click.argument("identity")
@pass_session
def rm(session: Session, patient: str, identity: str) -> None:
    """Take the keys of a patient from somebody.

    What is stored from now on is encrypted for those who stay. What was stored before is not given
    out to them any more, but what they have read stays read, and keys that they may have kept open
    it: 'medgrid rekey --patient' makes new ones.
    """
    from medgrid.actions.team import STAYS_READ, drop_member

    for gone in drop_member(session.open_grid(), patient, identity):
        emit_done(session, "left-member/1", _row(gone.member))
        for name in gone.left_out:
            warn(session, f"{name} got no new key of {patient}: nobody certifies {name} any more")
    warn(session, STAYS_READ.format(name=identity, patient=patient))


@team.command("ls")
@click.argument("patient", required=False)
@pass_session
def ls(session: Session, patient: str | None) -> None:
    """List the team of a patient; without one, the patients in your care."""
    from medgrid.actions.team import my_patients
    from medgrid.actions.team import team as team_of

    grid = session.open_grid()
    if patient is None:
        emit(session, "member/1", map(_row, my_patients(grid)), ["patient", "role"])
    else:
        emit(session, "member/1", map(_row, team_of(grid, patient)), ["identity", "role"])


def _row(member: Member) -> dict[str, str]:
    return {"patient": member.patient, "identity": member.identity, "role": str(member.role)}
