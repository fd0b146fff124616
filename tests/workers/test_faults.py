"""Whatever is killed, cut, filled or torn: each attempt gets exactly one result."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest

from medgrid.errors import Unreachable
from medgrid.model import Cause
from medgrid.workers import archive, bootstrap
from medgrid.workers.base import InputFile, Launch, Limits, OutputPattern, WorkerLink
from medgrid.workers.errors import NoSpace
from tests.lab.hosts import Lab
from tests.lab.sshd import Sshd
from tests.lab.waiting import linger, wait_for
from tests.workers.places import Place, all_records, follow_until, run, script, unique_number
from tests.workers.test_contract import stage_item


def dones(link: WorkerLink) -> dict[str, int]:
    """How many ``done`` records each attempt has."""
    found: dict[str, int] = {}
    for record in all_records(link):
        found[record.attempt] = found.get(record.attempt, 0) + (record.event == "done")
    return found


def start(place: Place, link: WorkerLink, launch: Launch) -> None:
    """Launch, and wait until the program runs."""
    link.launch([launch])
    follow_until(link, [launch.attempt], "started")


def wait_for_death(link: WorkerLink) -> None:
    """Wait until the link knows that its agent is gone."""
    with pytest.raises(Unreachable, match="the connection was lost"):
        while True:
            link.follow(0, 0.05)


def test_a_killed_agent_loses_no_job(place: Place) -> None:
    link = place.open()
    running = script(
        place.attempt(1), "sleep 1; echo made > out", outputs=(OutputPattern("o", "out"),)
    )
    quick = script(place.attempt(2), "sleep 0.2; exit 4")
    waiting = [script(place.attempt(number), "echo later") for number in range(3, 9)]
    link.launch([running, quick, *waiting])
    follow_until(link, [running.attempt, quick.attempt], "started")
    place.kill_agent()
    wait_for_death(link)
    linger(0.5, "the quick one ends while no agent is there")
    link = place.open()
    done = follow_until(link, [running.attempt, quick.attempt, *(one.attempt for one in waiting)])
    assert done[running.attempt].cause is Cause.OK
    assert [output.path for output in done[running.attempt].outputs] == ["out"]
    assert (done[quick.attempt].cause, done[quick.attempt].exit_code) == (Cause.EXIT, 4)
    assert {done[one.attempt].stdout_tail for one in waiting} == {"later\n"}
    assert set(dones(link).values()) == {1}


def test_an_agent_killed_again_and_again(place: Place) -> None:
    link = place.open()
    launches = [
        script(place.attempt(number), "mkdir ../once && sleep 0.05 && echo ran")
        for number in range(1, 31)
    ]
    link.launch(launches)
    for _ in range(5):
        linger(0.15, "some attempts begin")
        place.kill_agent()
        link = place.open()
    done = follow_until(link, [one.attempt for one in launches])
    assert {record.cause for record in done.values()} == {Cause.OK}
    assert set(dones(link).values()) == {1}


def test_a_killed_keeper_is_a_lost_job_and_nothing_runs_on(place: Place) -> None:
    link = place.open()
    marked = unique_number()
    launch = script(place.attempt(), f"setsid sleep {marked} & sleep {marked}")
    start(place, link, launch)
    wait_for(lambda: len(place.processes(f"sleep {marked}")) >= 2, "the job to start")
    place.shell(f"kill -9 {place.keeper(launch.attempt)}")
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert (record.cause, record.message) == (
        Cause.LOST,
        "the process that kept the job was killed",
    )
    assert place.processes(f"sleep {marked}") == []
    assert run(link, script(place.attempt(2), "true")).cause is Cause.OK


def test_agent_and_keeper_killed_together(place: Place) -> None:
    link = place.open()
    marked = unique_number()
    launch = script(place.attempt(), f"sleep {marked}")
    start(place, link, launch)
    keeper, agent = place.keeper(launch.attempt), place.state()["pid"]
    place.shell(f"kill -9 {keeper} {agent}")
    link = place.open()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert record.cause is Cause.LOST
    assert place.processes(f"sleep {marked}") == []
    assert dones(link) == {launch.attempt: 1}


def test_an_adopted_job_can_be_cancelled_and_keeps_its_limits(place: Place) -> None:
    link = place.open()
    cancelled = script(place.attempt(1), "sleep 60")
    writes = "until [ -e go ]; do sleep 0.1; done; head -c 30000000 /dev/zero > big; sleep 60"
    limited = script(place.attempt(2), writes, limits=Limits(disk_bytes=10 << 20))
    link.launch([cancelled, limited])
    follow_until(link, [cancelled.attempt, limited.attempt], "started")
    place.kill_agent()
    link = place.open()
    assert link.info.attempts == {cancelled.attempt: "started", limited.attempt: "started"}
    link.cancel([cancelled.attempt])
    place.shell(f"touch {place.root}/attempts/{limited.attempt}/work/go")
    done = follow_until(link, [cancelled.attempt, limited.attempt])
    assert done[cancelled.attempt].cause is Cause.CANCELLED
    assert done[limited.attempt].cause is Cause.DISK


def test_slots_count_adopted_jobs(place: Place) -> None:
    link = place.open()
    first = [script(place.attempt(number), "sleep 1") for number in (1, 2)]
    link.launch(first)
    follow_until(link, [one.attempt for one in first], "started")
    place.kill_agent()
    link = place.open()
    second = script(place.attempt(3), "true")
    link.launch([second])
    done = follow_until(link, [*(one.attempt for one in first), second.attempt])
    ended = min(done[one.attempt].ended_s or 0 for one in first)
    assert (done[second.attempt].started_s or 0) >= ended


def test_a_torn_journal_line_is_cut(place: Place) -> None:
    link = place.open()
    before = run(link, script(place.attempt(1), "true"))
    place.kill_agent()
    place.shell(f'printf \'%s\' \'{{"attempt": "1.2.1", "ev\' >> {place.root}/journal')
    link = place.open()
    assert link.info.journal_offset == before.offset
    after = run(link, script(place.attempt(2), "true"))
    assert after.offset > before.offset
    assert dones(link) == {place.attempt(1): 1, place.attempt(2): 1}


def test_another_build_takes_over_while_jobs_run(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = place.open()
    launch = script(place.attempt(), "sleep 1; echo survived")
    waiting = [script(place.attempt(number), "echo then") for number in (2, 3, 4)]
    start(place, link, launch)
    link.launch(waiting)
    data = archive.agent_archive().data + b"\0"
    other = archive.Archive(data, hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(bootstrap, "agent_archive", lambda: other)
    link = place.open()
    assert link.info.agent_digest == other.digest
    done = follow_until(link, [launch.attempt, *(one.attempt for one in waiting)])
    assert done[launch.attempt].stdout_tail == "survived\n"
    assert set(dones(link).values()) == {1}


def test_an_input_changed_by_a_job_leaves_the_cache(local_place: Place) -> None:
    link = local_place.open()
    item = stage_item(b"x" * (65 << 20))
    link.stage([item])
    launch = script(
        local_place.attempt(),
        "chmod +w in/a; printf evil | dd of=in/a conv=notrunc 2>/dev/null",
        inputs=(InputFile(item.sha256, item.size_bytes, "in/a"),),
    )
    record = run(link, launch)
    assert (record.cause, record.message) == (
        Cause.STAGE_IN,
        "an input in the cache was changed while the job ran",
    )
    assert link.missing([item.sha256]) == {item.sha256}


def test_two_clients_start_one_agent(local_place: Place) -> None:
    links: list[WorkerLink] = []
    threads = [threading.Thread(target=lambda: links.append(local_place.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({link.info.agent_id for link in links}) == 1
    serving = f"serve {local_place.root}"
    wait_for(lambda: len(local_place.processes(serving)) == 1, "the others to step back")


def test_the_client_dies_and_the_jobs_go_on(ssh_place: Place, sshd: Sshd) -> None:
    link = ssh_place.open()
    launch = script(ssh_place.attempt(), "sleep 0.5; echo alone")
    start(ssh_place, link, launch)
    sshd.drop_connections()
    wait_for_death(link)
    link = ssh_place.open()
    assert follow_until(link, [launch.attempt])[launch.attempt].stdout_tail == "alone\n"
    assert dones(link) == {launch.attempt: 1}


@pytest.mark.lab
def test_a_rebooted_host_has_lost_its_jobs(lab_place: Place, hosts: Lab) -> None:
    link = lab_place.open()
    agent_id = link.info.agent_id
    finished = run(link, script(lab_place.attempt(1), "true"))
    lost = [script(lab_place.attempt(number), "sleep 60") for number in (2, 3, 4)]
    link.launch(lost)
    follow_until(link, [one.attempt for one in lost[:2]], "started")
    hosts.host(1).reboot()
    link = lab_place.open()
    assert link.info.agent_id == agent_id
    done = follow_until(link, [one.attempt for one in lost], offset=finished.offset)
    assert [done[one.attempt].message for one in lost] == [
        "the worker's host restarted while the job ran",
        "the worker's host restarted while the job ran",
        "the worker's host restarted",
    ]
    assert {record.cause for record in done.values()} == {Cause.LOST}
    assert set(dones(link).values()) == {1}


@pytest.mark.lab
def test_a_cut_network_while_staging(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    link = lab_place.open()
    launch = script(lab_place.attempt(), "sleep 2; echo went on")
    start(lab_place, link, launch)
    item = stage_item(os.urandom(20 << 20))
    host.slow("40mbit")
    cutter = threading.Timer(1.0, host.cut)
    cutter.start()
    with pytest.raises(Unreachable):
        link.stage([item])
    with pytest.raises(Unreachable):
        link.follow(0, 1.0)
    with pytest.raises(Unreachable, match=f"grid@{re.escape(host.address)}: no answer in time"):
        lab_place.open()
    host.restore()
    link = lab_place.open()
    assert link.missing([item.sha256]) == {item.sha256}
    link.stage([item])
    assert link.missing([item.sha256]) == set()
    assert follow_until(link, [launch.attempt])[launch.attempt].stdout_tail == "went on\n"
    assert dones(link) == {launch.attempt: 1}


@pytest.mark.lab
def test_a_full_disk(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    link = lab_place.open()
    running = script(lab_place.attempt(1), "sleep 1; echo ended")
    start(lab_place, link, running)
    host.fill()
    with pytest.raises(NoSpace, match="worker remote: the disk is full"):
        link.stage([stage_item(os.urandom(1 << 20))])
    with pytest.raises(NoSpace, match="worker remote: the worker's disk is full"):
        link.launch([script(lab_place.attempt(2), "true")])
    record = follow_until(link, [running.attempt])[running.attempt]
    assert record.cause in (Cause.OK, Cause.NO_SPACE)
    host.fill(leave_bytes=20 << 20)
    greedy = script(lab_place.attempt(3), "head -c 100000000 /dev/zero > big")
    record = run(link, greedy)
    assert (record.cause, record.message) == (Cause.NO_SPACE, "the worker's disk is full")
    host.restore()
    link.clean([greedy.attempt])
    assert run(link, script(lab_place.attempt(4), "true")).cause is Cause.OK
    assert set(dones(link).values()) == {1}


@pytest.mark.lab
def test_an_agent_cannot_start_on_a_full_disk(lab_place: Place, hosts: Lab) -> None:
    hosts.host(1).fill()
    with pytest.raises(NoSpace, match="worker remote: "):
        lab_place.open()
    hosts.host(1).restore()
    assert run(lab_place.open(), script(lab_place.attempt(), "true")).cause is Cause.OK


def test_a_stopped_agent_is_unreachable_in_time(local_place: Place) -> None:
    link = local_place.open()
    pid = local_place.state()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="here: no answer within 10 s"):
            link.probe(["sh"])
    finally:
        os.kill(pid, signal.SIGCONT)


def test_nothing_personal_on_command_lines(ssh_place: Place) -> None:
    link = ssh_place.open()
    start(ssh_place, link, script(ssh_place.attempt(), f"{ssh_place.held}: SECRET"))
    link.stage([stage_item(b"SECRET")])
    lines = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and b".pyz" in (process / "cmdline").read_bytes():
                lines.append((process / "cmdline").read_bytes().decode().split("\0")[3:-1])
        except OSError:
            continue
    ssh_place.let_go()
    root = ssh_place.root.strip("'")
    mine = [line[1:] for line in lines if line[-1].startswith(root) or root in line]
    assert sorted(one[0] for one in mine) == ["bulk", "connect", "serve", "serve"]
    assert all(one[1] == root for one in mine)


def test_an_agent_without_its_directory_ends(local_place: Place) -> None:
    link = local_place.open()
    serving = f"serve {local_place.root}"
    assert len(local_place.processes(serving)) == 1
    link.close()
    local_place.links.clear()
    shutil.rmtree(local_place.root)
    wait_for(lambda: not local_place.processes(serving), "the agent to end")
