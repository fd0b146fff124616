"""``medgrid quota``."""

from __future__ import annotations

import click

from medgrid.cli.output import emit, emit_done
from medgrid.cli.params import Session, pass_session

__all__ = ["quota"]


@click.group()
def quota() -> None:
    """What users may have at once.

    Without a quota a user may have any number of slots and jobs. Users of one priority class take
    turns for slots all the same: next is who has the fewest, counting half of what they had lately.
    """


@quota.command("set")
@click.argument("user")
@click.option("--slots", type=click.IntRange(min=0), help="Slots in use at once; 0 is any number.")
@click.option("--jobs", type=click.IntRange(min=0), help="Jobs open at once; 0 is any number.")
@pass_session
def set_(session: Session, user: str, slots: int | None, jobs: int | None) -> None:
    """Bound what USER may have at once.

    With as many slots in use as --slots, other jobs of theirs wait; emergency jobs do not. What
    would make more than --jobs open jobs is refused when it is submitted, emergencies too.
    """
    from medgrid.actions.quota import set_quota

    new = set_quota(session.open_grid(), user, slots=slots, jobs=jobs)
    emit_done(session, "quota/1", {"user": user, "slots_quota": new.slots, "jobs_quota": new.jobs})


@quota.command()
@pass_session
def ls(session: Session) -> None:
    """List users with their quotas, and what they have.

    The column lately is how many slots they had on the average, where what is an hour old counts
    half.
    """
    from medgrid.actions.quota import standings

    rows = [
        {
            "user": one.owner,
            "slots": one.slots,
            "slots_quota": one.quota.slots,
            "jobs": one.jobs,
            "jobs_quota": one.quota.jobs,
            "lately": round(one.lately, 2),
        }
        for one in standings(session.open_grid())
    ]
    columns = ("user", "slots", "slots_quota", "jobs", "jobs_quota", "lately")
    labels = ("user", "slots", "of", "jobs", "of", "lately")
    emit(session, "quota/1", rows, columns, labels)


@quota.command()
@click.argument("user")
@pass_session
def rm(session: Session, user: str) -> None:
    """Let USER have any number again."""
    from medgrid.actions.quota import remove_quota

    remove_quota(session.open_grid(), user)
    emit_done(session, "quota/1", {"user": user, "state": "removed"})
