"""What every place that runs jobs does: the contract in `medgrid.workers.base`."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest

from medgrid.errors import IntegrityError, MedgridError, NotFound, Unreachable, UsageError
from medgrid.model import Cause, Sha256
from medgrid.workers.base import (
    AttemptId,
    Bundle,
    InputFile,
    Launch,
    Limits,
    OutputPattern,
    StageItem,
    WorkerLink,
)
from tests.lab.waiting import PATIENCE_S, wait_for
from tests.workers.places import (
    Place,
    all_records,
    collected,
    follow_until,
    run,
    script,
    unique_number,
)


def stage_item(data: bytes, claimed: bytes | None = None) -> StageItem:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        yield io.BytesIO(data)

    digest = Sha256(hashlib.sha256(data if claimed is None else claimed).hexdigest())
    return StageItem(digest, len(data if claimed is None else claimed), opened)


def tar_of(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def test_an_agent_tells_of_its_host(place: Place) -> None:
    info = place.open().info
    assert info.cpus >= 1
    assert info.memory_bytes > 0
    assert info.free_bytes > 0
    assert info.python_tags[0].startswith("cp3")
    assert info.attempts == {}
    assert place.open().info.agent_id == info.agent_id


def told(link: WorkerLink, attempt: AttemptId) -> list[str]:
    """What the journal tells of an attempt; a start only when the job does not end at once."""
    mine = [one.event for one in all_records(link) if one.attempt == attempt]
    return [event for event in mine if event != "started"]


def test_a_job_runs_and_its_output_comes_back(place: Place) -> None:
    link = place.open()
    launch = script(
        place.attempt(),
        'echo said; echo complained >&2; cat in.txt > out.txt; printf "$GREETING" >> out.txt',
        env={"GREETING": "ä\n"},
        texts={"in.txt": "text\n"},
        outputs=(OutputPattern("result", "*t.txt"),),
    )
    record = run(link, launch)
    assert (record.cause, record.exit_code, record.message) == (Cause.OK, 0, "")
    assert (record.stdout_tail, record.stderr_tail) == ("said\n", "complained\n")
    assert record.started_s is not None and record.ended_s is not None
    assert record.started_s <= record.ended_s
    assert record.max_rss_bytes is not None and record.cpu_s is not None
    assert [output.path for output in record.outputs] == ["out.txt"]
    assert collected(link, record) == ["text\nä\n".encode()]
    assert told(link, launch.attempt) == ["accepted", "done"]


def test_a_directory_used_again_shows_nothing_of_the_job_before(place: Place) -> None:
    link = place.open()

    def ran(number: int, text: str) -> tuple[str, str]:
        launch = script(place.attempt(number), text)
        record = run(link, launch)
        inode = place.shell(f"stat -c %i {place.root}/attempts/{launch.attempt}").strip()
        link.clean([launch.attempt])
        return record.stdout_tail, inode

    for number in range(1, 40, 2):
        litter = "mkdir -p a/b; echo x > a/b/c; echo x > .h; echo x > $TMPDIR/t; ln -s /etc etc"
        before = ran(number, f"{litter}; echo said; echo complained >&2")
        after = ran(number + 1, "find .. | sort")
        assert after[0].split() == ["..", "../notes", "../tmp", "../work"]
        free_kib = int(place.shell(f"df --output=avail -k {place.root}").split()[1])
        if after[1] == before[1] or free_kib < 300 << 10:  # none is kept on a disk that is so full
            return
    pytest.fail("no directory was used again")


def test_values_never_meet_a_shell(place: Place) -> None:
    nasty = "$(touch pwned) `id` ; ' \" \\ \n*"
    record = run(place.open(), Launch(place.attempt(), ("printf", "%s", nasty)))
    assert record.stdout_tail == nasty


def test_staged_bytes_are_the_jobs_inputs(place: Place) -> None:
    link = place.open()
    items = [stage_item(b"first"), stage_item(b"second" * 100_000), stage_item(b"")]
    digests = [item.sha256 for item in items]
    assert link.missing(digests) == set(digests)
    link.stage(items)
    link.stage(items)
    assert link.missing(digests) == set()
    launch = script(
        place.attempt(),
        "cat in/source/0001/image.nii; wc -c < in/targets/0001/a; wc -c < in/targets/0002/a; "
        "find . -type f -perm /077",
        inputs=(
            InputFile(digests[0], 5, "in/source/0001/image.nii"),
            InputFile(digests[1], 600_000, "in/targets/0001/a"),
            InputFile(digests[2], 0, "in/targets/0002/a"),
        ),
    )
    record = run(link, launch)
    assert record.stdout_tail == "first600000\n0\n"
    assert told(link, launch.attempt) == ["accepted", "done"]


def test_bytes_on_the_host_are_read_there(place: Place) -> None:
    link = place.open()
    name = f"/tmp/there-{os.getpid()}"
    place.shell(f"printf there > {name}; chmod 644 {name}")
    digest = Sha256(hashlib.sha256(b"there").hexdigest())
    try:
        link.stage([StageItem(digest, 5, path=name)])
    finally:
        place.shell(f"rm {name}")
    assert link.missing([digest]) == set()
    with pytest.raises(NotFound, match="bytes to stage cannot be read there: No such file"):
        link.stage([StageItem(Sha256("0" * 64), 5, path="/tmp/nowhere")])
    item = stage_item(b"fallback")
    link.stage([StageItem(item.sha256, item.size_bytes, item.open, "/tmp/nowhere")])
    assert link.missing([item.sha256]) == set()


def test_wrong_bytes_are_refused(place: Place) -> None:
    link = place.open()
    for item in (
        stage_item(b"wrong", b"right"),
        stage_item(b"short", b"shorter"),
        stage_item(b"longer", b"wrong"),
    ):
        with pytest.raises(IntegrityError):
            link.stage([item])
        assert link.missing([item.sha256]) == {item.sha256}
    link.stage([stage_item(b"good")])


def test_a_tar_is_unpacked_where_asked(place: Place) -> None:
    link = place.open()
    item = stage_item(tar_of({"IM000001.dcm": b"one", "sub/IM000002.dcm": b"two"}))
    link.stage([item])
    record = run(
        link,
        script(
            place.attempt(),
            "cat series/IM000001.dcm series/sub/IM000002.dcm",
            inputs=(InputFile(item.sha256, item.size_bytes, "series", unpack=True),),
        ),
    )
    assert record.stdout_tail == "onetwo"


def test_a_bundle_is_unpacked_once_and_read_only(place: Place) -> None:
    link = place.open()
    item = stage_item(tar_of({"bin/tool": b"#!/bin/sh\necho tool $1\n"}, 0o755))
    link.stage([item])
    launches = [
        Launch(
            place.attempt(number),
            (({"bundle": True}, "/bin/tool"), "x"),
            bundle=Bundle(item.sha256, item.size_bytes),
        )
        for number in range(1, 6)
    ]
    link.launch(launches)
    done = follow_until(link, [launch.attempt for launch in launches])
    assert {record.stdout_tail for record in done.values()} == {"tool x\n"}
    assert place.shell(f"ls {place.root}/bundles").split() == [item.sha256]
    assert place.shell(f"find {place.root}/bundles -type f -perm /222 -name tool") == ""


def test_an_input_that_was_not_staged(place: Place) -> None:
    absent = Sha256("1" * 64)
    link = place.open()
    record = run(link, script(place.attempt(1), "true", inputs=(InputFile(absent, 1, "in/a"),)))
    assert (record.cause, record.message) == (Cause.STAGE_IN, "input in/a is not in the cache")
    record = run(link, script(place.attempt(2), "true", bundle=Bundle(absent, 1)))
    assert (record.cause, record.message) == (
        Cause.STAGE_IN,
        "the algorithm's files are not in the cache",
    )


def test_failures_have_causes(place: Place) -> None:
    link = place.open()
    exits = run(link, script(place.attempt(1), "echo why >&2; exit 3"))
    assert (exits.cause, exits.exit_code, exits.message) == (Cause.EXIT, 3, "exit code 3")
    assert exits.stderr_tail == "why\n"
    killed = run(link, script(place.attempt(2), "kill -SEGV $$"))
    assert (killed.cause, killed.exit_code) == (Cause.SIGNAL, 139)
    assert killed.message == "killed by signal 11 (SIGSEGV)"
    absent = run(link, Launch(place.attempt(3), ("no-such-program", "x")))
    assert absent.cause is Cause.ENVIRONMENT
    assert absent.message == "program 'no-such-program' is not on the worker's PATH"
    refused = run(link, Launch(place.attempt(4), ("/etc/passwd",)))
    assert refused.cause is Cause.ENVIRONMENT
    assert refused.message == "program '/etc/passwd' cannot be started: Permission denied"


def test_outputs_that_are_missing_or_lead_out(place: Place) -> None:
    link = place.open()

    def outcome(number: int, text: str, pattern: OutputPattern) -> tuple[Cause | None, str]:
        record = run(link, script(place.attempt(number), text, outputs=(pattern,)))
        return record.cause, record.message

    missing = Cause.MISSING_OUTPUT
    assert outcome(1, "true", OutputPattern("o", "*.txt")) == (
        missing,
        "output o: no file matches '*.txt'",
    )
    assert outcome(2, "true", OutputPattern("o", "*.txt", optional=True)) == (Cause.OK, "")
    assert outcome(3, "touch a.txt b.txt", OutputPattern("o", "*.txt")) == (
        missing,
        "output o: 2 files match '*.txt', expected one",
    )
    assert outcome(4, "touch a.txt b.txt", OutputPattern("o", "*.txt", is_list=True))[0] is Cause.OK
    assert outcome(5, "ln -s /etc/passwd a.txt", OutputPattern("o", "*.txt")) == (
        missing,
        "output o: 'a.txt' leads out of the job's directory",
    )
    assert outcome(6, "touch b; ln -s b a.txt", OutputPattern("o", "*.txt"))[0] is Cause.OK
    assert outcome(7, "true", OutputPattern("o", "../../*/notes")) == (
        missing,
        "output o: '../../*/notes' leads out of the job's directory",
    )
    assert outcome(8, "mkfifo a.txt", OutputPattern("o", "*.txt")) == (
        missing,
        "output o: 'a.txt' is not a regular file",
    )


def test_an_attempt_runs_at_most_once(place: Place) -> None:
    link = place.open()
    launch = script(place.attempt(), "echo run")
    link.launch([launch, launch])
    follow_until(link, [launch.attempt])
    link.launch([launch])
    place.open().launch([launch])
    link.clean([launch.attempt])
    link.launch([launch])
    run(link, script(place.attempt(2), "true"))
    assert told(link, launch.attempt) == ["accepted", "done"]


def test_slots_limit_what_runs_at_a_time(place: Place) -> None:
    link = place.open()
    launches = [script(place.attempt(number), "sleep 0.3") for number in range(1, 7)]
    link.launch(launches)
    done = follow_until(link, [launch.attempt for launch in launches])
    spans = sorted((one.started_s or 0, one.ended_s or 0) for one in done.values())
    for start, _ in spans:
        assert sum(begin <= start < end for begin, end in spans) <= place.worker.slots


def test_a_job_of_many_slots_runs_alone(place: Place) -> None:
    link = place.open()
    wide = script(place.attempt(2), "sleep 0.2", slots=50)
    narrow = [script(place.attempt(number), "sleep 0.2") for number in (1, 3)]
    link.launch([narrow[0], wide, narrow[1]])
    done = follow_until(link, [wide.attempt, *(one.attempt for one in narrow)])
    first, last = (done[one.attempt] for one in narrow)
    assert (first.ended_s or 0) <= (done[wide.attempt].started_s or 0)
    assert (done[wide.attempt].ended_s or 0) <= (last.started_s or 0)


def test_cancel_kills_the_whole_family(place: Place) -> None:
    link = place.open()
    marked = unique_number()
    launch = script(place.attempt(), f"sleep {marked} & setsid sleep {marked} & sleep {marked}")
    link.launch([launch])
    follow_until(link, [launch.attempt], "started")
    wait_for(lambda: len(place.processes(f"sleep {marked}")) >= 3, "the family to be there")
    link.cancel([launch.attempt])
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert (record.cause, record.message) == (Cause.CANCELLED, "cancelled")
    assert place.processes(f"sleep {marked}") == []


def test_cancel_of_what_waits_and_of_what_is_unknown(place: Place) -> None:
    link = place.open()
    busy = [script(place.attempt(number), place.held) for number in (1, 2)]
    waiting, late = script(place.attempt(3), "true"), script(place.attempt(4), "true")
    link.launch([*busy, waiting])
    link.cancel([waiting.attempt, late.attempt])
    done = follow_until(link, [waiting.attempt, late.attempt])
    assert {record.cause for record in done.values()} == {Cause.CANCELLED}
    link.launch([late])
    link.cancel([late.attempt])
    place.let_go()
    follow_until(link, [one.attempt for one in busy])
    mine = [one.event for one in all_records(link) if one.attempt == late.attempt]
    assert mine == ["done"]


def test_limits_end_a_job_and_say_so(place: Place) -> None:
    link = place.open()
    slow = run(link, script(place.attempt(1), "sleep 60", limits=Limits(walltime_s=0.3)))
    assert (slow.cause, slow.message) == (Cause.WALLTIME, "ran longer than its limit of 0.3 s")
    deaf = script(place.attempt(2), "trap '' TERM; sleep 60; sleep 60", limits=Limits(0.3))
    assert run(link, deaf).cause is Cause.WALLTIME
    hungry = Launch(
        place.attempt(3),
        ("python3", "-c", "x = bytearray(200 << 20); import time; time.sleep(60)"),
        limits=Limits(memory_bytes=100 << 20),
    )
    record = run(link, hungry)
    assert record.cause is Cause.MEMORY
    assert record.message.endswith("MiB, limit 100 MiB")
    greedy = script(
        place.attempt(4),
        "head -c 30000000 /dev/zero > big; sleep 60",
        limits=Limits(disk_bytes=10 << 20),
    )
    record = run(link, greedy)
    assert (record.cause, record.message) == (Cause.DISK, "wrote 28.61 MiB, limit 10 MiB")
    hasty = script(
        place.attempt(5), "head -c 30000000 /dev/zero > big", limits=Limits(disk_bytes=10 << 20)
    )
    record = run(link, hasty)
    assert (record.cause, record.message) == (Cause.DISK, "wrote 28.61 MiB, limit 10 MiB")


@pytest.mark.parametrize(
    ("limit", "cause", "message"),
    [(2999, Cause.OUTPUT_SIZE, "outputs of 2.93 KiB, limit 2.929 KiB"), (3000, Cause.OK, "")],
)
def test_outputs_larger_than_their_limit_are_not_taken(
    place: Place, limit: int, cause: Cause, message: str
) -> None:
    link = place.open()
    launch = script(
        place.attempt(),
        "head -c 1000 /dev/zero > a.bin; head -c 2000 /dev/zero > b.bin; echo more > other",
        outputs=(OutputPattern("all", "*.bin", is_list=True),),
        limits=Limits(output_bytes=limit),
    )
    record = run(link, launch)
    assert (record.cause, record.message) == (cause, message)
    assert len(record.outputs) == (2 if cause is Cause.OK else 0)


def test_a_daemon_does_not_outlive_its_job(place: Place) -> None:
    link = place.open()
    marked = unique_number()
    launch = script(
        place.attempt(), f"setsid sh -c 'sleep {marked} & exec sleep {marked}' & exit 0"
    )
    assert run(link, launch).cause is Cause.OK
    assert place.processes(f"sleep {marked}") == []


def test_endless_output_is_bounded(place: Place) -> None:
    link = place.open()
    record = run(
        link,
        script(place.attempt(), "yes | head -c 1000000000; echo the end", limits=Limits(600)),
    )
    assert record.cause is Cause.OK
    assert record.stdout_tail.endswith("y\nthe end\n")
    size = int(place.shell(f"stat -c %s {place.root}/attempts/{place.attempt()}/stdout"))
    assert size < 9 << 20
    tail, ended = link.peek(place.attempt(), "stdout", size - 100, 1000)
    assert tail.endswith(b"y\nthe end\n")
    assert ended


def test_peek_follows_a_running_job(place: Place) -> None:
    link = place.open()
    launch = script(place.attempt(), f"echo one; {place.held}echo two; echo bad >&2")
    assert link.peek(launch.attempt, "stdout", 0, 100) == (b"", False)
    link.launch([launch])
    wait_for(
        lambda: link.peek(launch.attempt, "stdout", 0, 100) == (b"one\n", False), "the first line"
    )
    place.let_go()
    wait_for(
        lambda: link.peek(launch.attempt, "stdout", 4, 100) == (b"two\n", True), "the last line"
    )
    assert link.peek(launch.attempt, "stderr", 0, 100) == (b"bad\n", True)


def test_clean_removes_directories_and_keeps_ids(place: Place) -> None:
    link = place.open()
    launch = script(place.attempt(), "mkdir d; touch d/f; chmod 000 d; echo x")
    run(link, launch)
    assert place.open().info.attempts == {launch.attempt: "done"}
    link.clean([launch.attempt, place.attempt(99)])
    assert place.shell(f"ls {place.root}/attempts") == ""
    assert link.peek(launch.attempt, "stdout", 0, 10) == (b"", True)
    assert place.open().info.attempts == {}


def test_a_running_attempt_is_not_cleaned(place: Place) -> None:
    link = place.open()
    launch = script(
        place.attempt(), f"{place.held}echo fine > out", outputs=(OutputPattern("o", "out"),)
    )
    link.launch([launch])
    link.clean([launch.attempt])
    place.let_go()
    assert follow_until(link, [launch.attempt])[launch.attempt].cause is Cause.OK


def test_follow_waits_no_longer_than_asked(place: Place) -> None:
    link = place.open()
    offset = link.info.journal_offset
    assert link.follow(offset, 0.3) == []
    with pytest.raises(UsageError, match="no record starts at offset"):
        link.follow(offset + 1000, 0)


def test_probe_finds_programs(place: Place) -> None:
    found = place.open().probe(["sh", "no-such-program"])
    assert found["no-such-program"] is None
    assert (found["sh"] or "").endswith("/sh")


def test_many_outputs_in_one_stream(place: Place) -> None:
    link = place.open()
    pattern = OutputPattern("parts", "part-*", is_list=True)
    text = "for i in $(seq 100 299); do head -c $((i * 7)) /dev/urandom > part-$i; done"
    record = run(link, script(place.attempt(), text, outputs=(pattern,)))
    assert len(record.outputs) == 200
    wanted = [(record.attempt, output) for output in record.outputs]
    sizes = [sum(map(len, chunks)) for _, _, chunks in link.collect(wanted)]
    assert sizes == [output.size_bytes for output in record.outputs]
    partly = iter(link.collect(wanted))
    next(partly)
    del partly
    assert len(list(link.collect(wanted))) == 200


def test_an_output_changed_afterwards_is_noticed(place: Place) -> None:
    link = place.open()
    record = run(
        link, script(place.attempt(), "echo good > out", outputs=(OutputPattern("o", "out"),))
    )
    place.shell(f"echo evil > {place.root}/attempts/{record.attempt}/work/out")
    with pytest.raises(IntegrityError, match=r"output o of 1\.1\.1: expected the digest"):
        for _, _, chunks in link.collect([(record.attempt, record.outputs[0])]):
            list(chunks)


def test_nobody_else_may_look(place: Place) -> None:
    link = place.open()
    run(link, script(place.attempt(), "echo secret > out; mkdir d"))
    assert place.shell(f"find {place.root} -perm /077 ! -type l").split() == []


def test_a_closed_link_says_so(place: Place) -> None:
    link = place.open()
    link.close()
    with pytest.raises(Unreachable, match="the link is closed"):
        link.probe(["sh"])


def test_a_bad_launch_is_refused(place: Place) -> None:
    link = place.open()
    with pytest.raises(MedgridError, match="a launch names no attempt"):
        link.launch([Launch("../../x", ("true",))])
    with pytest.raises(MedgridError, match=r"attempt 1\.1\.1 has no program"):
        link.launch([Launch(place.attempt(), ())])


def test_the_jobs_environment_is_small(place: Place) -> None:
    os.environ["SECRET_OF_THE_USER"] = "x"
    try:
        record = run(place.open(), Launch(place.attempt(), ("env",)))
    finally:
        del os.environ["SECRET_OF_THE_USER"]
    names = {line.partition("=")[0] for line in record.stdout_tail.splitlines()}
    assert {"PATH", "HOME", "TMPDIR", "MEDGRID_ATTEMPT"} <= names
    assert not {name for name in names if name.startswith(("SSH", "SECRET"))}


def test_a_launch_goes_in_while_the_journal_is_listened_to(place: Place) -> None:
    link = place.open()
    heard = threading.Event()
    listening = link.listen(0, 60, heard.set)
    assert not listening.is_over
    link.launch([script(place.attempt(), "true")])
    assert heard.wait(PATIENCE_S)
    assert listening.is_over
    assert listening.records()[0].event == "accepted"


def test_who_listens_hears_that_the_link_is_closed(place: Place) -> None:
    link = place.open()
    heard = threading.Event()
    listening = link.listen(0, 60, heard.set)
    link.close()
    assert heard.wait(PATIENCE_S)
    assert listening.is_over
    with pytest.raises(Unreachable):
        listening.records()
