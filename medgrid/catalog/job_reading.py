"""Rows of jobs and of their outputs, as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, select

from medgrid.catalog.job_schema import job
from medgrid.catalog.job_select import conditions, parse_spans
from medgrid.catalog.schema import derivation, derivation_output, object_
from medgrid.catalog.sight import Sight
from medgrid.model import LFN, Cause, Job, JobId, JobOutput, JobState, Priority

__all__ = ["job_of", "outputs_of"]

_PRIORITIES = list(Priority)


def outputs_of(
    connection: Connection, sight: Sight, words: Sequence[str]
) -> dict[tuple[int, int], list[JobOutput]]:
    """Outputs of the jobs that words name, by submission and number."""
    question = (
        select(
            job.c.submission,
            job.c.number,
            derivation_output.c.role,
            object_.c.filename,
            object_.c.id,
            object_.c.size_bytes,
            object_.c.sha256,
            object_.c.lfn,
        )
        .join(
            derivation,
            and_(
                derivation.c.submission == job.c.submission,
                derivation.c.job_number == job.c.number,
            ),
        )
        .join(derivation_output, derivation_output.c.derivation == derivation.c.id)
        .join(object_, object_.c.id == derivation_output.c.object_id)
        .where(sight.objects())
        .order_by(
            job.c.submission,
            job.c.number,
            derivation_output.c.role,
            derivation_output.c.position,
        )
    )
    found: dict[tuple[int, int], list[JobOutput]] = {}
    for named in conditions(connection, parse_spans(words)):
        for row in connection.execute(question.where(named)):
            lfn = LFN(row[7]) if row[7] else None
            output = JobOutput(row[2], row[3], row[4], row[5], row[6], lfn)
            found.setdefault((row[0], row[1]), []).append(output)
    return found


def job_of(row: Any, outputs: tuple[JobOutput, ...]) -> Job:
    """A job from its row, joined with that of its submission."""
    inputs = {role: tuple(ids) for role, ids in row.inputs.items()}
    if row.item_role is not None:
        inputs[row.item_role] = tuple(row.own_inputs)
    return Job(
        id=JobId(row.submission, row.number),
        algorithm=row.algorithm,
        algorithm_label=row.algorithm_label,
        owner=row.owner,
        state=JobState(row.state),
        reason=row.reason,
        cause=Cause(row.cause) if row.cause else None,
        exit_code=row.exit_code,
        attempt=row.attempt,
        worker=row.worker,
        priority=_PRIORITIES[row.priority],
        inputs=inputs,
        parameters=row.parameters,
        created_s=row.created_s,
        updated_s=row.updated_s,
        started_s=row.started_s,
        ended_s=row.ended_s,
        outputs=outputs,
        stdout_tail=row.stdout_tail or "",
        stderr_tail=row.stderr_tail or "",
        not_before_s=row.not_before_s,
        cancel_asked=row.cancel_asked,
        suspended_s=row.suspended_s,
        paused_s=row.paused_s,
    )
