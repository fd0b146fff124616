"""What the broker believes of one worker: what fits there, and whether it is on trial."""

from __future__ import annotations

import time

import pytest

from medgrid.broker.matching import Candidate
from medgrid.broker.messages import Inbox
from medgrid.broker.shares import Shares
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import Cause, JobId, Priority, Sha256, SiteClass, Worker

ALGORITHM = Sha256("a" * 64)
JOB = JobId(1, 1)


@pytest.fixture
def station() -> Station:
    """A worker of four slots that answers."""
    worker = Worker("w1", "ssh://h1", "there", slots=4)
    found = Station(Candidate(worker, SiteClass.COMPUTE), Shares({}, 0.0), inbox=Inbox())
    found.tried = True
    return found


def live(job: JobId = JOB) -> LiveAttempt:
    return LiveAttempt(job, 1, 1, ALGORITHM, 0, 0, "ann", Priority.NORMAL, time.time())


def later(monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + by_s)


def test_a_worker_that_cannot_make_an_environment_is_spared_it_for_ten_minutes(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    station.failed(AttemptEnd(Cause.ENVIRONMENT, message="no python"), JOB, ALGORITHM)
    station.refresh()
    assert station.candidate.unfit == {ALGORITHM: "no python"}
    assert station.candidate.trouble is None, "other algorithms run there"
    later(monkeypatch, 590)
    station.refresh()
    assert station.candidate.unfit == {ALGORITHM: "no python"}
    later(monkeypatch, 20)
    station.refresh()
    assert station.candidate.unfit == {}


def test_one_job_is_on_trial_until_it_has_run_for_a_while(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    station.breaker.health = WorkerHealth(3, 1, now_s - 60, now_s - 1, "lost: gone")
    station.refresh()
    candidate = station.candidate
    assert (candidate.trouble, candidate.on_trial, candidate.has_trial) == (None, True, False)
    station.place("1.1.1", live())
    station.refresh()
    assert (candidate.on_trial, candidate.has_trial, candidate.has_room(1)) == (True, True, False)
    station.runs("1.1.1")
    later(monkeypatch, 29)
    station.refresh()
    assert not candidate.has_room(1)
    later(monkeypatch, 2)
    station.refresh()
    assert (candidate.on_trial, candidate.has_trial, candidate.has_room(1)) == (False, False, True)
    assert station.breaker.health == WorkerHealth()


def test_a_trial_that_is_dropped_lets_another_one_in(station: Station) -> None:
    now_s = time.time()
    station.breaker.health = WorkerHealth(3, 1, now_s - 60, now_s - 1, "lost: gone")
    station.refresh()
    station.place("1.1.1", live())
    station.drop("1.1.1")
    assert (station.candidate.used_slots, station.breaker.trial) == (0, None)
    station.refresh()
    assert station.candidate.has_room(1)


def test_what_does_not_answer_says_so(station: Station) -> None:
    station.inbox, station.trouble_text = None, "timed out"
    station.refresh()
    assert station.candidate.trouble == "it does not answer: timed out"
    station.tried = False
    station.refresh()
    assert station.candidate.trouble == "it is being reached"
