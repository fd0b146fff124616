"""A new submission in the tables of jobs."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from medgrid.catalog.job_schema import job, job_event, submission
from medgrid.catalog.job_values import NewSubmission
from medgrid.model import JobState

__all__ = ["insert_submission"]


def insert_submission(connection: Connection, new: NewSubmission, now: float) -> int:
    """Write a submission and its jobs, which wait from `now` (s since 1970) on; its number."""
    row = {
        "name": new.name,
        "owner": new.owner,
        "algorithm": new.algorithm,
        "algorithm_label": new.algorithm_label,
        "parameters": dict(new.parameters),
        "inputs": {role: list(ids) for role, ids in new.inputs.items()},
        "item_role": new.item_role,
        "se": new.se,
        "priority": new.priority.rank,
        "created_s": now,
    }
    key = connection.execute(insert(submission).values(row)).inserted_primary_key
    number = int(key[0]) if key is not None else 0
    state = JobState.SUBMITTED.value
    connection.execute(
        insert(job),
        [
            {
                "submission": number,
                "number": position,
                "own_inputs": list(items),
                "state": state,
                "reason": "",
                "attempt": 0,
                "old_attempts": 0,
                "preemptions": 0,
                "strikes": 0,
                "cancel_asked": False,
                "not_before_s": 0.0,
                "updated_s": now,
                "paused_s": 0.0,
            }
            for position, items in enumerate(new.items, 1)
        ],
    )
    connection.execute(
        insert(job_event),
        [
            {
                "submission": number,
                "number": position,
                "attempt": 0,
                "time_s": now,
                "state": state,
                "reason": "",
            }
            for position in range(1, len(new.items) + 1)
        ],
    )
    return number
