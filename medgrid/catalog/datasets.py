"""Saved queries, and frozen ones, whose member list is fixed."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    delete,
    exists,
    insert,
    select,
    true,
    update,
)

from medgrid.catalog.attributes import nearest
from medgrid.catalog.nominative import without_names
from medgrid.catalog.query import Question
from medgrid.catalog.query_ast import Compare, OneOf, leaves
from medgrid.catalog.query_sql import Compiler
from medgrid.catalog.schema import dataset, dataset_member, object_
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.errors import AlreadyExists, NotFound, UsageError
from medgrid.model import LFN, Dataset

__all__ = ["DatasetStore"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class DatasetStore:
    """Queries kept under a name, each owner's apart. Each method is one transaction."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def save(
        self, name: str, question: Question, *, freeze: bool = False, replace: bool = False
    ) -> Dataset:
        """Keep a question; with `freeze` also the LFNs that answer it now.

        What names people is not kept: pseudonyms stand in its place, those it was found to hold
        for (`Question.with_patients`).

        Raises
        ------
        AlreadyExists
            The name is taken, and `replace` is not given.
        UsageError
            The name is not allowed, the question is wrong, or the dataset would ask for itself.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is not a dataset's name",
                hint="a letter or digit, then letters, digits, '_', '.' and '-'",
            )
        if not freeze and name in _datasets_of(question):
            raise UsageError(f"dataset {name!r} would ask for itself")
        mine = and_(dataset.c.owner == self._sight.owner, dataset.c.name == name)
        with self._db.write() as connection:
            taken = connection.scalar(select(dataset.c.name).where(mine))
            if taken is not None and not replace:
                raise AlreadyExists(
                    f"dataset {name!r} already exists",
                    hint="choose another name, or say --replace",
                )
            condition = Compiler(connection, self._sight).where(
                question
            )  # a wrong question is not kept
            members = (
                connection.execute(select(object_.c.lfn, object_.c.id).where(condition)).all()
                if freeze
                else []
            )
            if taken is not None:
                connection.execute(delete(dataset).where(mine))
            connection.execute(
                insert(dataset).values(
                    owner=self._sight.owner,
                    name=name,
                    question=str(without_names(question)),
                    frozen=freeze,
                    created_s=time.time(),
                )
            )
            if members:
                connection.execute(
                    insert(dataset_member),
                    [
                        {
                            "owner": self._sight.owner,
                            "dataset": name,
                            "lfn": lfn,
                            "object_id": object_id,
                        }
                        for lfn, object_id in members
                    ],
                )
            return self._get(connection, name)

    def list(self) -> list[Dataset]:
        """All datasets by name, without their members."""
        with self._db.read() as connection:
            rows = connection.execute(
                select(dataset).where(dataset.c.owner == self._sight.owner).order_by(dataset.c.name)
            ).mappings()
            return [_dataset(row, None) for row in rows]

    def get(self, name: str) -> Dataset:
        """One dataset, with its members when it is frozen.

        Raises
        ------
        NotFound
            There is none of this name.
        """
        with self._db.read() as connection:
            return self._get(connection, name)

    def changed(self, name: str) -> tuple[Sequence[LFN], Sequence[LFN]]:
        """Members of a frozen dataset that have new content since, and those that are gone."""
        with self._db.read() as connection:
            self._get(connection, name)
            rows = connection.execute(
                select(dataset_member.c.lfn, dataset_member.c.object_id, object_.c.id)
                .select_from(dataset_member)
                .outerjoin(
                    object_, and_(object_.c.lfn == dataset_member.c.lfn, self._sight.objects())
                )
                .where(self._members(name))
                .order_by(dataset_member.c.lfn)
            ).all()
        return (
            [LFN(lfn) for lfn, then, now in rows if now is not None and now != then],
            [LFN(lfn) for lfn, _, now in rows if now is None],
        )

    def follow(self, old: LFN, new: LFN) -> None:
        """Let frozen datasets that have an LFN which is gone have another one, with new content."""
        other = dataset_member.alias()
        both = exists().where(
            other.c.owner == dataset_member.c.owner,
            other.c.dataset == dataset_member.c.dataset,
            other.c.lfn == new,
        )
        gone = dataset_member.c.lfn == old
        with self._db.write() as connection:
            connection.execute(delete(dataset_member).where(gone, both))
            connection.execute(update(dataset_member).where(gone).values(lfn=new))

    def remove(self, name: str) -> None:
        """Forget a dataset; the objects stay. Raises `NotFound`."""
        with self._db.write() as connection:
            self._get(connection, name)
            connection.execute(
                delete(dataset).where(dataset.c.owner == self._sight.owner, dataset.c.name == name)
            )

    def _members(self, name: str) -> ColumnElement[bool]:
        return and_(dataset_member.c.owner == self._sight.owner, dataset_member.c.dataset == name)

    def _get(self, connection: Connection, name: str) -> Dataset:
        mine = select(dataset).where(dataset.c.owner == self._sight.owner)
        row = connection.execute(mine.where(dataset.c.name == name)).mappings().first()
        if row is None:
            names = connection.scalars(mine.with_only_columns(dataset.c.name)).all()
            raise NotFound(
                f"no dataset {name!r}", hint=nearest(name, names) or "see 'medgrid dataset ls'"
            )
        members = connection.scalars(
            select(dataset_member.c.lfn)
            .where(self._members(name), self._still_seen())
            .order_by(dataset_member.c.lfn)
        ).all()
        return _dataset(row, tuple(LFN(lfn) for lfn in members))

    def _still_seen(self) -> ColumnElement[bool]:
        """Leave out members that a viewer does not see, gone or not: `changed` has them."""
        if self._sight.viewer is None:
            return true()
        seen = select(object_.c.lfn).where(
            object_.c.lfn == dataset_member.c.lfn, self._sight.objects()
        )
        return exists(seen.correlate(dataset_member))


def _dataset(row: RowMapping, members: tuple[LFN, ...] | None) -> Dataset:
    return Dataset(
        name=row["name"],
        question=row["question"],
        frozen=row["frozen"],
        created_s=row["created_s"],
        members=members if row["frozen"] else None,
    )


def _datasets_of(question: Question) -> set[str]:
    """Names of the datasets a question asks for itself."""
    found: set[str] = set()
    for leaf in leaves(question.root) if question.root is not None else ():
        if isinstance(leaf, Compare) and leaf.name == "dataset":
            found.add(leaf.value.text)
        elif isinstance(leaf, OneOf) and leaf.name == "dataset":
            found.update(value.text for value in leaf.values)
    return found
