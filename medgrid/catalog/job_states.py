"""The life of a job: its states, what can happen to it, and when that is allowed.

Every change of a job's state, by whomever, is one `Event` that passes `step`; `medgrid.catalog`
writes it as an UPDATE that repeats the same guard (state and attempt), so that two writers can
never both succeed and an old attempt can never change its job.

    Submitted --> Waiting --> Ready --> Scheduled --> Running --> Done --> Cleared
      ^              ^          |           |            |
      |              +--retry---+-----------+------------+        Unknown: worker does not answer
      +--resubmit-- Done (badly), Aborted, Cancelled
"""

from __future__ import annotations

from enum import StrEnum

from medgrid.model import JobState

__all__ = ["ACTIVE", "OPEN", "PENDING", "Event", "step"]

PENDING = frozenset({JobState.SUBMITTED, JobState.WAITING})
"""No attempt lives."""

ACTIVE = frozenset({JobState.READY, JobState.SCHEDULED, JobState.RUNNING, JobState.UNKNOWN})
"""An attempt lives on a worker."""

OPEN = PENDING | ACTIVE
"""Not final."""


class Event(StrEnum):
    """What can happen to a job. All but the first four are told by or about its attempt."""

    WAIT = "wait"  # a broker saw it and has no worker for it now
    ASSIGN = "assign"  # a worker is chosen: a new attempt is born
    CLEAR = "clear"  # the user discards its outputs
    RESUBMIT = "resubmit"  # the user wants it run again; never one that did what it should
    GIVE = "give"  # the worker's agent has the attempt durably
    START = "start"  # its process runs
    LOSE = "lose"  # the worker does not answer
    REGAIN = "regain"  # it answers again and never had the attempt: it will be given again
    END = "end"  # it ended; the result, good or bad, is the user's
    RETRY = "retry"  # the infrastructure failed it: another attempt, later
    ABORT = "abort"  # the infrastructure failed it for the last time
    CANCEL = "cancel"  # the user asked


_RULES: dict[Event, tuple[frozenset[JobState], JobState]] = {
    Event.WAIT: (PENDING, JobState.WAITING),
    Event.ASSIGN: (PENDING, JobState.READY),
    Event.CLEAR: (frozenset({JobState.DONE}), JobState.CLEARED),
    Event.RESUBMIT: (
        frozenset({JobState.DONE, JobState.ABORTED, JobState.CANCELLED}),
        JobState.SUBMITTED,
    ),
    Event.GIVE: (frozenset({JobState.READY, JobState.UNKNOWN}), JobState.SCHEDULED),
    Event.START: (
        frozenset({JobState.READY, JobState.SCHEDULED, JobState.UNKNOWN}),
        JobState.RUNNING,
    ),
    Event.LOSE: (ACTIVE - {JobState.UNKNOWN}, JobState.UNKNOWN),
    Event.REGAIN: (frozenset({JobState.UNKNOWN}), JobState.READY),
    Event.END: (ACTIVE, JobState.DONE),
    Event.RETRY: (ACTIVE, JobState.WAITING),
    Event.ABORT: (OPEN, JobState.ABORTED),
    Event.CANCEL: (OPEN, JobState.CANCELLED),
}


def step(state: JobState, event: Event) -> JobState | None:
    """State after `event`, or None when it may not happen in `state`.

    Examples
    --------
    >>> step(JobState.RUNNING, Event.END)
    <JobState.DONE: 'Done'>
    >>> step(JobState.DONE, Event.RETRY) is None
    True
    """
    sources, target = _RULES[event]
    return target if state in sources else None
