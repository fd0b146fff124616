"""Patients who turned out to be others: what is imported of them is of those whom they became.

Whom somebody became is known at once: where A became B, and B becomes C, A becomes C.
"""

from __future__ import annotations

import time

from sqlalchemy import and_, insert, literal, or_, select, update

from medgrid.catalog.schema import Text, merged
from medgrid.catalog.sight import Sight
from medgrid.catalog.visits import hold_patients
from medgrid.database import Database
from medgrid.errors import Denied, UsageError

__all__ = ["MergedStore"]


class MergedStore:
    """Who became whom. Each method is one transaction.

    A viewer knows it of patients in their care; a server tells importers what they need.
    """

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def all(self) -> dict[str, str]:
        """Pseudonyms of those who became others -> theirs. They are few."""
        with self._db.read() as connection:
            question = select(merged.c.pseudonym, merged.c.became)
            if not self._sight.is_guarded:
                cares = self._sight.cares
                question = question.where(or_(cares(merged.c.pseudonym), cares(merged.c.became)))
            return {row.pseudonym: row.became for row in connection.execute(question)}

    def check(self, old: str, new: str) -> bool:
        """Whether `old` became `new` already; False when they may do so.

        Raises
        ------
        UsageError
            One of them became somebody else, or they are the same.
        Denied
            The viewer is no physician of both.
        """
        with self._db.read() as connection:
            both = (self._sight.is_physician(literal(one, Text)) for one in (old, new))
            if not connection.scalar(select(and_(*both))):
                raise Denied("only a physician of both patients makes them one")
            rows = select(merged.c.pseudonym, merged.c.became).where(
                merged.c.pseudonym.in_((old, new))
            )
            known = {row.pseudonym: row.became for row in connection.execute(rows)}
        if old == new or known.get(new) == old:
            raise UsageError(f"{old} and {new} are one patient already")
        for one in (old, new):
            now = known.get(one, new)
            if now != new:
                raise UsageError(f"{one} is {now} now", hint=f"say {now} in place of {one}")
        return old in known

    def note(self, old: str, new: str) -> None:
        """Remember that `old` became `new`; to say it again changes nothing. Raises as `check`."""
        with self._db.write() as connection:
            hold_patients(connection, sorted({old, new}), self._sight)
            if not self.check(old, new):
                connection.execute(update(merged).where(merged.c.became == old).values(became=new))
                row = {"pseudonym": old, "became": new, "merged_s": time.time()}
                connection.execute(insert(merged), row)
