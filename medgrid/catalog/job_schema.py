"""Tables of submissions, jobs, attempts and the broker.

A job's key is (submission, number). What all jobs of a submission share stands once, in
`submission`; a job's row holds its own input objects and where it is. `job_event` and
`job_attempt` are the history; nothing in `job_event` is ever changed. What a job wrote is found
through its derivation.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
)

from medgrid.catalog.schema import JsonText, Text, metadata

__all__ = [
    "job",
    "job_attempt",
    "job_event",
    "lease",
    "quota",
    "submission",
    "usage",
    "worker_health",
    "worker_link",
]

_SERIAL = BigInteger().with_variant(Integer, "sqlite")

submission = Table(
    "submission",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("name", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("algorithm", Text, nullable=False),  # digest
    Column("algorithm_label", Text, nullable=False),  # name@version
    Column("parameters", JsonText, nullable=False),
    Column("inputs", JsonText, nullable=False),  # role -> object ids, the same for each job
    Column("item_role", Text),  # role of the job's own objects
    Column("se", Text),  # where outputs go; null is the grid's default
    Column("priority", Integer, nullable=False),  # 0 is the highest
    Column("created_s", Double, nullable=False),
    Index("ix_submission_owner_created_s", "owner", "created_s"),
)

job = Table(
    "job",
    metadata,
    Column("submission", BigInteger, ForeignKey("submission.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("own_inputs", JsonText, nullable=False),  # object ids of the item role
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cause", Text),
    Column("exit_code", Integer),
    Column("attempt", Integer, nullable=False),
    Column("old_attempts", Integer, nullable=False),  # those before it was last submitted
    Column("preemptions", Integer, nullable=False),  # attempts since then killed for emergencies
    Column("strikes", Integer, nullable=False),  # failures since then that count against it
    Column("worker", Text),
    Column("cancel_asked", Boolean, nullable=False),
    Column("not_before_s", Double, nullable=False),  # back-off
    Column("updated_s", Double, nullable=False),
    Column("started_s", Double),
    Column("suspended_s", Double),  # since when its program stands still; null when it does not
    Column("paused_s", Double, nullable=False),  # how long it stood still before, since its start
    Column("ended_s", Double),
    Index("ix_job_state_submission_number", "state", "submission", "number"),
)

_JOB_KEY = ["submission", "number"]
_JOB_REFERENCE = ["job.submission", "job.number"]

job_attempt = Table(
    "job_attempt",
    metadata,
    Column("submission", BigInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("assigned_s", Double, nullable=False),
    Column("started_s", Double),
    Column("ended_s", Double),
    Column("cause", Text),
    Column("exit_code", Integer),
    Column("message", Text, nullable=False),
    Column("stdout_tail", Text, nullable=False),
    Column("stderr_tail", Text, nullable=False),
    Column("max_rss_bytes", BigInteger),
    Column("cpu_s", Double),
    ForeignKeyConstraint(_JOB_KEY, _JOB_REFERENCE),
)

job_event = Table(
    "job_event",
    metadata,
    Column("id", _SERIAL, primary_key=True),
    Column("submission", BigInteger, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("time_s", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("worker", Text),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(_JOB_KEY, _JOB_REFERENCE),
    Index("ix_job_event_submission_number", "submission", "number"),
)

worker_link = Table(
    "worker_link",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("agent_id", Text),
    Column("journal_offset", BigInteger, nullable=False),  # all before it is in the catalog
    Column("info", JsonText, nullable=False),  # what matching needs of the agent's hello
    Column("down_since_s", Double),
    Column("reason", Text, nullable=False),
    Column("lost_at_s", Double),  # when its jobs go elsewhere, if it is down until then
)

worker_health = Table(
    "worker_health",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("failures", Integer, nullable=False),  # in a row, of different jobs
    Column("outages", Integer, nullable=False),  # in a row; 0 is trusted
    Column("since_s", Double, nullable=False),
    Column("until_s", Double, nullable=False),  # from then on one job is tried
    Column("reason", Text, nullable=False),
)

quota = Table(
    "quota",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("slots", Integer),  # in use at once; null is any number
    Column("jobs", Integer),  # open at once; null is any number
)

usage = Table(
    "usage",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("slot_s", Double, nullable=False),  # slots in use times seconds, what is old fades
    Column("at_s", Double, nullable=False),  # when it was so much
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),  # grows with each holder: the fence
    Column("holder", Text, nullable=False),  # "host pid 4711", for people; empty is free
    Column("process", Text, nullable=False),  # machine and process identity, for programs
    Column("since_s", Double, nullable=False),
    Column("heartbeat_s", Double, nullable=False),
    Column("stop_asked", Boolean, nullable=False),
)
