"""Calls that may grow faster than what they are asked for, and methods without a call; and why."""

from __future__ import annotations

__all__ = ["AT_TIMES", "NO_CALLS", "ON_POSTGRES", "ON_SQLITE"]

_JOINED = "at this size PostgreSQL joins all of a table rather than look few rows up"
_ENDS = "a broker that is to end asks it when nothing else is to be done"
_QUOTA = "a quota of jobs is held by counting the open jobs of their owner"

_ONCE = "with statistics of when the store was small, tables are read once for many ids"
_VISITS = "visits are counted of all that somebody sees who is not of every team"

ON_SQLITE: dict[str, str] = {
    "objects.lfns [visits>6]": _VISITS,
    "objects.left_behind": "with statistics, objects are read in another order than they are asked",
    "jobs.create_submission": _QUOTA,
    "jobs.resubmit": _QUOTA,
    "desk.next_time": _ENDS,
    "keys.shares": _ONCE,
}

ON_POSTGRES: dict[str, str] = {
    "jobs.create_submission": _QUOTA,
    "jobs.resubmit": _QUOTA,
    "jobs.jobs": _JOINED,
    "jobs.jobs [spread]": _JOINED,
    "desk.next_time": _ENDS,
    "keys.delegation": "the server reads all boxes of a submission to give some",
}

AT_TIMES: dict[str, str] = {
    "desk.ended": "two plans cost the same to PostgreSQL: by a submission's jobs, or their states",
}
"""On a server, after some of the other calls."""

NO_CALLS: dict[str, str] = {
    "keys.create": "opens it",
    "keys.open": "opens it",
    "keys.close": "closes it",
    "keys.acting": "makes no statement on a file",
    "keys.transaction": "holds calls together",
    "keys.admit": "changes the users of a server",
    "keys.expel": "changes the users of a server",
    "keys.users": "reads the users of a server",
    "keys.audit.checkpoint": "reads what is new, by `leaves`",
    "keys.audit.verify": "reads all, by `all_records` and `leaves`",
    "keys.audit.copy_to": "reads what is new, by `all_records` and `leaves`",
}
