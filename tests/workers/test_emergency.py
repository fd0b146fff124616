"""Emergency jobs on a full worker: others stand still or are killed for them, and go on after."""

from __future__ import annotations

import pytest

from medgrid.model import Cause, Priority
from medgrid.workers.base import JournalRecord, Launch, Limits, WorkerLink
from tests.lab.waiting import wait_for
from tests.workers.places import Place, all_records, follow_until, script, unique_number

MIB = 1 << 20


def emergency(place: Place, number: int, text: str, memory_bytes: int | None = None) -> Launch:
    limits = Limits(memory_bytes=memory_bytes)
    return script(place.attempt(number), text, rank=Priority.EMERGENCY.rank, limits=limits)


def fill(
    place: Place,
    link: WorkerLink,
    text: str = "exec sleep 300",
    ranks: tuple[Priority, ...] = (Priority.NORMAL, Priority.NORMAL),
    limits: Limits | None = None,
) -> list[str]:
    """Start one job after the other until the worker has no free slot."""
    attempts = []
    for number, rank in enumerate(ranks, 1):
        launch = script(place.attempt(number), text, rank=rank.rank, limits=limits or Limits())
        link.launch([launch])
        follow_until(link, [launch.attempt], "started")
        attempts.append(launch.attempt)
    return attempts


def events(link: WorkerLink, *attempts: str) -> list[tuple[str, str]]:
    """What happened to attempts, without their beginning."""
    return [
        (record.attempt, record.event)
        for record in all_records(link)
        if record.attempt in attempts and record.event != "accepted"
    ]


def states(place: Place, attempt: str) -> set[str]:
    """States of the processes below the keeper of an attempt, as ps tells them."""
    below, new = [], [place.keeper(attempt)]
    while new:
        text = " ".join(map(str, new))
        new = [int(one) for one in place.shell(f"pgrep -P '{text}' || true").split()]
        below += new
    told = place.shell(f"ps -o stat= -p {','.join(map(str, below))}").split()
    return {one[0] for one in told}


def until(place: Place, attempt: str, *wanted: str) -> None:
    """Wait until all processes of an attempt are in one of these states."""
    wait_for(
        lambda: states(place, attempt) <= set(wanted),
        lambda: f"{wanted}: {states(place, attempt)}",
    )


def cancelled(link: WorkerLink, *attempts: str) -> dict[str, JournalRecord]:
    link.cancel(attempts)
    return follow_until(link, attempts)


def test_an_emergency_takes_the_slot_of_the_last_started_for_its_time(place: Place) -> None:
    link = place.open()
    first, last = fill(place, link, "sleep 300 & sleep 300 & wait")
    waits = script(place.attempt(5), "true")
    link.launch([waits])
    urgent = emergency(place, 9, place.held)
    link.launch([urgent])
    follow_until(link, [urgent.attempt], "started")
    until(place, last, "T")
    until(place, first, "S")
    place.let_go()
    assert follow_until(link, [urgent.attempt])[urgent.attempt].cause is Cause.OK
    follow_until(link, [last], "resumed")
    until(place, last, "S")
    assert events(link, last, urgent.attempt, waits.attempt) == [
        (last, "started"),
        (last, "suspended"),
        (urgent.attempt, "started"),
        (urgent.attempt, "done"),
        (last, "resumed"),
    ]
    cancelled(link, first)
    assert follow_until(link, [waits.attempt])[waits.attempt].cause is Cause.OK
    cancelled(link, last)


def test_the_lowest_class_makes_room_first(place: Place) -> None:
    link = place.open()
    batch, normal = fill(place, link, ranks=(Priority.BATCH, Priority.NORMAL))
    one, two, three = (emergency(place, number, "exec sleep 300") for number in (7, 8, 9))
    link.launch([one])
    follow_until(link, [one.attempt], "started")
    assert events(link, batch, normal)[-1] == (batch, "suspended")
    link.launch([two, three])
    follow_until(link, [two.attempt], "started")
    assert events(link, batch, normal)[-1] == (normal, "suspended")
    assert events(link, three.attempt) == []  # emergencies wait for each other
    cancelled(link, two.attempt)
    follow_until(link, [three.attempt], "started")
    assert (normal, "resumed") not in events(link, normal)
    cancelled(link, one.attempt, three.attempt)
    follow_until(link, [batch, normal], "resumed")
    cancelled(link, batch, normal)


def test_time_stands_still_for_what_is_suspended(place: Place) -> None:
    link = place.open()
    limits = Limits(walltime_s=8)
    _, last = fill(place, link, place.held, limits=limits)
    urgent = emergency(place, 9, "exec sleep 9")
    link.launch([urgent])
    follow_until(link, [last], "suspended")
    follow_until(link, [last], "resumed")
    place.let_go()
    done = follow_until(link, [last, urgent.attempt])
    assert {record.cause for record in done.values()} == {Cause.OK}


def test_what_does_not_fit_into_memory_beside_it_is_killed(place: Place) -> None:
    link = place.open()
    half = link.info.memory_bytes // 2
    first, last = fill(place, link, limits=Limits(memory_bytes=half - 8 * MIB))
    urgent = emergency(place, 9, "exec sleep 300", memory_bytes=64 * MIB)
    link.launch([urgent])
    follow_until(link, [urgent.attempt], "started")
    (record,) = [one for one in all_records(link) if one.event == "done"]
    assert (record.attempt, record.cause) == (last, Cause.PREEMPTED)
    assert record.message == "killed for an emergency job"
    assert events(link, first) == [(first, "started")]
    cancelled(link, first, urgent.attempt)


def test_what_is_suspended_can_be_cancelled(place: Place) -> None:
    link = place.open()
    first, last = fill(place, link, "trap 'echo told; exit' TERM; while :; do sleep 0.1; done")
    urgent = emergency(place, 9, "exec sleep 300")
    link.launch([urgent])
    follow_until(link, [last], "suspended")
    done = cancelled(link, last)[last]
    assert (done.cause, done.stdout_tail) == (Cause.CANCELLED, "told\n")
    cancelled(link, urgent.attempt)
    assert (first, "suspended") not in events(link, first)
    cancelled(link, first)


def test_an_emergency_that_is_cancelled_before_it_starts_keeps_nobody(place: Place) -> None:
    link = place.open()
    attempts = fill(place, link)
    urgent = emergency(place, 9, "exec sleep 300")
    link.launch([urgent])
    link.cancel([urgent.attempt])
    follow_until(link, [urgent.attempt])

    def all_go_on() -> bool:
        told = [event for _, event in events(link, *attempts)]
        return told.count("suspended") == told.count("resumed")

    wait_for(all_go_on, "what was suspended to go on")
    until(place, attempts[0], "S")
    until(place, attempts[1], "S")
    cancelled(link, *attempts)


def test_a_suspended_job_goes_on_when_its_agent_is_killed(place: Place) -> None:
    link = place.open()
    first, last = fill(place, link)
    urgent = emergency(place, 9, "exec sleep 300")
    link.launch([urgent])
    follow_until(link, [last], "suspended")
    place.kill_agent()
    until(place, last, "S")
    again = place.open()
    assert again.info.attempts[last] in ("resumed", "started")
    follow_until(again, [last], "resumed")
    cancelled(again, first, last, urgent.attempt)


def test_keepers_of_an_earlier_agent_make_room_too(place: Place) -> None:
    link = place.open()
    first, last = fill(place, link)
    place.kill_agent()
    again = place.open()
    urgent = emergency(place, 9, place.held)
    again.launch([urgent])
    follow_until(again, [urgent.attempt], "started")
    until(place, last, "T")
    until(place, first, "S")
    place.let_go()
    follow_until(again, [last], "resumed")
    until(place, last, "S")
    place.kill_agent()  # and a third one finds them as they are
    third = place.open()
    until(place, last, "S")
    cancelled(third, first, last)


def test_keepers_of_an_earlier_agent_are_ended_where_memory_is_short(local_place: Place) -> None:
    link = local_place.open()
    half = link.info.memory_bytes // 2
    first, last = fill(local_place, link, limits=Limits(memory_bytes=half - 8 * MIB))
    local_place.kill_agent()
    again = local_place.open()
    urgent = emergency(local_place, 9, "exec sleep 300", memory_bytes=64 * MIB)
    again.launch([urgent])
    done = follow_until(again, [last])[last]
    assert (done.cause, done.message) == (Cause.PREEMPTED, "killed for an emergency job")
    cancelled(again, first, urgent.attempt)


def test_the_keeper_of_a_suspended_job_may_be_killed(local_place: Place) -> None:
    link = local_place.open()
    marked = unique_number()
    first, last = fill(local_place, link, f"exec sleep {marked}")
    urgent = emergency(local_place, 9, "exec sleep 300")
    link.launch([urgent])
    follow_until(link, [last], "suspended")
    local_place.shell(f"kill -9 {local_place.keeper(last)}")
    done = follow_until(link, [last])[last]
    assert (done.cause, done.message) == (
        Cause.LOST,
        "the process that kept the job was killed",
    )
    assert len(local_place.processes(f"sleep {marked}")) == 1
    cancelled(link, first, urgent.attempt)


def test_a_rank_below_the_highest_is_refused(local_place: Place) -> None:
    with pytest.raises(Exception, match=r"attempt 1\.1\.1 has no priority class"):
        local_place.open().launch([script(local_place.attempt(), "true", rank=-1)])
