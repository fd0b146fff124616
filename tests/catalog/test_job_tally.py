"""Jobs counted: states, causes, speed; and whose they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from medgrid.catalog import Catalog
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_schema import submission
from medgrid.catalog.job_states import Event
from medgrid.catalog.job_tally import Totals
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.errors import NotFound
from medgrid.model import Cause, JobId, JobState, Sha256

DIGEST = Sha256("d" * 64)


def submit(catalog: Catalog, count: int, owner: str = "ann", age_s: float = 0.0) -> list[JobId]:
    number, jobs = catalog.jobs.create_submission(
        NewSubmission(DIGEST, "n4@1", owner, [[]] * count, None, {}, {})
    )
    with catalog.db.write() as connection:
        connection.execute(
            update(submission)
            .where(submission.c.id == number)
            .values(created_s=time.time() - age_s)
        )
    return jobs


def end(catalog: Catalog, job: JobId, cause: Cause = Cause.OK, ago_s: float = 0.0) -> None:
    """Let a job run and end."""
    at = time.time() - ago_s
    code = 0 if cause is Cause.OK else 1
    event = Event.ABORT if cause.is_infrastructure else Event.END
    moves = [
        Move(job, 0, Event.ASSIGN, at - 2, "to w1", "w1"),
        Move(job, 1, Event.START, at - 1, "on w1", "w1"),
        Move(job, 1, event, at, str(cause), "w1", end=AttemptEnd(cause, code, ended_s=at)),
    ]
    assert catalog.jobs.desk.apply(moves) == moves


def test_states_and_causes(catalog: Catalog) -> None:
    jobs = submit(catalog, 7)
    end(catalog, jobs[0])
    end(catalog, jobs[1], Cause.EXIT)
    end(catalog, jobs[2], Cause.EXIT)
    end(catalog, jobs[3], Cause.LOST)
    never = Move(jobs[4], 0, Event.ABORT, time.time(), "no key")
    assert catalog.jobs.desk.apply([never]) == [never]
    catalog.jobs.cancel(["1.6"])
    found = catalog.jobs.tally.totals(["1"])
    assert found.states == {
        JobState.SUBMITTED: 1,
        JobState.DONE: 3,
        JobState.ABORTED: 2,
        JobState.CANCELLED: 1,
    }
    assert list(found.failures.items()) == [("exit", 2), ("lost", 1), ("not-started", 1)]
    assert (found.left, found.ended) == (1, 4)
    part = catalog.jobs.tally.totals(["1.1-1.2"])
    assert (part.states, part.failures) == ({JobState.DONE: 2}, {"exit": 1})


def test_a_job_that_is_tried_again_has_not_failed(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    lost = AttemptEnd(Cause.LOST, message="host gone")
    catalog.jobs.desk.apply(
        [
            Move(job, 0, Event.ASSIGN, 1.0, "to w1", "w1"),
            Move(job, 1, Event.RETRY, 2.0, "host gone", "w1", not_before_s=9.0, end=lost),
        ]
    )
    found = catalog.jobs.tally.totals(["1"])
    assert (found.states, found.failures, found.ended) == ({JobState.WAITING: 1}, {}, 0)
    assert catalog.jobs.job(job).not_before_s == 9.0
    assert catalog.jobs.tally.attempts_by_cause()[Cause.LOST] == 1


def test_nothing_is_told_of_speed_when_nothing_ended(catalog: Catalog) -> None:
    submit(catalog, 2)
    catalog.jobs.cancel(["1.1"])
    found = catalog.jobs.tally.totals(["1"])
    assert (found.ended, found.span_s, found.per_minute, found.left_s) == (0, 600.0, None, None)


def test_speed_counts_from_when_the_jobs_came(catalog: Catalog) -> None:
    jobs = submit(catalog, 20, age_s=120)
    for job in jobs[:10]:
        end(catalog, job)
    found = catalog.jobs.tally.totals(["1"])
    assert found.ended == 10
    assert found.span_s == pytest.approx(120, abs=5)
    assert found.per_minute == pytest.approx(5, rel=0.05)
    assert found.left_s == pytest.approx(120, abs=5)


def test_speed_of_slow_jobs_is_told_from_a_longer_time(catalog: Catalog) -> None:
    jobs = submit(catalog, 12, age_s=86400)
    for number, job in enumerate(jobs[:6]):
        end(catalog, job, ago_s=300 + 500.0 * number)
    found = catalog.jobs.tally.totals(["1"])
    assert (found.ended, found.span_s, found.left_s) == (6, 3600.0, 3600.0)
    end(catalog, jobs[6], ago_s=10 * 3600)  # too long ago to matter
    assert catalog.jobs.tally.totals(["1"]).ended == 6


def test_speed_when_all_have_ended() -> None:
    found = Totals({JobState.DONE: 4}, {}, 4, 60.0)
    assert (found.left, found.per_minute, found.left_s) == (0, 4.0, None)


def test_newest_failures(catalog: Catalog) -> None:
    jobs = submit(catalog, 5)
    end(catalog, jobs[0], Cause.EXIT, ago_s=30)
    end(catalog, jobs[1], Cause.OK, ago_s=20)
    end(catalog, jobs[2], Cause.LOST, ago_s=10)
    end(catalog, jobs[3], Cause.MEMORY, ago_s=40)
    found = catalog.jobs.tally.failures(["1"], 2)
    assert [(str(one.id), one.state, one.cause, one.worker) for one in found] == [
        ("1.3", JobState.ABORTED, "lost", "w1"),
        ("1.1", JobState.DONE, "exit", "w1"),
    ]


def test_counts_of_the_whole_grid(catalog: Catalog) -> None:
    jobs = submit(catalog, 3)
    end(catalog, jobs[0], Cause.EXIT)
    catalog.jobs.desk.apply([Move(jobs[1], 0, Event.ASSIGN, 1.0, "to w2", "w2")])
    states = catalog.jobs.tally.by_state()
    assert set(states) == set(JobState)
    assert {state: count for state, count in states.items() if count} == {
        JobState.SUBMITTED: 1,
        JobState.READY: 1,
        JobState.DONE: 1,
    }
    causes = catalog.jobs.tally.attempts_by_cause()
    assert set(causes) == set(Cause)
    assert {cause: count for cause, count in causes.items() if count} == {Cause.EXIT: 1}
    assert catalog.jobs.tally.on_workers() == {("w2", DIGEST): 1}


def test_unknown_jobs_are_not_found(catalog: Catalog) -> None:
    for count in (catalog.jobs.tally.totals, lambda words: catalog.jobs.tally.failures(words, 1)):
        with pytest.raises(NotFound) as caught:
            count(["7"])
        assert caught.value.message == "there is no submission 7"


@pytest.fixture
def view(catalog_url: str, catalog: Catalog) -> Iterator[Callable[[str], Catalog]]:
    """Opens the catalog as somebody: their role where there are roles, else for a viewer."""
    opened: list[Catalog] = []
    is_server = catalog_url.startswith("postgresql")
    if is_server:
        apply(catalog_url, [DatabaseUser("ann"), DatabaseUser("bob")])

    def open_as(name: str) -> Catalog:
        url = catalog_url.replace("medgrid@", f"{name}@") if is_server else catalog_url
        opened.append(Catalog.open(url, None if is_server else name))
        assert opened[-1].viewer == name
        return opened[-1]

    yield open_as
    for one in opened:
        one.close()


def test_others_jobs_are_not_counted(catalog: Catalog, view: Callable[[str], Catalog]) -> None:
    jobs = submit(catalog, 3, "ann")
    submit(catalog, 1, "bob")
    end(catalog, jobs[0], Cause.EXIT)
    catalog.jobs.desk.apply([Move(jobs[1], 0, Event.ASSIGN, 1.0, "to w2", "w2")])
    ann, bob = view("ann").jobs, view("bob").jobs
    assert sum(ann.tally.totals_of("ann").states.values()) == 3
    assert [event.state for event in ann.history(jobs[1])] == [JobState.SUBMITTED, JobState.READY]
    assert ann.tally.on_workers() == {("w2", DIGEST): 1}

    assert bob.history(jobs[1]) == []
    assert bob.tally.totals_of("bob").states == {JobState.SUBMITTED: 1}
    assert bob.tally.totals_of("ann").states == {}
    assert bob.tally.on_workers() == {}
    assert sum(bob.tally.by_state().values()) == 1
    assert sum(bob.tally.attempts_by_cause().values()) == 0
    for count in (bob.tally.totals, lambda words: bob.tally.failures(words, 1)):
        with pytest.raises(NotFound) as caught:
            count(["1"])
        assert caught.value.message == "there is no submission 1"
