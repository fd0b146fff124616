"""The life of a job: its states, what can happen to it, when that is allowed, and who writes it.

Every change of a job's state, by whomever, is one `Event` that passes its rule in `RULES`;
`medgrid.catalog.job_moves` writes it as an UPDATE that repeats state and attempt, so that two
writers can never both succeed and an old attempt can never change its job.

    Submitted --> Waiting --> Ready --> Scheduled --> Running --> Done --> Cleared
      ^              ^          |           |            |
      |              +--retry---+-----------+------------+        Unknown: worker does not answer
      +--resubmit-- Done (badly), Aborted, Cancelled

`table` is the same for people; ARCHITECTURE.md holds it, and ``tests/catalog/test_job_states.py``
compares. ``tests/catalog/test_job_machine.py`` tries random lives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from medgrid.model import Cause, JobState

__all__ = [
    "ACTIVE",
    "OPEN",
    "PENDING",
    "RULES",
    "Event",
    "Guard",
    "Rule",
    "Writer",
    "step",
    "table",
]

PENDING = frozenset({JobState.SUBMITTED, JobState.WAITING})
"""No attempt lives."""

ACTIVE = frozenset({JobState.READY, JobState.SCHEDULED, JobState.RUNNING, JobState.UNKNOWN})
"""An attempt lives on a worker."""

OPEN = PENDING | ACTIVE
"""Not final."""

_STARTED = frozenset({JobState.RUNNING, JobState.UNKNOWN})
_ENDED = frozenset({JobState.DONE, JobState.ABORTED, JobState.CANCELLED})


class Event(StrEnum):
    """What can happen to a job."""

    SUBMIT = "submit"  # it comes into being
    WAIT = "wait"  # a broker saw it and has no worker for it now
    ASSIGN = "assign"  # a worker is chosen: a new attempt is born
    GIVE = "give"  # the worker's agent has the attempt durably
    START = "start"  # its process runs
    SUSPEND = "suspend"  # its process stands still for an emergency job
    RESUME = "resume"  # and goes on
    LOSE = "lose"  # the worker does not answer
    REGAIN = "regain"  # it answers again and never had the attempt: it will be given again
    END = "end"  # it ended; the result, good or bad, is the user's
    RETRY = "retry"  # the infrastructure failed it: another attempt, later
    ABORT = "abort"  # the infrastructure failed it for the last time
    CANCEL = "cancel"  # the user asked
    CLEAR = "clear"  # the user discards its outputs
    RESUBMIT = "resubmit"  # the user wants it run again; never one that did what it should


class Writer(StrEnum):
    """Who may write that something happened."""

    OWNER = "owner"  # the process of the user whose job it is, in a transaction of its own
    BROKER = "broker"  # the holder of the broker's lease, inside `LeaseStore.writing`


class Guard(StrEnum):
    """What must be true besides the state. All but new jobs: the move names the job's attempt."""

    ON_WORKER = "the attempt is on the worker that tells"
    RUNS = "on that worker, and it does not stand still"
    STANDS_STILL = "on that worker, and it stands still"
    FAILED = "it did not do what it should"

    def holds(self, state: JobState, cause: str | None, suspended_s: float | None) -> bool:
        """Whether a job's row allows it; where the attempt is, the writer of the row knows.

        What a worker tells when it answers again is believed, whatever was known before.
        """
        if self is Guard.FAILED:
            return cause != Cause.OK
        if state is JobState.UNKNOWN or self is Guard.ON_WORKER:
            return True
        return (suspended_s is not None) is (self is Guard.STANDS_STILL)


@dataclass(frozen=True, slots=True)
class Rule:
    """From which states an event leads where, and who writes it."""

    sources: frozenset[JobState]
    target: JobState
    writers: frozenset[Writer]
    guard: Guard | None = None


_BY_OWNER = frozenset({Writer.OWNER})
_BY_BROKER = frozenset({Writer.BROKER})

RULES: Mapping[Event, Rule] = {
    Event.SUBMIT: Rule(frozenset(), JobState.SUBMITTED, _BY_OWNER),
    Event.WAIT: Rule(PENDING, JobState.WAITING, _BY_BROKER),
    Event.ASSIGN: Rule(PENDING, JobState.READY, _BY_BROKER),
    Event.GIVE: Rule(
        frozenset({JobState.READY, JobState.UNKNOWN}),
        JobState.SCHEDULED,
        _BY_BROKER,
        Guard.ON_WORKER,
    ),
    Event.START: Rule(
        frozenset({JobState.READY, JobState.SCHEDULED, JobState.UNKNOWN}),
        JobState.RUNNING,
        _BY_BROKER,
        Guard.ON_WORKER,
    ),
    Event.SUSPEND: Rule(_STARTED, JobState.RUNNING, _BY_BROKER, Guard.RUNS),
    Event.RESUME: Rule(_STARTED, JobState.RUNNING, _BY_BROKER, Guard.STANDS_STILL),
    Event.LOSE: Rule(ACTIVE - {JobState.UNKNOWN}, JobState.UNKNOWN, _BY_BROKER, Guard.ON_WORKER),
    Event.REGAIN: Rule(frozenset({JobState.UNKNOWN}), JobState.READY, _BY_BROKER, Guard.ON_WORKER),
    Event.END: Rule(ACTIVE, JobState.DONE, _BY_BROKER, Guard.ON_WORKER),
    Event.RETRY: Rule(ACTIVE, JobState.WAITING, _BY_BROKER, Guard.ON_WORKER),
    Event.ABORT: Rule(OPEN, JobState.ABORTED, _BY_BROKER, Guard.ON_WORKER),
    Event.CANCEL: Rule(
        OPEN, JobState.CANCELLED, frozenset({Writer.OWNER, Writer.BROKER}), Guard.ON_WORKER
    ),
    Event.CLEAR: Rule(frozenset({JobState.DONE}), JobState.CLEARED, _BY_OWNER),
    Event.RESUBMIT: Rule(_ENDED, JobState.SUBMITTED, _BY_OWNER, Guard.FAILED),
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
    rule = RULES[event]
    return rule.target if state in rule.sources else None


def table() -> str:
    """All rules, as a table in Markdown."""
    lines = ["| event | from | to | written by | only if |", "|---|---|---|---|---|"]
    for event, rule in RULES.items():
        sources = ", ".join(state for state in JobState if state in rule.sources) or "nothing"
        writers = ", ".join(writer for writer in Writer if writer in rule.writers)
        lines.append(f"| {event} | {sources} | {rule.target} | {writers} | {rule.guard or ''} |")
    return "\n".join(lines)
