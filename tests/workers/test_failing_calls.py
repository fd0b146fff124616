"""Calls of the operating system that fail under an agent: it goes on, and forgets no attempt."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from medgrid.errors import Unreachable
from medgrid.model import Cause
from medgrid.workers.errors import AgentError
from tests.lab.prompt import ROOT
from tests.lab.shim import Role, Shim, why_no_shim
from tests.workers.places import Place, all_records, follow_until, run, script
from tests.workers.test_faults import dones


@pytest.fixture
def shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    """What the processes of places made after it suffer."""
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    found = Shim(tmp_path / "shim")
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    return found


def test_an_attempt_that_the_journal_could_not_take_can_be_given_again(
    shim: Shim, local_place: Place
) -> None:
    link = local_place.open()
    launch = script(local_place.attempt(), "echo ran")
    shim.fail(Role.AGENT, 1)  # the write of its record
    with pytest.raises(AgentError, match=r"Input/output error"):
        link.launch([launch])
    link = local_place.open()
    assert link.info.attempts == {}
    record = run(link, launch)
    assert (record.cause, record.stdout_tail) == (Cause.OK, "ran\n")
    assert dones(link) == {launch.attempt: 1}
    # what was refused is in no journal, where the next agent would find it and run it
    assert [one.event for one in all_records(link)].count("accepted") == 1


def test_a_cancel_that_the_journal_could_not_take_is_not_promised(
    shim: Shim, local_place: Place
) -> None:
    link = local_place.open()
    attempt = local_place.attempt()
    shim.fail(Role.AGENT, 1)  # the write of its record
    with pytest.raises(AgentError, match=r"Input/output error"):
        link.cancel([attempt])
    assert follow_until(local_place.open(), [attempt])[attempt].cause is Cause.CANCELLED


@pytest.mark.parametrize("number", range(1, 7))
def test_a_call_that_fails_loses_no_end(shim: Shim, local_place: Place, number: int) -> None:
    link = local_place.open()
    launches = [script(local_place.attempt(one), "sleep 0.1") for one in (1, 2, 3)]
    link.launch(launches)
    shim.fail(Role.AGENT, number, error=errno.ENOSPC)
    attempts = [one.attempt for one in launches]
    try:
        done = follow_until(link, attempts)
    except (Unreachable, AgentError):  # it was an answer to us
        link = local_place.open()
        done = follow_until(link, attempts)
    assert shim.failed == 1
    # lost is one whose keeper never heard of it
    assert {record.cause for record in done.values()} <= {Cause.OK, Cause.LOST}
    assert set(dones(link).values()) == {1}


def test_an_attempt_ends_when_no_keeper_can_be_started(local_place: Place) -> None:
    link = local_place.open()
    agent = int(local_place.state()["pid"])
    before = resource.prlimit(agent, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{agent}/fd").iterdir()))
    resource.prlimit(agent, resource.RLIMIT_NOFILE, (used, before[1]))
    record = run(link, script(local_place.attempt(1), "true"))
    assert (record.cause, record.message) == (
        Cause.LOST,
        "no keeper can be started: Too many open files",
    )
    resource.prlimit(agent, resource.RLIMIT_NOFILE, before)
    assert run(link, script(local_place.attempt(2), "true")).cause is Cause.OK


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    code = "from medgrid.agent import host; host.log('the disk is full')"
    with Path("/dev/full").open("wb") as full:
        subprocess.run([sys.executable, "-c", code], stderr=full, check=True, cwd=ROOT)
