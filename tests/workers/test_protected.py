"""Protected launches on every place that runs jobs: the contract in `medgrid.workers.base`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from functools import partial

import pytest

from medgrid.errors import MedgridError
from medgrid.model import Cause
from medgrid.workers.base import (
    CIPHER,
    AttemptId,
    InputFile,
    JournalRecord,
    Limits,
    OutputPattern,
    WorkerLink,
)
from tests.lab.waiting import wait_for
from tests.workers.owner import Owner
from tests.workers.places import Place, all_records, follow_until, run, script
from tests.workers.test_contract import stage_item, tar_of

SEALED_BYTES = 65536 + 28


def left_in_memory(place: Place) -> str:
    """Names of private directories that the place's agent made."""
    first = json.loads(place.shell(f"head -n 1 {place.root}/journal"))
    prefix = hashlib.sha256(b"medgrid private " + first["agent_id"].encode()).hexdigest()[:16]
    return place.shell(f"ls -A /dev/shm | grep '^{prefix}-' || true")


def of_attempt(place: Place, attempt: str) -> list[str]:
    """What lies in an attempt's directory on the disk."""
    return sorted(place.shell(f"cd {place.root}/attempts/{attempt} && find . -mindepth 1").split())


@pytest.fixture(autouse=True)
def nothing_left(place: Place) -> Iterator[None]:
    """No test leaves a private directory."""
    yield
    assert left_in_memory(place) == ""


def test_an_agent_tells_what_it_can_protect(place: Place) -> None:
    info = place.open().info
    assert info.ciphers == (CIPHER,)
    assert info.private_memory_bytes > 1 << 20


def test_a_protected_job_runs_and_its_outputs_come_back_sealed(place: Place) -> None:
    link, owner = place.open(), Owner()
    content = os.urandom(3 * 65536 + 11)
    launch = owner.script(
        place.attempt(),
        "echo said; echo complained >&2; mkdir sub; cat in/image.nii > sub/JANE.nii.gz; "
        "printf small > DOE-1.txt; : > DOE-2.txt; pwd",
        inputs=(owner.give(link, content, "in/image.nii"),),
        outputs=(
            OutputPattern("image", "sub/*.nii.gz"),
            OutputPattern("tables", "DOE*", is_list=True),
        ),
    )
    record = run(link, launch)
    told = owner.told(record)
    assert (record.cause, record.message, record.exit_code) == (Cause.OK, "", 0)
    assert [(one.role, one.path) for one in record.outputs] == [
        ("image", "image/1.nii.gz"),
        ("tables", "tables/1.txt"),
        ("tables", "tables/2.txt"),
    ]
    assert owner.collect(link, record) == [content, b"small", b""]
    said, where = told["stdout_tail"].splitlines()
    assert said == "said"
    assert where.startswith("/dev/shm/")
    assert told["stderr_tail"] == "complained\n"
    assert told["paths"] == ["sub/JANE.nii.gz", "DOE-1.txt", "DOE-2.txt"]
    assert left_in_memory(place) == ""
    assert set(of_attempt(place, record.attempt)) == {
        "./notes",
        "./sealed",
        "./sealed/image",
        "./sealed/image/1.nii.gz",
        "./sealed/tables",
        "./sealed/tables/1.txt",
        "./sealed/tables/2.txt",
    }


def test_what_the_worker_writes_down_of_a_launch(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = owner.script(place.attempt(), "true", texts={"parameters.txt": "CANARY"}, slots=2)
    assert run(link, launch).cause is Cause.OK
    accepted = place.shell(f"grep accepted {place.root}/journal")
    assert '"launch":{"attempt":"1.1.1","slots":2,"protected":true}' in accepted
    assert place.shell(f"grep -rl CANARY {place.root} || true") == ""


def test_a_sealed_tar_is_unpacked_where_asked(place: Place) -> None:
    link, owner = place.open(), Owner()
    content = tar_of({"IM000001.dcm": b"one" * 50000, "sub/IM000002.dcm": b"two"})
    launch = owner.script(
        place.attempt(),
        "wc -c < series/IM000001.dcm; cat series/sub/IM000002.dcm",
        inputs=(owner.give(link, content, "series", unpack=True),),
    )
    record = run(link, launch)
    assert owner.told(record)["stdout_tail"].split() == ["150000", "two"]


def test_public_inputs_of_a_protected_job(place: Place) -> None:
    link, owner = place.open(), Owner()
    item = stage_item(b"public")
    link.stage([item])
    launch = owner.script(
        place.attempt(), "cat in/a", inputs=(InputFile(item.sha256, item.size_bytes, "in/a"),)
    )
    assert owner.told(run(link, launch)) == {"stdout_tail": "public", "paths": []}


def broken(
    place: Place, link: WorkerLink, owner: Owner, wanted: InputFile, body: bytes, unpack: bool
) -> JournalRecord:
    """Run a job on a body that is not what the launch says."""
    item = stage_item(body)
    link.stage([item])
    wanted = dataclasses.replace(wanted, sha256=item.sha256, size_bytes=len(body), unpack=unpack)
    place.submission += 1
    record = run(link, owner.script(place.attempt(), "echo ran", inputs=(wanted,)))
    assert link.missing([item.sha256]) == {item.sha256}, "it is dropped from the cache"
    assert record.outputs == ()
    assert owner.told(record) == {}
    assert left_in_memory(place) == ""
    assert of_attempt(place, record.attempt) == ["./notes"]
    mine = [one.event for one in all_records(link) if one.attempt == record.attempt]
    assert mine == ["accepted", "done"], "it has not started"
    return record


@pytest.mark.parametrize("unpack", [False, True])
def test_broken_bodies_are_refused_before_the_job_starts(place: Place, unpack: bool) -> None:
    link, owner = place.open(), Owner()
    content = tar_of({"a": os.urandom(200_000)})
    wanted, body = owner.seal(content, "in/a")
    parts = [body[start : start + SEALED_BYTES] for start in range(0, len(body), SEALED_BYTES)]
    _, other = owner.seal(content, "in/a")
    _, sibling = owner.seal(content, "in/a", wanted.key)
    spliced = body[:SEALED_BYTES] + sibling[SEALED_BYTES:]
    changed = body[:70_000] + bytes([body[70_000] ^ 1]) + body[70_001:]
    missing = "input in/a: bytes are missing, or too many"
    mixed = "input in/a: bytes are missing, too many, or in another order"
    wrong = "input in/a: bytes were changed, or sealed with another key"
    resealed, _ = owner.seal(content, "in/a")
    for bad, message in [
        (body[:-1], missing),
        (body[:-SEALED_BYTES], missing),
        (b"".join(parts[:-1]), missing),
        (body + b"\0", missing),
        (changed, wrong),
        (b"".join([parts[1], parts[0], *parts[2:]]), mixed),
        (spliced, mixed),
        (sibling, mixed),
        (other, wrong),
    ]:
        record = broken(place, link, owner, wanted, bad, unpack)
        assert (record.cause, record.message) == (Cause.STAGE_IN, message)
    record = broken(place, link, owner, dataclasses.replace(wanted, key=resealed.key), body, unpack)
    assert (record.cause, record.message) == (Cause.STAGE_IN, wrong)
    record = broken(
        place,
        link,
        owner,
        dataclasses.replace(wanted, tags_sha256=resealed.tags_sha256),
        body,
        unpack,
    )
    assert (record.cause, record.message) == (Cause.STAGE_IN, mixed)
    record = broken(
        place, link, owner, dataclasses.replace(wanted, plain_bytes=len(content) + 1), body, unpack
    )
    assert (record.cause, record.message) == (Cause.STAGE_IN, missing)


def test_launches_that_protect_nothing_are_refused(place: Place) -> None:
    link, owner = place.open(), Owner()
    wanted, _ = owner.seal(b"x", "in/a")
    attempt = place.attempt()

    def refused(message: str, **more: object) -> None:
        launch = dataclasses.replace(script(attempt, "true"), **more)  # type: ignore[arg-type]
        with pytest.raises(MedgridError) as caught:
            link.launch([launch])
        assert caught.value.message.endswith(message)

    refused("attempt 1.1.1 has keys, and nobody to seal its results to", inputs=(wanted,))
    for none in (b"short", bytes(32), bytes(33)):
        refused("attempt 1.1.1: what to seal its results to is no key", seal_to=none)
    refused(
        "attempt 1.1.1: the key of an input is none",
        seal_to=owner.public,
        inputs=(dataclasses.replace(wanted, key=b"short"),),
    )
    refused(
        "attempt 1.1.1: an input with a key lacks its digest",
        seal_to=owner.public,
        inputs=(dataclasses.replace(wanted, tags_sha256=None),),
    )
    assert all_records(link) == []


def test_messages_quote_nothing_the_job_wrote(place: Place) -> None:
    link, owner = place.open(), Owner()

    def outcome(number: int, text: str, glob: str = "*.txt") -> tuple[str, str | None]:
        pattern = OutputPattern("o", glob)
        record = run(link, owner.script(place.attempt(number), text, outputs=(pattern,)))
        assert record.cause is Cause.MISSING_OUTPUT
        return record.message, owner.told(record).get("message")

    assert outcome(1, "true") == ("output o: no file matches '*.txt'", None)
    assert outcome(2, "touch JANE.txt DOE.txt") == (
        "output o: 2 files match '*.txt', expected one",
        None,
    )
    assert outcome(3, "ln -s /etc/passwd JANE.txt") == (
        "output o: a file leads out of the job's directory",
        "output o: 'JANE.txt' leads out of the job's directory",
    )
    assert outcome(4, "mkfifo JANE.txt") == (
        "output o: a file is not a regular file",
        "output o: 'JANE.txt' is not a regular file",
    )
    assert outcome(5, "true", "../../*/notes") == (
        "output o: '../../*/notes' leads out of the job's directory",
        None,
    )
    content = tar_of({"../JANE": b"x"})
    wanted = owner.give(link, content, "series", unpack=True)
    record = run(link, owner.script(place.attempt(6), "true", inputs=(wanted,)))
    assert (record.cause, record.message) == (
        Cause.STAGE_IN,
        "a tar member leads out of the job's directory",
    )
    assert owner.told(record) == {"message": "path '../JANE' leads out of the job's directory"}
    wanted = owner.give(link, b"JANE" * 200, "series", unpack=True)
    record = run(link, owner.script(place.attempt(7), "true", inputs=(wanted,)))
    assert (record.cause, record.message) == (Cause.STAGE_IN, "input series is not a tar")


def test_failures_of_protected_jobs_have_causes(place: Place) -> None:
    link, owner = place.open(), Owner()
    exits = run(link, owner.script(place.attempt(1), "echo JANE >&2; exit 3"))
    assert (exits.cause, exits.exit_code, exits.message) == (Cause.EXIT, 3, "exit code 3")
    assert owner.told(exits) == {"stderr_tail": "JANE\n"}
    slow = owner.script(place.attempt(2), "echo JANE; sleep 60", limits=Limits(walltime_s=0.3))
    record = run(link, slow)
    assert (record.cause, owner.told(record)) == (Cause.WALLTIME, {"stdout_tail": "JANE\n"})
    greedy = owner.script(
        place.attempt(3),
        "head -c 30000000 /dev/zero > big; sleep 60",
        limits=Limits(disk_bytes=10 << 20),
    )
    record = run(link, greedy)
    assert (record.cause, record.message) == (Cause.DISK, "wrote 28.61 MiB, limit 10 MiB")


def _is_said(link: WorkerLink, attempt: AttemptId, stream: str, said: bytes) -> bool:
    return link.peek(attempt, stream, 0, 100) == (said, False)


def test_peek_follows_a_protected_job(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = owner.script(place.attempt(), f"echo one; echo bad >&2; {place.held}echo two")
    link.launch([launch])
    for stream, said in (("stdout", b"one\n"), ("stderr", b"bad\n")):
        wait_for(partial(_is_said, link, launch.attempt, stream, said), f"a word on {stream}")
    place.let_go()
    record = follow_until(link, [launch.attempt])[launch.attempt]
    assert owner.told(record)["stdout_tail"] == "one\ntwo\n"
    assert link.peek(launch.attempt, "stdout", 0, 100) == (b"", True)


def test_a_protected_job_cannot_leave_a_core(place: Place) -> None:
    link, owner = place.open(), Owner()
    record = run(
        link, owner.script(place.attempt(), "grep 'core file' /proc/self/limits; ulimit -c")
    )
    words = owner.told(record)["stdout_tail"].split()
    assert words[4:6] == ["1", "1"] or words[4:6] == ["0", "0"]
    assert words[-1] == "0"


def test_what_a_job_made_unwritable_is_deleted_all_the_same(place: Place) -> None:
    link, owner = place.open(), Owner()
    text = "mkdir -p a/b; echo JANE > a/b/c; chmod 000 a/b a; chmod 500 ."
    assert run(link, owner.script(place.attempt(), text)).cause is Cause.OK
    assert left_in_memory(place) == ""


def test_nobody_else_may_look_at_a_protected_job(place: Place) -> None:
    link, owner = place.open(), Owner()
    launch = owner.script(place.attempt(), f"echo x > out; pwd; {place.held}")
    link.launch([launch])
    follow_until(link, [launch.attempt], "started")
    private = place.shell(f"readlink {place.root}/attempts/{launch.attempt}/private").strip()
    assert place.shell(f"stat -c '%a %F' {private}") == "700 directory\n"
    assert place.shell(f"find {private} {place.root} -perm /077 ! -type l").split() == []
    place.let_go()
    follow_until(link, [launch.attempt])
