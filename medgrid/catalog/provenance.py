"""Derivations: what was made from what, by which algorithm."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, insert, not_, select

from medgrid.catalog.job_schema import submission
from medgrid.catalog.schema import (
    derivation,
    derivation_input,
    derivation_link,
    derivation_output,
)
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.database.many import among
from medgrid.model import JobId, ObjectId, Sha256

__all__ = ["Derivation", "ProvenanceStore", "new_derivation_id"]


def new_derivation_id() -> str:
    """Draw a random 128-bit id."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Derivation:
    """One run of an algorithm that made objects.

    `algorithm_label` is ``name@version``, kept beside the digest so that it outlives the algorithm.
    `output_inputs` names, for outputs that come from some inputs only, those inputs; any other
    output comes from all of them.
    """

    id: str
    algorithm: Sha256
    algorithm_label: str
    inputs: Mapping[str, Sequence[ObjectId]]
    outputs: Mapping[str, Sequence[ObjectId]]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    job: JobId | None = None
    worker: str | None = None
    started_s: float | None = None
    ended_s: float | None = None
    exit_code: int | None = None
    output_inputs: Mapping[ObjectId, Sequence[ObjectId]] = field(default_factory=dict)

    def inputs_of(self, output: ObjectId) -> dict[str, list[ObjectId]]:
        """Inputs that `output` was made from, by role."""
        linked = self.output_inputs.get(output)
        if linked is None:
            return {role: list(ids) for role, ids in self.inputs.items() if ids}
        given = sorted(
            (place, role, one) for one in set(linked) for place, role in self._given.get(one, ())
        )
        found: dict[str, list[ObjectId]] = {}
        for _, role, one in given:
            found.setdefault(role, []).append(one)
        return found

    @cached_property
    def _given(self) -> dict[ObjectId, list[tuple[int, str]]]:
        """Where each input stands among all, and its role, for outputs that are linked to a few."""
        found: dict[ObjectId, list[tuple[int, str]]] = {}
        every = ((role, one) for role, ids in self.inputs.items() for one in ids)
        for place, (role, one) in enumerate(every):
            found.setdefault(one, []).append((place, role))
        return found

    def outputs_from(
        self, sources: Collection[ObjectId]
    ) -> dict[ObjectId, dict[str, list[ObjectId]]]:
        """What was made from each of its inputs that is one of `sources`, by role."""
        given = {one for ids in self.inputs.values() for one in ids}.intersection(sources)
        found: dict[ObjectId, dict[str, list[ObjectId]]] = {}
        for role, outputs in self.outputs.items():
            for output in outputs:
                for one in given.intersection(self.output_inputs.get(output, given)):
                    found.setdefault(one, {}).setdefault(role, []).append(output)
        return found


class ProvenanceStore:
    """Remembers derivations for ever, also when their objects are gone."""

    def __init__(self, db: Database, sight: Sight) -> None:
        self._db = db
        self._sight = sight

    def record(self, new: Derivation) -> None:
        """Enter a derivation."""
        self.record_many([new])

    def record_many(self, new: Sequence[Derivation]) -> None:
        """Enter derivations, all or none.

        Each belongs to the viewer; those of jobs, which a broker enters, to who asked for the job.
        """
        tables: dict[Table, list[dict[str, Any]]] = {
            derivation_input: [row for one in new for row in _role_rows(one.id, one.inputs)],
            derivation_output: [row for one in new for row in _role_rows(one.id, one.outputs)],
            derivation_link: [
                {"output_id": output, "input_id": input_id}
                for one in new
                for output, ids in one.output_inputs.items()
                for input_id in sorted(set(ids))
            ],
        }
        with self._db.write() as connection:
            owners = self._owners(connection, new)
            heads = [_row(one, owners.get(one.id, self._sight.owner)) for one in new]
            if heads:
                connection.execute(insert(derivation), heads)
            for table, rows in tables.items():
                if rows:
                    connection.execute(insert(table), rows)

    @staticmethod
    def _owners(connection: Connection, new: Sequence[Derivation]) -> dict[str, str]:
        """Who asked for the jobs that derivations come from."""
        numbers = {one.job.submission for one in new if one.job is not None}
        rows = connection.execute(
            select(submission.c.id, submission.c.owner).where(submission.c.id.in_(numbers))
        )
        owners = {row.id: row.owner for row in rows}
        return {
            one.id: owners[one.job.submission]
            for one in new
            if one.job is not None and one.job.submission in owners
        }

    def made_by(self, object_id: ObjectId) -> Derivation | None:
        """Derivation that made an object, None for what was brought from outside."""
        return self.made_by_many([object_id]).get(object_id)

    def made_by_many(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Derivation]:
        """Derivations by the object they made; objects from outside are absent."""
        with self._db.read() as connection:
            makers = connection.execute(
                select(derivation_output.c.object_id, derivation_output.c.derivation).where(
                    among(connection, derivation_output.c.object_id, ids),
                    self._sight.took_part(derivation_output),
                )
            ).all()
            found = _load(connection, self._sight, {maker for _, maker in makers})
            return {ObjectId(made): found[maker] for made, maker in makers}

    def made_from(self, object_id: ObjectId) -> list[Derivation]:
        """Derivations that read an object, oldest first; see `made_from_many`."""
        return self.made_from_many([object_id]).get(object_id, [])

    def made_from_many(self, ids: Iterable[ObjectId]) -> dict[ObjectId, list[Derivation]]:
        """Derivations that read objects, oldest first: the viewer's own, and of what is seen.

        Each is read once, however many of the objects it read.
        """
        with self._db.read() as connection:
            users = connection.execute(
                select(derivation_input.c.object_id, derivation_input.c.derivation)
                .join(derivation, derivation.c.id == derivation_input.c.derivation)
                .where(
                    among(connection, derivation_input.c.object_id, ids),
                    self._sight.took_part(derivation_input),
                    self._sight.derivations(),
                )
                .distinct()
            ).all()
            loaded = _load(connection, self._sight, {user for _, user in users})
        found: dict[ObjectId, list[Derivation]] = {}
        for read, user in users:
            found.setdefault(ObjectId(read), []).append(loaded[user])
        for several in found.values():
            several.sort(key=lambda one: (one.started_s or 0.0, one.id))
        return found

    def made_out_of(self, ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Objects that were made from others, however many steps away.

        What is not seen is no result on the way.
        """
        found: set[ObjectId] = set()
        ahead = set(ids)
        with self._db.read() as connection:
            while ahead:
                ahead = self._next_of(connection, ahead) - found
                found |= ahead
        return found

    def _next_of(self, connection: Connection, ids: Collection[ObjectId]) -> set[ObjectId]:
        """Objects that were made from others in one step."""
        made, read, link = derivation_output.c, derivation_input.c, derivation_link.c
        linked = select(link.output_id).where(among(connection, link.input_id, ids))
        runs = select(read.derivation).where(
            among(connection, read.object_id, ids), self._sight.took_part(derivation_input)
        )
        found: set[ObjectId] = set()
        for condition in (made.object_id.in_(linked), not_(self._sight.linked(made.object_id))):
            outputs = select(made.object_id).where(
                condition, made.derivation.in_(runs), self._sight.took_part(derivation_output)
            )
            found.update(map(ObjectId, connection.scalars(outputs)))
        return found


def _load(connection: Connection, sight: Sight, ids: Collection[str]) -> dict[str, Derivation]:
    """Whole derivations by id, in five statements however many they are."""
    heads = (
        connection.execute(
            select(derivation, sight.asked_for().label("own")).where(
                among(connection, derivation.c.id, ids)
            )
        )
        .mappings()
        .all()
    )
    roles: list[dict[str, dict[str, list[ObjectId]]]] = []
    for table in (derivation_input, derivation_output):
        by_derivation: dict[str, dict[str, list[ObjectId]]] = {}
        for row in connection.execute(
            select(table)
            .where(among(connection, table.c.derivation, ids), sight.took_part(table))
            .order_by(table.c.derivation, table.c.role, table.c.position)
        ):
            of_role = by_derivation.setdefault(row.derivation, {}).setdefault(row.role, [])
            of_role.append(ObjectId(row.object_id))
        roles.append(by_derivation)
    inputs, outputs = roles
    made = among(connection, derivation_output.c.derivation, ids)
    linked = connection.scalars(
        select(derivation_output.c.object_id).where(
            made, sight.linked(derivation_output.c.object_id)
        )
    )
    # also those that are linked to nothing that is seen
    links: dict[ObjectId, list[ObjectId]] = {ObjectId(output): [] for output in linked}
    for output, input_id in connection.execute(
        select(derivation_link.c.output_id, derivation_link.c.input_id)
        .join(derivation_output, derivation_output.c.object_id == derivation_link.c.output_id)
        .where(made)
        .order_by(derivation_link.c.output_id, derivation_link.c.input_id)
    ):
        links.setdefault(ObjectId(output), []).append(ObjectId(input_id))
    return {head["id"]: _derivation(head, inputs, outputs, links) for head in heads}


def _derivation(
    head: RowMapping,
    inputs: Mapping[str, dict[str, list[ObjectId]]],
    outputs: Mapping[str, dict[str, list[ObjectId]]],
    links: Mapping[ObjectId, list[ObjectId]],
) -> Derivation:
    made = outputs.get(head["id"], {})
    given = inputs.get(head["id"], {})
    seen = {one for ids in given.values() for one in ids}
    job = None
    if head["submission"] is not None and head["own"]:
        job = JobId(head["submission"], head["job_number"])
    return Derivation(
        id=head["id"],
        algorithm=Sha256(head["algorithm"]),
        algorithm_label=f"{head['algorithm_name']}@{head['algorithm_version']}",
        inputs=given,
        outputs=made,
        parameters=head["parameters"],
        job=job,
        worker=head["worker"],
        started_s=head["started_s"],
        ended_s=head["ended_s"],
        exit_code=head["exit_code"],
        output_inputs={
            output: [one for one in links[output] if one in seen]
            for ids in made.values()
            for output in ids
            if output in links
        },
    )


def _row(new: Derivation, owner: str) -> dict[str, Any]:
    name, _, version = new.algorithm_label.partition("@")
    return {
        "id": new.id,
        "owner": owner,
        "algorithm": new.algorithm,
        "algorithm_name": name,
        "algorithm_version": version,
        "parameters": dict(new.parameters),
        "submission": new.job.submission if new.job else None,
        "job_number": new.job.number if new.job else None,
        "worker": new.worker,
        "started_s": new.started_s,
        "ended_s": new.ended_s,
        "exit_code": new.exit_code,
    }


def _role_rows(key: str, roles: Mapping[str, Sequence[ObjectId]]) -> list[dict[str, Any]]:
    return [
        {"derivation": key, "role": role, "position": place, "object_id": object_id}
        for role, ids in roles.items()
        for place, object_id in enumerate(ids)
    ]
