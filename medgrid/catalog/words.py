"""Words of descriptions: what the grid released, and what was held back, which is sealed.

Nothing here is believed: who reads releases verifies them, and only whom held words were sealed to
opens them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from sqlalchemy import delete, insert, select

from medgrid.catalog.schema import held_words, object_, word_release
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.model import ObjectId

__all__ = ["RULE", "Held", "WordStore"]

RULE = 1
"""Number of the rule that images are described by: known words alone, moments that move."""


class Held(NamedTuple):
    """What was held back of an original's descriptions, sealed.

    `rule` is the number of the rule it was described by; `revision` that of the patient's
    compartment, None when it is sealed to the owner.
    """

    object_id: ObjectId
    rule: int
    revision: int | None
    sealed: str


class WordStore:
    """Releases and held words. Each method is one transaction."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def releases(self) -> list[str]:
        """All releases, as they were signed."""
        with self._db.read() as connection:
            question = select(word_release.c.document).order_by(word_release.c.digest)
            return list(connection.scalars(question))

    def release(self, digest: str, signer: str, document: str) -> None:
        """Keep a release, once."""
        with self._db.write() as connection:
            there = select(word_release.c.digest).where(word_release.c.digest == digest)
            if connection.scalar(there) is None:
                row = {"digest": digest, "signer": signer, "document": document}
                connection.execute(insert(word_release).values(row))

    def hold(self, new: Collection[Held]) -> None:
        """Keep what was held back of originals, in place of what was kept before."""
        if not new:
            return
        with self._db.write() as connection:
            chosen = among(connection, held_words.c.object_id, {one.object_id for one in new})
            connection.execute(delete(held_words).where(chosen))
            connection.execute(insert(held_words), [one._asdict() for one in new])

    def held(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Held]:
        """What was held back of originals, of those that the viewer sees; others have no row."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(held_words)
                .join(object_, object_.c.id == held_words.c.object_id)
                .where(among(connection, held_words.c.object_id, ids), self._sight.objects())
            )
            return {
                ObjectId(row.object_id): Held(
                    ObjectId(row.object_id), row.rule, row.revision, row.sealed
                )
                for row in rows
            }
