"""Submissions and jobs, on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
import time

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.job_moves import AttemptEnd, Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.jobs import NewSubmission
from medgrid.errors import NotFound, UsageError
from medgrid.model import Cause, JobId, JobState, ObjectId, Priority, Sha256
from tests.lab.waiting import linger

DIGEST = Sha256("d" * 64)


def submit(catalog: Catalog, count: int, priority: Priority = Priority.NORMAL) -> list[JobId]:
    _, jobs = catalog.jobs.create_submission(
        NewSubmission(
            algorithm=DIGEST,
            algorithm_label="n4@1",
            owner="ann",
            items=[[ObjectId(f"{number:032x}")] for number in range(count)],
            item_role="image",
            inputs={"mask": [ObjectId("f" * 32)]},
            parameters={"bins": 64},
            priority=priority,
            name="trial",
        )
    )
    return jobs


def assign(catalog: Catalog, job: JobId, worker: str = "w1", attempt: int = 0) -> None:
    move = Move(job, attempt, Event.ASSIGN, 10.0, f"to {worker}", worker)
    assert catalog.jobs.desk.apply([move]) == [move]


def test_a_new_submission_has_one_job_for_each_item(catalog: Catalog) -> None:
    jobs = submit(catalog, 3)
    assert [str(job) for job in jobs] == ["1.1", "1.2", "1.3"]
    found = catalog.jobs.jobs(["1.2"])[0]
    assert found.id == JobId(1, 2)
    assert found.algorithm == DIGEST
    assert found.algorithm_label == "n4@1"
    assert found.owner == "ann"
    assert found.state is JobState.SUBMITTED
    assert found.attempt == 0
    assert found.worker is None
    assert found.priority is Priority.NORMAL
    assert found.inputs == {"mask": ("f" * 32,), "image": (f"{1:032x}",)}
    assert found.parameters == {"bins": 64}
    assert found.outputs == ()
    assert [event.state for event in catalog.jobs.history(found.id)] == [JobState.SUBMITTED]


def test_submissions_are_numbered_on(catalog: Catalog) -> None:
    submit(catalog, 1)
    assert [str(job) for job in submit(catalog, 1)] == ["2.1"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["1"], ["1.1", "1.2", "1.3", "1.4", "1.5"]),
        (["1.4"], ["1.4"]),
        (["1.2-1.4"], ["1.2", "1.3", "1.4"]),
        (["1.2-4"], ["1.2", "1.3", "1.4"]),
        (["1.1", "1.2", "1.1"], ["1.1", "1.2"]),
        (["1.2-3", "1.3-4"], ["1.2", "1.3", "1.4"]),
        (["2", "1.5"], ["1.5", "2.1"]),
    ],
)
def test_words_that_name_jobs(catalog: Catalog, words: list[str], expected: list[str]) -> None:
    submit(catalog, 5)
    submit(catalog, 1)
    assert sorted(str(line.id) for line in catalog.jobs.lines(words)) == sorted(expected)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seven", "'seven' is not a job id"),
        ("0", "'0' is not a job id"),
        ("1.", "'1.' is not a job id"),
        ("1.2-2.3", "'1.2-2.3' is not a job id"),
        ("1.3-1.2", "'1.3-1.2' ends before it begins"),
    ],
)
def test_words_that_name_none(catalog: Catalog, word: str, message: str) -> None:
    submit(catalog, 5)
    with pytest.raises(UsageError) as caught:
        list(catalog.jobs.lines([word]))
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("7", "there is no submission 7"),
        ("7.1", "there is no submission 7"),
        ("1.6", "there is no job 1.6: submission 1 has jobs 1 to 5"),
        ("1.2-9", "there is no job 1.9: submission 1 has jobs 1 to 5"),
    ],
)
def test_unknown_jobs_are_not_found(catalog: Catalog, word: str, message: str) -> None:
    submit(catalog, 5)
    for look in (catalog.jobs.jobs, catalog.jobs.counts, catalog.jobs.cancel):
        with pytest.raises(NotFound) as caught:
            look([word])
        assert caught.value.message == message


def test_counts_by_state(catalog: Catalog) -> None:
    jobs = submit(catalog, 4)
    assign(catalog, jobs[0])
    catalog.jobs.cancel(["1.2"])
    assert catalog.jobs.counts(["1"]) == {
        JobState.SUBMITTED: 2,
        JobState.READY: 1,
        JobState.CANCELLED: 1,
    }
    assert [str(line.id) for line in catalog.jobs.lines(["1"], [JobState.READY])] == ["1.1"]


def test_recent_submissions_are_the_owners(catalog: Catalog) -> None:
    submit(catalog, 1)
    assert catalog.jobs.recent("ann") == ["1"]
    assert catalog.jobs.recent("bob") == []


def test_a_whole_life_leaves_its_history(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    desk = catalog.jobs.desk
    assign(catalog, job)
    end = AttemptEnd(Cause.OK, 0, "", "out", "err", 12.0, 13.0, 2**20, 0.5)
    desk.apply(
        [
            Move(job, 1, Event.GIVE, 11.0, "on w1", "w1"),
            Move(job, 1, Event.START, 12.0, "on w1", "w1"),
            Move(job, 1, Event.END, 13.0, "done", "w1", end=end),
        ]
    )
    found = catalog.jobs.job(job)
    assert (found.state, found.cause, found.exit_code) == (JobState.DONE, Cause.OK, 0)
    assert (found.started_s, found.ended_s) == (12.0, 13.0)
    assert (found.stdout_tail, found.stderr_tail) == ("out", "err")
    assert found.succeeded
    assert [(event.state, event.attempt) for event in catalog.jobs.history(job)] == [
        (JobState.SUBMITTED, 0),
        (JobState.READY, 1),
        (JobState.SCHEDULED, 1),
        (JobState.RUNNING, 1),
        (JobState.DONE, 1),
    ]
    (attempt,) = catalog.jobs.attempts(job)
    assert (attempt.worker, attempt.cause, attempt.ended_s) == ("w1", Cause.OK, 13.0)


def test_an_old_attempt_changes_nothing(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    desk = catalog.jobs.desk
    assign(catalog, job)
    lost = AttemptEnd(Cause.LOST, message="host gone")
    desk.apply([Move(job, 1, Event.RETRY, 11.0, "host gone", "w1", end=lost)])
    assign(catalog, job, "w2", attempt=1)
    late = Move(job, 1, Event.END, 12.0, "done", "w1", end=AttemptEnd(Cause.OK, 0))
    assert desk.apply([late]) == []
    found = catalog.jobs.job(job)
    assert (found.state, found.attempt, found.worker) == (JobState.READY, 2, "w2")
    first, second = catalog.jobs.attempts(job)
    assert (first.worker, first.cause) == ("w1", Cause.LOST)
    assert (second.worker, second.cause) == ("w2", None)


def test_a_resubmitted_job_is_as_new_and_its_old_attempts_change_nothing(catalog: Catalog) -> None:
    good, bad, waiting = submit(catalog, 3)
    desk = catalog.jobs.desk
    for job in (good, bad):
        assign(catalog, job)
    retry = AttemptEnd(Cause.LOST, message="host gone")
    desk.apply(
        [
            Move(good, 1, Event.END, 11.0, "done", "w1", end=AttemptEnd(Cause.OK, 0)),
            Move(bad, 1, Event.RETRY, 11.0, "host gone", "w1", end=retry),
        ]
    )
    assign(catalog, bad, "w2", attempt=1)
    catalog.jobs.cancel([str(bad)])
    ended = Move(bad, 2, Event.END, 12.0, "exit code 1", "w2", end=AttemptEnd(Cause.EXIT, 1))
    assert desk.apply([ended]) == [ended]
    assert catalog.jobs.resubmit([good, bad, waiting]) == {bad}
    assert catalog.jobs.resubmit([bad]) == set()
    assert desk.apply([ended]) == []
    for event in (Event.END, Event.ABORT, Event.CANCEL, Event.RETRY, Event.START):
        assert desk.apply([Move(bad, 2, event, 13.0, "late", "w2", end=ended.end)]) == []
    found = catalog.jobs.job(bad)
    assert (found.state, found.reason) == (JobState.SUBMITTED, "resubmitted by its owner")
    assert (found.cause, found.exit_code, found.worker, found.ended_s) == (None,) * 4
    _, new = desk.next_waiting(1, 10, 20.0)[::-1]
    assert (new.id, new.attempt, new.tries, new.strikes) == (bad, 2, 0, 0)
    assert new.failed_on == frozenset()
    assign(catalog, bad, "w1", attempt=2)
    assert catalog.jobs.job(bad).attempt == 3
    assert desk.to_cancel() == []
    assert [attempt.number for attempt in catalog.jobs.attempts(bad)] == [1, 2, 3]


def test_failures_count_against_a_job_or_not(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    desk = catalog.jobs.desk
    lost = AttemptEnd(Cause.LOST)
    for attempt, strike in enumerate((True, False, False)):
        assign(catalog, job, f"w{attempt}", attempt)
        retry = Move(
            job, attempt + 1, Event.RETRY, 11.0, "lost", f"w{attempt}", strike=strike, end=lost
        )
        assert desk.apply([retry]) == [retry]
    (found,) = desk.next_waiting(1, 10, 20.0)
    assert (found.tries, found.strikes) == (3, 1)
    assert found.failed_on == {"w0", "w1", "w2"}
    assign(catalog, job, "w3", 3)
    (live,) = desk.live()
    assert (live.tries, live.strikes, live.assigned_s) == (4, 1, 10.0)


def test_nobody_resubmits_while_ended_jobs_are_held(catalog: Catalog) -> None:
    jobs = submit(catalog, 2)
    catalog.jobs.cancel(["1.1"])
    order: list[str] = []

    def resubmit() -> None:
        catalog.jobs.resubmit(jobs)
        order.append("resubmitted")

    thread = threading.Thread(target=resubmit)
    with catalog.jobs.desk.holding_ended(1, [1, 2]) as ended:
        assert ended == [1]
        thread.start()
        linger(0.2, "what does not wait for the jobs that are held resubmits them now")
        order.append("dropped")
    thread.join()
    assert order == ["dropped", "resubmitted"]
    assert catalog.jobs.counts(["1"]) == {JobState.SUBMITTED: 2}


def test_another_worker_cannot_speak_for_an_attempt(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    assign(catalog, job)
    other = Move(job, 1, Event.END, 12.0, "done", "w2", end=AttemptEnd(Cause.OK, 0))
    assert catalog.jobs.desk.apply([other]) == []
    assert catalog.jobs.job(job).state is JobState.READY


def test_a_result_is_recorded_once(catalog: Catalog) -> None:
    (job,) = submit(catalog, 1)
    assign(catalog, job)
    end = Move(job, 1, Event.END, 12.0, "done", "w1", end=AttemptEnd(Cause.OK, 0))
    again = Move(job, 1, Event.END, 13.0, "exit 1", "w1", end=AttemptEnd(Cause.EXIT, 1))
    assert catalog.jobs.desk.apply([end, again]) == [end]
    assert catalog.jobs.desk.apply([again]) == []
    assert catalog.jobs.job(job).exit_code == 0
    assert len(catalog.jobs.history(job)) == 3


@pytest.mark.parametrize("event", [Event.END, Event.RETRY, Event.ABORT, Event.CANCEL])
def test_an_attempt_does_not_end_without_saying_how(catalog: Catalog, event: Event) -> None:
    (job,) = submit(catalog, 1)
    assign(catalog, job)
    with pytest.raises(ValueError, match=r"^1\.1: nothing says how attempt 1 ended$"):
        catalog.jobs.desk.apply([Move(job, 1, event, 12.0, "over", "w1")])
    assert catalog.jobs.job(job).state is JobState.READY
    assert [one.ended_s for one in catalog.jobs.attempts(job)] == [None]
    assert len(catalog.jobs.history(job)) == 2


def test_two_brokers_that_assign_one_job_at_once(catalog: Catalog) -> None:
    jobs = submit(catalog, 40)
    won: dict[str, int] = {}

    def broker(worker: str) -> None:
        moves = [Move(job, 0, Event.ASSIGN, 10.0, worker, worker) for job in jobs]
        taken = []
        for start in range(0, 40, 5):
            taken += catalog.jobs.desk.apply(moves[start : start + 5])
        won[worker] = len(taken)

    threads = [threading.Thread(target=broker, args=(name,)) for name in ("w1", "w2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won.values()) == 40
    assert all(line.attempt == 1 for line in catalog.jobs.lines(["1"]))


def test_cancel_says_what_became_of_each(catalog: Catalog) -> None:
    jobs = submit(catalog, 3)
    assign(catalog, jobs[1])
    assign(catalog, jobs[2])
    end = Move(jobs[2], 1, Event.END, 12.0, "done", "w1", end=AttemptEnd(Cause.OK, 0))
    catalog.jobs.desk.apply([end])
    assert catalog.jobs.cancel(["1"]) == {
        jobs[0]: (JobState.SUBMITTED, JobState.CANCELLED),
        jobs[1]: (JobState.READY, JobState.READY),
        jobs[2]: (JobState.DONE, JobState.DONE),
    }
    assert [job.id for job in catalog.jobs.desk.to_cancel()] == [jobs[1]]
    assert catalog.jobs.job(jobs[0]).reason == "cancelled by its owner"


def test_cancel_of_an_unknown_job_cancels_none(catalog: Catalog) -> None:
    submit(catalog, 1)
    with pytest.raises(NotFound):
        catalog.jobs.cancel(["1.1", "9"])
    assert catalog.jobs.counts(["1"]) == {JobState.SUBMITTED: 1}


def test_submissions_with_waiting_jobs_come_by_age(catalog: Catalog) -> None:
    assert catalog.jobs.desk.waiting() == []
    for count in (2, 1, 1, 3):
        submit(catalog, count, Priority.BATCH)
    catalog.jobs.desk.let_wait(4, "no worker")
    assign(catalog, JobId(2, 1))
    catalog.jobs.cancel(["3"])
    assert catalog.jobs.desk.waiting() == [1, 4]
    assert catalog.jobs.desk.head(4).priority is Priority.BATCH


def test_jobs_that_wait_say_why_once(catalog: Catalog) -> None:
    jobs = submit(catalog, 2)
    desk = catalog.jobs.desk
    desk.let_wait(1, "the grid has no worker")
    desk.let_wait(1, "the grid has no worker")
    desk.let_wait(1, "all workers that fit are busy")
    line = next(catalog.jobs.lines(["1.1"]))
    assert (line.state, line.reason) == (JobState.WAITING, "all workers that fit are busy")
    assert [event.state for event in catalog.jobs.history(jobs[0])] == [
        JobState.SUBMITTED,
        JobState.WAITING,
    ]


def test_a_job_that_is_kept_back_is_not_offered(catalog: Catalog) -> None:
    jobs = submit(catalog, 2)
    assign(catalog, jobs[0])
    now = time.time()
    lost = AttemptEnd(Cause.LOST, message="gone")
    move = Move(jobs[0], 1, Event.RETRY, now, "gone", "w1", not_before_s=now + 60, end=lost)
    catalog.jobs.desk.apply([move])
    desk = catalog.jobs.desk
    assert [job.id for job in desk.next_waiting(1, 10, now)] == [jobs[1]]
    again = desk.next_waiting(1, 10, now + 61)[0]
    assert (again.id, again.attempt, again.failed_on) == (jobs[0], 1, frozenset({"w1"}))
    assert desk.next_time(now) == pytest.approx(now + 60)
    assert desk.next_time(now + 61) is None


def test_a_clock_that_was_set_back_keeps_no_job_back(catalog: Catalog) -> None:
    (job_id,) = submit(catalog, 1)
    assign(catalog, job_id)
    now = time.time()
    lost = AttemptEnd(Cause.LOST, message="gone")
    later = now + 3600
    move = Move(job_id, 1, Event.RETRY, later, "gone", "w1", not_before_s=later + 60, end=lost)
    catalog.jobs.desk.apply([move])
    desk = catalog.jobs.desk
    assert [job.id for job in desk.next_waiting(1, 10, now)] == [job_id]
    assert desk.next_time(now) is None


def test_clear_takes_done_jobs_only(catalog: Catalog) -> None:
    jobs = submit(catalog, 2)
    assign(catalog, jobs[0])
    end = Move(jobs[0], 1, Event.END, 12.0, "done", "w1", end=AttemptEnd(Cause.OK, 0))
    catalog.jobs.desk.apply([end])
    assert catalog.jobs.clear(jobs) == {jobs[0]}
    assert catalog.jobs.counts(["1"]) == {JobState.SUBMITTED: 1, JobState.CLEARED: 1}


def test_ten_thousand_jobs(catalog: Catalog) -> None:
    jobs = submit(catalog, 10_000)
    assert len(set(jobs)) == 10_000
    assert [line.id for line in catalog.jobs.lines(["1"])] == jobs
