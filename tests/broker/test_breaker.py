"""When a worker is out, and how it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.broker.backoff import pause
from medgrid.broker.breaker import Breaker
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import JobId

JOBS = [JobId(1, number) for number in range(1, 10)]


def out() -> Breaker:
    breaker = Breaker(WorkerHealth())
    for job in JOBS[:3]:
        breaker.failed(job, "lost: gone", 1000.0)
    return breaker


@given(st.floats(0.1, 100), st.floats(100, 10_000), st.integers(0, 5000))
def test_pauses_grow_within_bounds(first_s: float, longest_s: float, tries: int) -> None:
    found = pause(first_s, longest_s, tries)
    assert first_s / 2 <= found <= longest_s
    whole_s = min(longest_s, first_s * 2.0 ** min(40, max(0, tries - 1)))
    assert whole_s / 2 <= found <= whole_s


def test_pauses_differ() -> None:
    assert len({pause(1.0, 60.0, 3) for _ in range(20)}) > 10


def test_three_jobs_that_fail_in_a_row_put_a_worker_out() -> None:
    breaker = Breaker(WorkerHealth())
    for job in JOBS[:2]:
        breaker.failed(job, "lost: gone", 1000.0)
        assert not breaker.health.is_out(1000.0)
    breaker.failed(JOBS[2], "lost: gone for good", 1000.0)
    health = breaker.health
    assert (health.failures, health.outages, health.since_s) == (3, 1, 1000.0)
    assert health.reason == "lost: gone for good"
    assert 1030 <= health.until_s <= 1060


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = Breaker(WorkerHealth())
    for job in JOBS[:8:2]:
        breaker.failed(job, "lost: gone", 1000.0)
        breaker.succeeded("1.9.1")
    assert breaker.health == WorkerHealth()


def test_one_job_that_fails_alone_says_nothing_of_the_worker() -> None:
    breaker = Breaker(WorkerHealth())
    for _ in range(9):
        breaker.failed(JOBS[0], "lost: gone", 1000.0)
    assert breaker.health.failures == 1
    assert not breaker.health.is_out(1000.0)


def test_a_full_disk_puts_a_worker_out_at_once() -> None:
    breaker = Breaker(WorkerHealth())
    breaker.failed(JOBS[0], "no-space: full", 1000.0, at_once=True)
    assert breaker.health.is_out(1000.0)


def test_what_fails_or_ends_while_it_is_out_changes_nothing() -> None:
    breaker = out()
    before = breaker.health
    breaker.failed(JOBS[5], "lost: gone", 1001.0)
    breaker.succeeded("1.6.1")
    assert breaker.health == before


def test_a_trial_that_goes_well_ends_it() -> None:
    breaker = out()
    breaker.trial = "1.7.1"
    breaker.succeeded("1.6.1")
    assert breaker.health.outages == 1
    breaker.succeeded("1.7.1")
    assert breaker.health == WorkerHealth()
    assert not breaker.trial


def test_each_trial_that_fails_makes_it_longer_up_to_an_hour() -> None:
    breaker = out()
    spans = []
    for job in JOBS:
        health = breaker.health
        spans.append(health.until_s - health.since_s)
        assert health.is_on_trial(health.until_s)
        breaker.failed(job, "lost: gone", health.until_s)
    assert breaker.health.outages == 10
    for number, span_s in enumerate(spans):
        whole_s = min(3600, 60 * 2**number)
        assert span_s == pytest.approx(0.75 * whole_s, rel=0.34)
