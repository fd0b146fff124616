"""Quotas of users, and what they have used lately.

Who keeps the grid writes quotas; the broker writes usage, inside `LeaseStore.writing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from medgrid.catalog.job_schema import job, quota, submission, usage
from medgrid.catalog.job_states import OPEN
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.errors import Denied, NotFound

__all__ = ["HALF_LIFE_S", "Quota", "QuotaStore", "Usage", "check_jobs"]

HALF_LIFE_S = 3600.0
"""After this time half of what was used counts no more."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a user may have at once; None is any number.

    Attributes
    ----------
    slots : int or None
        In use; emergency jobs get slots beyond it, too.
    jobs : int or None
        That have not ended.
    """

    slots: int | None = None
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Slots in use times seconds, of which what is old has faded, as it was at `at_s`."""

    slot_s: float
    at_s: float

    def faded(self, now_s: float) -> float:
        """What is left of it.

        Examples
        --------
        >>> Usage(100.0, 0.0).faded(HALF_LIFE_S)
        50.0
        """
        return float(self.slot_s * 0.5 ** (max(0.0, now_s - self.at_s) / HALF_LIFE_S))


class QuotaStore:
    """Quotas and usage by user; a viewer has their own alone."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def all(self) -> dict[str, Quota]:
        """Quotas by user, sorted."""
        question = select(quota).where(self._sight.owned(quota)).order_by(quota.c.owner)
        with self._db.read() as connection:
            return {row[0]: Quota(row[1], row[2]) for row in connection.execute(question)}

    def put(self, owner: str, new: Quota) -> None:
        """Set the quota of a user."""
        self._require_all("set a quota")
        with self._db.write() as connection:
            connection.execute(delete(quota).where(quota.c.owner == owner))
            row = {"owner": owner, "slots": new.slots, "jobs": new.jobs}
            connection.execute(insert(quota).values(row))

    def remove(self, owner: str) -> None:
        """Let a user have any number again.

        Raises
        ------
        NotFound
            The user has no quota.
        """
        self._require_all("remove a quota")
        with self._db.write() as connection:
            gone = connection.execute(delete(quota).where(quota.c.owner == owner))
            if not gone.rowcount:
                raise NotFound(f"{owner} has no quota", hint="see 'medgrid quota ls'")

    def _require_all(self, what: str) -> None:
        if self._sight.viewer is not None:
            raise Denied(f"{self._sight.viewer} may not {what}", hint="who keeps the grid may")

    def open_jobs(self) -> dict[str, int]:
        """How many jobs of each user have not ended."""
        question = (
            select(submission.c.owner, func.count())
            .join(job, job.c.submission == submission.c.id)
            .where(job.c.state.in_(sorted(OPEN)), self._sight.submissions())
            .group_by(submission.c.owner)
        )
        with self._db.read() as connection:
            return {row[0]: row[1] for row in connection.execute(question)}

    def usage(self) -> dict[str, Usage]:
        """What each user has used lately."""
        question = select(usage).where(self._sight.owned(usage))
        with self._db.read() as connection:
            return {row[0]: Usage(row[1], row[2]) for row in connection.execute(question)}

    def save_usage(self, now: Mapping[str, Usage]) -> None:
        """Remember what all users have used."""
        with self._db.write() as connection:
            connection.execute(delete(usage))
            rows = [
                {"owner": owner, "slot_s": one.slot_s, "at_s": one.at_s}
                for owner, one in now.items()
            ]
            if rows:
                connection.execute(insert(usage), rows)


def check_jobs(connection: Connection, owner: str, new: int, *, written: bool = False) -> None:
    """Refuse `new` open jobs that a user's quota does not allow.

    Parameters
    ----------
    connection : Connection
        Of the transaction that writes them.
    written : bool
        Whether it has written them already.

    Raises
    ------
    Denied
        There would be too many; the transaction must not be kept.
    """
    limit = connection.scalar(select(quota.c.jobs).where(quota.c.owner == owner))
    if limit is None:
        return
    if connection.dialect.name == "postgresql":  # two at once would each see room for itself
        key = func.hashtextextended(f"medgrid quota {owner}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))
    mine = select(submission.c.id).where(submission.c.owner == owner)
    question = select(func.count()).where(job.c.state.in_(sorted(OPEN)), job.c.submission.in_(mine))
    is_open = connection.execute(question).scalar_one() - (new if written else 0)
    if is_open + new > limit:
        raise Denied(
            f"{owner} may have {limit} open jobs, has {is_open} and wants {new} more",
            hint="none was submitted; wait until some have ended, or ask who keeps the grid",
        )
