"""Fair share: users take turns, and so do their submissions; quotas are kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from medgrid.broker.shares import Claim, Shares, in_turn, take_turns
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.quotas import HALF_LIFE_S, Quota, Usage
from medgrid.model import LFN, Cause, JobState, Priority, Worker
from tests.lab.field import Field


def claim(number: int, owner: str, jobs: int = 1000, slots: int = 1) -> Claim:
    return Claim(number, owner, slots, lambda count: count < jobs)


def test_users_take_turns_whoever_came_first_and_has_more() -> None:
    claims = [claim(1, "ann"), claim(2, "ann"), claim(3, "ann"), claim(4, "bob")]
    assert take_turns(Shares({}, 0.0), claims, 8) == [1, 4, 2, 4, 3, 4, 1, 4]


def test_who_has_slots_stands_back() -> None:
    shares = Shares({}, 0.0)
    shares.take("ann", 1, 4)
    claims = [claim(1, "ann"), claim(2, "bob")]
    assert take_turns(shares, claims, 4) == [2, 2, 2, 2]
    assert [one.owner for one in in_turn(shares, claims)] == ["bob", "ann"]
    shares.give_back("ann", 1, 4)
    assert take_turns(shares, claims, 4) == [1, 2, 1, 2]


def test_what_one_does_not_want_the_others_get() -> None:
    claims = [claim(1, "ann", jobs=1), claim(2, "bob", jobs=2), claim(3, "cid")]
    assert take_turns(Shares({}, 0.0), claims, 6) == [1, 2, 3, 2, 3, 3]


def test_larger_jobs_are_fewer() -> None:
    claims = [claim(1, "ann", slots=4), claim(2, "bob")]
    assert Counter(take_turns(Shares({}, 0.0), claims, 16)) == {1: 2, 2: 8}


def test_what_was_used_lately_counts_half_and_fades() -> None:
    shares = Shares({}, 0.0)
    shares.take("ann", 1, 8)
    for minute in range(1, 601):
        shares.pass_time(60.0 * minute)
    assert shares.burden("ann") == pytest.approx(8 + 4, rel=0.02)
    shares.give_back("ann", 1, 8)
    assert take_turns(shares, [claim(1, "ann"), claim(2, "bob")], 12).count(2) == 8
    at_s = 36_000.0 + HALF_LIFE_S
    later = Shares(shares.usage(), at_s)
    assert later.burden("ann") == pytest.approx(2, rel=0.02)
    for hour in range(1, 24):
        later.pass_time(at_s + 3600.0 * hour)
    assert later.usage() == {}


def test_usage_is_remembered_from_broker_to_broker() -> None:
    half = Shares({"ann": Usage(7200.0, 0.0)}, HALF_LIFE_S)
    assert half.usage() == {"ann": Usage(3600.0, HALF_LIFE_S)}


def test_quotas_end_the_turns_of_a_user() -> None:
    shares = Shares({}, 0.0)
    shares.quotas = {"ann": Quota(slots=3), "bob": Quota(jobs=1)}
    shares.take("ann", 9, 1)
    assert Counter(take_turns(shares, [claim(1, "ann"), claim(2, "bob")], 9)) == {2: 7, 1: 2}
    assert take_turns(shares, [claim(1, "ann", slots=3)], 9) == []


# -- with a real broker --------------------------------------------------------------------------


def submit_as(
    field: Field, owner: str, name: str, lfns: Sequence[str], priority: Priority = Priority.NORMAL
) -> int:
    """Write a submission as another user's command does; its number."""
    with field.grid() as grid:
        catalog = grid.whole
        algorithm = catalog.algorithms.find(name)
        objects = catalog.objects.get_many([LFN(lfn) for lfn in lfns])
        items = [[objects[LFN(lfn)].id] for lfn in lfns]
        number, _ = catalog.jobs.create_submission(
            NewSubmission(
                algorithm.digest, str(algorithm), owner, items, "file", {}, {}, priority=priority
            )
        )
    return number


def started(field: Field) -> list[str]:
    """Inputs of the jobs, in the order in which they ran."""
    return field.runs_file.read_text().split()


def test_two_users_share_the_grid_while_both_want_it(field: Field) -> None:
    field.algorithm("short", 'ran "$1"; sleep 0.05\n')
    lfns = field.put(*(f"{user}{number:02}" for user in "ab" for number in range(1, 21)))
    submit_as(field, "ann", "short", lfns[:20])
    submit_as(field, "bob", "short", lfns[20:])
    field.once()
    order = started(field)
    assert len(order) == 40
    assert 8 <= len([one for one in order[:20] if one[0] == "a"]) <= 12
    with field.grid() as grid:
        assert set(grid.whole.quotas.usage()) <= {"ann", "bob"}


def test_submissions_of_a_user_take_turns_and_lower_numbers_go_first(field: Field) -> None:
    field.algorithm("short", 'ran "$1"; sleep 0.05\n')
    lfns = field.put(*(f"{word}{number:02}" for word in "xy" for number in range(1, 11)))
    field.submit("short", *lfns[:10])
    field.submit("short", *lfns[10:])
    field.once()
    order = started(field)
    assert 4 <= len([one for one in order[:10] if one[0] == "x"]) <= 6
    for word in "xy":
        numbers = [int(one[1:]) for one in order if one[0] == word]
        assert all(at - 3 <= number <= at + 3 for at, number in enumerate(numbers, 1))


def test_higher_classes_go_before_turns_are_taken(field: Field) -> None:
    field.algorithm("short", 'ran "$1"; sleep 0.05\n')
    lfns = field.put(*(f"{user}{number}" for user in "abc" for number in range(1, 7)))
    submit_as(field, "ann", "short", lfns[:6], Priority.BATCH)
    submit_as(field, "bob", "short", lfns[6:12])
    submit_as(field, "cid", "short", lfns[12:], Priority.INTERACTIVE)
    field.once()
    order = "".join(one[0] for one in started(field))
    # the end of one class and the beginning of the next run beside each other
    assert re.fullmatch(r"c{5}[cb]{2,3}b{3,5}[ab]{2,3}a{3,5}", order), order


def test_a_retry_goes_before_what_was_not_tried(field: Field) -> None:
    field.worker(field_worker(field))
    field.without_local()
    once = f'[ "$(cat "$1")" = a ] && [ ! -e "{field.directory}/again" ] && '
    kill = f'{{ touch "{field.directory}/again"; kill -9 $PPID; }}; '
    field.algorithm("frail", f'{once}{kill}ran "$1"; sleep 0.4\n')
    lfns = field.put("a", *(f"b{number:02}" for number in range(1, 31)))
    field.submit("frail", *lfns)
    with field.prompt.start("broker", "run") as broker:
        field.wait_for(lambda jobs: jobs[0].cause is Cause.OK)
        assert any(job.attempt == 0 for job in field.jobs("1"))
        broker.terminate()


def field_worker(field: Field) -> Worker:
    return Worker("one", "local:", "there", slots=1, options={"root": str(field.directory / "one")})


def test_beyond_the_slots_of_a_quota_jobs_wait_and_say_so(field: Field) -> None:
    field.algorithm("held", f'while [ ! -e "{field.directory}/go" ]; do sleep 0.05; done\n')
    field.algorithm("short", 'ran "$1"\n')
    lfns = field.put("a", "b", "c", "d")
    with field.grid() as grid:
        me = grid.settings.user
    field.prompt.ok("quota", "set", me, "--slots", "1")
    field.submit("held", *lfns[:3])
    submit_as(field, "bob", "short", lfns[3:])
    with field.prompt.start("broker", "run") as broker:
        field.wait_for(lambda jobs: jobs[1].state is JobState.WAITING)
        reason = f"{me} has as many slots as the quota allows: 1"
        assert {job.reason for job in field.jobs("1")[1:]} == {reason}
        field.wait_for(lambda jobs: jobs[0].cause is Cause.OK, "2")
        explained = field.prompt.ok("explain", "1.3").out
        assert f"waits for\ta job of {me} to end: the quota is 1 slots at once\n" in explained
        listed = field.prompt.ok("quota", "ls").rows
        assert [row[:5] for row in listed if row[0] == me] == [[me, "1", "1", "3", ""]]
        # an emergency passes
        field.submit("short", "--priority", "emergency", lfns[3])
        field.wait_for(lambda jobs: jobs[0].cause is Cause.OK, "3")
        (field.directory / "go").touch()
        field.wait_for(lambda jobs: {job.cause for job in jobs} == {Cause.OK})
        broker.terminate()


def test_beyond_the_jobs_of_a_quota_submit_refuses(field: Field) -> None:
    field.algorithm("short", 'ran "$1"; exit 3\n')
    lfns = field.put("a", "b", "c", "d")
    with field.grid() as grid:
        me = grid.settings.user
    field.submit("short", *lfns[:2])
    field.prompt.ok("quota", "set", me, "--jobs", "3")
    refused = field.prompt("submit", "short", "--priority", "emergency", *lfns[2:])
    assert refused.code == 5
    assert refused.err == (
        f"medgrid: error: {me} may have 3 open jobs, has 2 and wants 2 more\n"
        "medgrid: hint: none was submitted; wait until some have ended, or ask who keeps the grid\n"
    )
    assert len(field.jobs("1")) == 2
    assert field.prompt("status", "2").code == 4
    submit_as(field, "bob", "short", lfns)  # others are not concerned
    field.once()
    assert [job.exit_code for job in field.jobs("1")] == [3, 3]
    field.submit("short", *lfns[:3])
    assert field.prompt("resubmit", "1.1").err.startswith(
        f"medgrid: error: {me} may have 3 open jobs, has 3 and wants 1 more\n"
    )
    assert field.job("1.1").state is JobState.DONE
    field.prompt.ok("quota", "rm", me)
    field.prompt.ok("resubmit", "1.1")


def test_quota_says_what_is_wrong(field: Field) -> None:
    assert field.prompt("quota", "set", "ann").err == (
        "medgrid: error: no quota is given\nmedgrid: hint: give --slots, --jobs or both\n"
    )
    ran = field.prompt("quota", "rm", "ann")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: ann has no quota\nmedgrid: hint: see 'medgrid quota ls'\n",
    )
    field.prompt.ok("quota", "set", "ann", "--slots", "4", "--jobs", "100")
    field.prompt.ok("quota", "set", "ann", "--jobs", "0")
    assert field.prompt.ok("quota", "ls").rows == [["ann", "0", "4", "0", "", "0"]]
    (document,) = field.prompt.ok("quota", "ls", "--json").documents
    assert (document["slots_quota"], document["jobs_quota"]) == (4, None)
