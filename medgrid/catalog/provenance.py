"""Derivations: what was made from what, by which algorithm."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, insert, select

from medgrid.catalog.job_schema import submission
from medgrid.catalog.rows import value_table
from medgrid.catalog.schema import (
    derivation,
    derivation_input,
    derivation_link,
    derivation_output,
)
from medgrid.catalog.sight import Sight
from medgrid.database import Database
from medgrid.model import JobId, ObjectId, Sha256

__all__ = ["Derivation", "ProvenanceStore", "new_derivation_id"]


def new_derivation_id() -> str:
    """Draw a random 128-bit id."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
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
        some = self.output_inputs.get(output)
        found = {
            role: [one for one in ids if some is None or one in some]
            for role, ids in self.inputs.items()
        }
        return {role: ids for role, ids in found.items() if ids}


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
            given = value_table(connection, ids)
            makers = connection.execute(
                select(derivation_output.c.object_id, derivation_output.c.derivation)
                .join(given, given.c.value == derivation_output.c.object_id)
                .where(self._sight.took_part(derivation_output))
            ).all()
            found = _load(connection, self._sight, {maker for _, maker in makers})
            return {ObjectId(made): found[maker] for made, maker in makers}

    def made_from(self, object_id: ObjectId) -> list[Derivation]:
        """Derivations that read an object, oldest first: the viewer's own, and of what is seen."""
        with self._db.read() as connection:
            users = connection.scalars(
                select(derivation_input.c.derivation)
                .join(derivation, derivation.c.id == derivation_input.c.derivation)
                .where(
                    derivation_input.c.object_id == object_id,
                    self._sight.took_part(derivation_input),
                    self._sight.derivations(),
                )
                .distinct()
            ).all()
            found = _load(connection, self._sight, users)
        return sorted(found.values(), key=lambda one: (one.started_s or 0.0, one.id))


def _load(connection: Connection, sight: Sight, ids: Iterable[str]) -> dict[str, Derivation]:
    """Whole derivations by id, in five statements however many they are."""
    chosen = value_table(connection, ids)
    heads = (
        connection.execute(
            select(derivation, sight.asked_for().label("own")).join(
                chosen, chosen.c.value == derivation.c.id
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
            .join(chosen, chosen.c.value == table.c.derivation)
            .where(sight.took_part(table))
            .order_by(table.c.derivation, table.c.role, table.c.position)
        ):
            of_role = by_derivation.setdefault(row.derivation, {}).setdefault(row.role, [])
            of_role.append(ObjectId(row.object_id))
        roles.append(by_derivation)
    inputs, outputs = roles
    linked = connection.scalars(
        select(derivation_output.c.object_id)
        .join(chosen, chosen.c.value == derivation_output.c.derivation)
        .where(sight.linked(derivation_output.c.object_id))
    )
    # also those that are linked to nothing that is seen
    links: dict[ObjectId, list[ObjectId]] = {ObjectId(output): [] for output in linked}
    for output, input_id in connection.execute(
        select(derivation_link.c.output_id, derivation_link.c.input_id)
        .join(derivation_output, derivation_output.c.object_id == derivation_link.c.output_id)
        .join(chosen, chosen.c.value == derivation_output.c.derivation)
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
