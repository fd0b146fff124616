"""Whatever is killed, filled or taken away: nothing plain of a protected job is left."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest

from medgrid.model import Cause
from medgrid.workers import archive, bootstrap
from medgrid.workers.base import Launch, OutputPattern, WorkerLink
from tests.lab.hosts import Lab
from tests.lab.memory import FILES
from tests.lab.postgres import SERVERS
from tests.lab.waiting import wait_for
from tests.workers.owner import Owner
from tests.workers.places import Place, follow_until, run, script
from tests.workers.test_faults import dones, wait_for_death

LOST_KEYS = "the worker lost the keys of this attempt before it started"
CANARY = f"JANE-DOE-4711-{os.getpid()}"  # tests run beside others on this machine


def private_directory(place: Place, attempt: str) -> str:
    """Where a running job's plain files lie."""
    return place.shell(f"readlink {place.root}/attempts/{attempt}/private").strip()


def nothing_left(place: Place) -> bool:
    """Whether no file below the agent's root and in memory holds the canary."""
    others = f"--exclude-dir={FILES} --exclude-dir={SERVERS}*"
    below = f"{others} {place.root} /dev/shm 2>/dev/null || true"
    found = place.shell(f"grep -rlF {CANARY} {below}; grep -rl '{CANARY.encode().hex()}' {below}")
    return found == ""


def busy(owner: Owner, place: Place, link: WorkerLink, number: int) -> Launch:
    """A job that writes the canary wherever it can, then waits until it is let go."""
    return owner.script(
        place.attempt(number),
        f"cat in; cat in >&2; cp in {CANARY}; cp in $TMPDIR/x; {place.held}cp in out",
        inputs=(owner.give(link, CANARY.encode(), "in"),),
        outputs=(OutputPattern("o", "out"),),
    )


def start(place: Place, link: WorkerLink, launch: Launch) -> None:
    """Launch, and wait until the job has written what it writes."""
    link.launch([launch])
    written = f"{place.root}/attempts/{launch.attempt}/private/tmp/x"
    wait_for(
        lambda: place.shell(f"test -s {written} && echo there || true") != "", "the job to write"
    )
    follow_until(link, [launch.attempt], "started")


def test_a_killed_keeper_leaves_nothing(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    private = private_directory(place, launch.attempt)
    assert place.shell(f"ls {private}/work").split() == [CANARY, "in"]
    place.shell(f"kill -9 {place.keeper(launch.attempt)}")
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert record.message == "the process that kept the job was killed"
    assert nothing_left(place)
    assert place.shell(f"test -e {private} || echo gone") == "gone\n"


def test_agent_and_keeper_killed_together_leave_nothing(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    # the agent first: it would see that its keeper died
    place.shell(f"kill -9 {place.state()['pid']} {place.keeper(launch.attempt)}")
    assert not nothing_left(place)
    link = place.open()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert record.cause is Cause.LOST
    assert nothing_left(place)
    assert dones(link) == {launch.attempt: 1}


def test_a_protected_job_survives_its_agent(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    place.kill_agent()
    wait_for_death(link)
    link = place.open()
    assert link.peek(launch.attempt, "stdout", 0, 100) == (CANARY.encode(), False)
    place.let_go()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert owner.collect(link, record) == [CANARY.encode()]
    assert owner.told(record)["stderr_tail"] == CANARY
    assert nothing_left(place)


def test_a_protected_job_ends_while_no_agent_is_there(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    place.kill_agent()
    place.let_go()
    wait_for(lambda: nothing_left(place), "the job to end")
    link = place.open()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert owner.collect(link, record) == [CANARY.encode()]


def test_keys_that_an_agent_lost_end_the_attempt(place: Place) -> None:
    link, owner = place.open(), Owner()
    running = [busy(owner, place, link, number) for number in (1, 2)]
    waiting = [busy(owner, place, link, number) for number in (3, 4)]
    link.launch([*running, *waiting])
    follow_until(link, [one.attempt for one in running], "started")
    place.kill_agent()
    link = place.open()
    lost = follow_until(link, [one.attempt for one in waiting])
    assert {(one.cause, one.message) for one in lost.values()} == {(Cause.LOST, LOST_KEYS)}
    place.let_go()
    link.launch(waiting)
    done = follow_until(link, [one.attempt for one in running])
    assert {one.cause for one in done.values()} == {Cause.OK}
    assert set(dones(link).values()) == {1}
    assert nothing_left(place)


def test_a_keeper_that_wakes_up_late_starts_nothing(place: Place) -> None:
    link, owner = place.open(), Owner()
    first = script(place.attempt(1), "true")
    run(link, first)
    keeper = place.keeper(first.attempt)
    place.shell(f"kill -STOP {keeper}")
    late = busy(owner, place, link, 2)
    link.launch([late])  # the order lies in the keeper's socket
    place.kill_agent()
    link = place.open()
    record = follow_until(link, [late.attempt])[late.attempt]
    assert (record.cause, record.message) == (Cause.LOST, LOST_KEYS)
    place.shell(f"kill -CONT {keeper}")
    wait_for(
        lambda: place.shell(f"test -e /proc/{keeper} || echo gone") == "gone\n",
        "the keeper to end",
    )
    assert dones(link) == {first.attempt: 1, late.attempt: 1}
    assert place.shell(f"ls {place.root}/attempts/{late.attempt}").split() == ["notes"]
    assert nothing_left(place)


def test_a_cancelled_job_leaves_nothing(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    link.cancel([launch.attempt])
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert (record.cause, record.message) == (Cause.CANCELLED, "cancelled")
    assert owner.told(record)["stdout_tail"] == CANARY
    assert nothing_left(place)
    link.clean([launch.attempt])
    assert place.shell(f"ls {place.root}/attempts") == ""


def test_another_build_takes_over_while_a_protected_job_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, owner = place.open(), Owner()
    running = [busy(owner, place, link, number) for number in (1, 2)]
    waiting = busy(owner, place, link, 3)
    link.launch([*running, waiting])
    follow_until(link, [one.attempt for one in running], "started")
    data = archive.agent_archive().data + b"\0"
    other = archive.Archive(data, hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(bootstrap, "agent_archive", lambda: other)
    link = place.open()
    place.let_go()
    done = follow_until(link, [one.attempt for one in (*running, waiting)])
    assert done[waiting.attempt].message == LOST_KEYS
    for one in running:
        assert owner.collect(link, done[one.attempt]) == [CANARY.encode()]
    assert nothing_left(place)


def test_a_room_that_the_host_takes_away(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = busy(owner, place, link, 1)
    start(place, link, launch)
    place.shell(f"rm -rf {private_directory(place, launch.attempt)}")
    place.let_go()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert (record.cause, record.message) == (
        Cause.LOST,
        "the job's directory in memory was removed while it ran",
    )


def test_keepers_keys_are_out_of_reach(local_place: Place) -> None:
    link, owner = local_place.open(), Owner()
    launch = busy(owner, local_place, link, 1)
    start(local_place, link, launch)
    for pid in (local_place.keeper(launch.attempt), local_place.state()["pid"]):
        limits = local_place.shell(f"grep 'core file' /proc/{pid}/limits").split()
        assert limits[4:6] in (["1", "1"], ["0", "0"])
        status = Path(f"/proc/{pid}/status").read_text()
        assert "VmLck:\t       0 kB" not in status or not may_lock()
    local_place.let_go()
    follow_until(link, [launch.attempt])


def may_lock() -> bool:
    """Whether this process may lock memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(line for line in lines if line.startswith("CapEff"))
    return bool(int(effective.split()[1], 16) >> 14 & 1)


@pytest.mark.lab
def test_other_processes_of_the_user_cannot_read_the_keys(lab_place: Place) -> None:
    link, owner = lab_place.open(), Owner()
    launch = busy(owner, lab_place, link, 1)
    start(lab_place, link, launch)
    for pid in (lab_place.keeper(launch.attempt), lab_place.state()["pid"]):
        read = f"su grid -c 'head -c 1 /proc/{pid}/environ' 2>&1 || true"
        assert "Permission denied" in lab_place.shell(read)
    lab_place.let_go()
    assert follow_until(link, [launch.attempt])[launch.attempt].cause is Cause.OK


@pytest.mark.lab
def test_a_rebooted_host_has_forgotten_everything(lab_place: Place, hosts: Lab) -> None:
    link, owner = lab_place.open(), Owner()
    launches = [busy(owner, lab_place, link, number) for number in (1, 2, 3)]
    link.launch(launches)
    follow_until(link, [one.attempt for one in launches[:2]], "started")
    hosts.host(1).reboot()
    link = lab_place.open()
    done = follow_until(link, [one.attempt for one in launches])
    assert [done[one.attempt].message for one in launches] == [
        "the worker's host restarted while the job ran",
        "the worker's host restarted while the job ran",
        "the worker's host restarted",
    ]
    assert nothing_left(lab_place)


@pytest.mark.lab
def test_a_memory_file_system_that_is_too_small(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    host.exec("mount -t tmpfs -o size=2m small /dev/shm")
    try:
        link, owner = lab_place.open(), Owner()
        assert 0 < link.info.private_memory_bytes <= 2 << 20
        wanted = owner.give(link, os.urandom(3 << 20), "in")
        record = run(link, owner.script(lab_place.attempt(1), "true", inputs=(wanted,)))
        assert (record.cause, record.message) == (
            Cause.NO_SPACE,
            "the worker's memory file system is too small for the inputs",
        )
        greedy = owner.script(lab_place.attempt(2), "head -c 4000000 /dev/zero > x || exit 1")
        record = run(link, greedy)
        assert (record.cause, record.message) == (Cause.NO_SPACE, "the worker's disk is full")
        assert host.exec("ls -A /dev/shm") == ""
    finally:
        host.exec("umount /dev/shm")


@pytest.mark.lab
def test_a_host_without_memory_file_system_uses_the_disk(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    host.exec("chmod 755 /dev/shm")
    try:
        link, owner = lab_place.open(), Owner()
        assert link.info.private_memory_bytes == 0
        launch = busy(owner, lab_place, link, 1)
        start(lab_place, link, launch)
        private = f"{lab_place.root}/attempts/{launch.attempt}/private"
        assert host.exec(f"stat -c '%a %F' {private}") == "700 directory\n"
        assert link.peek(launch.attempt, "stdout", 0, 100) == (CANARY.encode(), False)
        lab_place.let_go()
        record = follow_until(link, [launch.attempt])[launch.attempt]
        assert owner.collect(link, record) == [CANARY.encode()]
        assert nothing_left(lab_place)
        lab_place.shell(f"rm {lab_place.root}/go")
        killed = busy(owner, lab_place, link, 2)
        start(lab_place, link, killed)
        host.exec(f"kill -9 {lab_place.keeper(killed.attempt)}")
        assert follow_until(link, [killed.attempt])[killed.attempt].cause is Cause.LOST
        assert nothing_left(lab_place)
    finally:
        host.exec("chmod 1777 /dev/shm")


@pytest.mark.lab
def test_a_full_disk_takes_no_sealed_outputs(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    link, owner = lab_place.open(), Owner()
    launch = owner.script(
        lab_place.attempt(1),
        f"{lab_place.held}head -c 50000000 /dev/zero > out",
        outputs=(OutputPattern("o", "out"),),
    )
    link.launch([launch])
    follow_until(link, [launch.attempt], "started")
    host.fill(leave_bytes=20 << 20)
    lab_place.let_go()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert (record.cause, record.message) == (Cause.NO_SPACE, "the worker's disk is full")
    host.restore()
    assert host.exec(f"ls {lab_place.root}/attempts/{launch.attempt}").split() == ["notes"]


def test_an_agent_that_is_ended_loses_the_waiting_attempts_alone(local_place: Place) -> None:
    link, owner = local_place.open(), Owner()
    running = [busy(owner, local_place, link, number) for number in (1, 2)]
    waiting = busy(owner, local_place, link, 3)
    link.launch([*running, waiting])
    follow_until(link, [one.attempt for one in running], "started")
    os.kill(local_place.state()["pid"], signal.SIGTERM)
    wait_for_death(link)
    local_place.let_go()
    link = local_place.open()
    done = follow_until(link, [one.attempt for one in (*running, waiting)])
    assert [done[one.attempt].cause for one in (*running, waiting)] == [
        Cause.OK,
        Cause.OK,
        Cause.LOST,
    ]
