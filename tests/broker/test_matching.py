"""Which worker a job goes to: who is out and why, least bytes to move, least load."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from medgrid.actions.broker import run_broker
from medgrid.broker import assigning
from medgrid.broker.matching import Candidate, Need, need_of, objection, rank
from medgrid.broker.messages import Inbox
from medgrid.broker.shares import Shares
from medgrid.broker.station import LiveAttempt, Station
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.model import (
    Cause,
    GridObject,
    JobId,
    JobState,
    ObjectId,
    ObjectKind,
    Priority,
    Replica,
    Sha256,
    SiteClass,
    StorageElement,
    Worker,
)
from tests.lab.field import Field

NEED = Need(frozenset(), None, 1, container=False)
W1 = Worker("w1", "ssh://h1", "siteA", slots=4, tags=frozenset({"mpi"}), memory_bytes=2**30)
A = GridObject(ObjectId("a" * 32), None, ObjectKind.FILE, "a", 1000, Sha256("a" * 64))
B = GridObject(ObjectId("b" * 32), None, ObjectKind.FILE, "b", 10, Sha256("b" * 64))
SE_SITES = {"seA": "siteA", "seB": "siteB"}


def replica(item: GridObject, se: str) -> Replica:
    return Replica(item.id, se, item.id, item.size_bytes, item.sha256)


def candidate(name: str, site: str, **changes: object) -> Candidate:
    found = Candidate(Worker(name, f"ssh://{name}", site, slots=4), SiteClass.COMPUTE)
    for key, value in changes.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    ("need", "found", "expected"),
    [
        (NEED, Candidate(W1, SiteClass.COMPUTE), None),
        (NEED, Candidate(W1, SiteClass.KEYS), None),
        (NEED, Candidate(replace(W1, enabled=False), SiteClass.COMPUTE), "it is disabled"),
        (
            NEED,
            Candidate(W1, SiteClass.STORE),
            "its site siteA is of class store: it may not see plaintext",
        ),
        (
            replace(NEED, tags=frozenset({"mpi", "gpu", "avx"})),
            Candidate(W1, SiteClass.COMPUTE),
            "it lacks the tag avx, gpu",
        ),
        (
            replace(NEED, slots=8),
            Candidate(W1, SiteClass.COMPUTE),
            "the job needs 8 slots, it has 4",
        ),
        (
            replace(NEED, memory_bytes=2**31),
            Candidate(W1, SiteClass.COMPUTE),
            "the job needs 2048 MiB of memory, it has 1024 MiB",
        ),
        (replace(NEED, container=True), Candidate(W1, SiteClass.COMPUTE), None),
        (
            replace(NEED, container=True),
            Candidate(W1, SiteClass.COMPUTE, runtimes=()),
            "it has neither apptainer nor podman",
        ),
        (
            replace(NEED, container=True),
            Candidate(W1, SiteClass.COMPUTE, runtimes=("podman",)),
            None,
        ),
        (
            NEED,
            Candidate(W1, SiteClass.COMPUTE, unfit={"digest": "not on PATH: n4"}),
            "not on PATH: n4",
        ),
    ],
)
def test_why_a_worker_is_out(need: Need, found: Candidate, expected: str | None) -> None:
    assert objection(need, "digest", found) == expected


def test_least_bytes_to_move_then_least_loaded_and_those_that_are_out_last() -> None:
    replicas = {A.id: [replica(A, "seA")], B.id: [replica(B, "seB")]}
    ranked = rank(
        NEED,
        "digest",
        [A, B],
        replicas,
        SE_SITES,
        [
            candidate("far", "siteC"),
            candidate("b", "siteB"),
            candidate("busy", "siteA", used_slots=3),
            candidate("calm", "siteA", used_slots=1),
            candidate("has-a", "siteC", staged={A.sha256}),
            candidate("gone", "siteA", trouble="it does not answer: no route"),
        ],
    )
    assert [(match.worker, match.bytes_to_move) for match in ranked] == [
        ("has-a", 10),
        ("calm", 10),
        ("busy", 10),
        ("b", 1000),
        ("far", 1010),
        ("gone", 10),
    ]
    assert ranked[-1].objection == "it does not answer: no route"


def test_the_queue_ahead_grows_with_short_jobs() -> None:
    found = candidate("w", "siteA")
    assert found.limit_slots == 5
    found.duration_s = 10.0
    assert found.limit_slots == 5
    found.duration_s = 0.01
    assert found.limit_slots == 404
    found.duration_s = 0.0
    assert found.limit_slots == 1028


def test_what_an_algorithm_needs() -> None:
    descriptor = {
        "command-line": "n4 [X]",
        "inputs": [],
        "suggested-resources": {"cpu-cores": 2},
        "custom": {
            "medgrid": {
                "tags": ["gpu"],
                "limits": {"memory_bytes": 5},
                "environment": {"kind": "container", "image": "docker://x"},
            }
        },
    }
    assert need_of(descriptor) == Need(frozenset({"gpu"}), 5, 2, container=True)


def test_jobs_go_to_the_site_that_has_their_input(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigning, "_SETTLE_S", 60.0)  # a busy machine starts an agent in seconds
    field.without_local()
    for letter in "AB":
        (tmp_path / f"se{letter}").mkdir()
        url = (tmp_path / f"se{letter}").as_uri()
        field.se(StorageElement(f"se{letter}", url, f"site{letter}"))
        field.worker(Worker(f"w{letter}", "local:", f"site{letter}", slots=2))
    field.algorithm("copy", 'ran "$1"; cp "$1" copy.txt\n', outputs=["copy.txt"])
    at_a = field.put("a1", "a2", se="seA")
    at_b = field.put("b1", "b2", se="seB")
    ranked = field.prompt.ok("list-match", "copy", *at_b)
    assert [row[:4] for row in ranked.rows] == [
        ["1", "wB", "siteB", "0"],
        ["2", "wA", "siteA", "6"],
    ]
    field.submit("copy", at_b[0], at_a[0], at_b[1], at_a[1])
    with field.grid() as grid:
        run_broker(grid, until_stuck=True)
    jobs = field.jobs("1")
    assert [job.worker for job in jobs] == ["wB", "wA", "wB", "wA"]
    assert {job.cause for job in jobs} == {Cause.OK}
    assert {output.filename for job in jobs for output in job.outputs} == {"copy.txt"}


def test_each_of_several_outputs_comes_from_its_own_input(field: Field) -> None:
    field.algorithm(
        "each",
        'mkdir out; n=0; for f in "$@"; do n=$((n+1)); cp "$f" out/m$n.json; done\n',
        outputs=["out/*.json"],
        is_list=True,
        custom={"per_input": {"out": "file"}},
    )
    names = [f"f{number}" for number in range(1, 13)]
    field.submit("each", *field.put(*names), "--per-job", "12")
    field.once()
    job = field.job()
    assert (job.state, job.cause) == (JobState.DONE, Cause.OK), job.reason
    assert [output.filename for output in job.outputs] == [f"m{n}.json" for n in range(1, 13)]
    with field.grid() as grid:
        made = grid.catalog.provenance.made_by_many([one.object_id for one in job.outputs])
    for output, source in zip(job.outputs, job.inputs["file"], strict=True):
        assert made[output.object_id].inputs_of(output.object_id) == {"file": [source]}


@pytest.mark.parametrize("answers", [True, False])
def test_a_trial_goes_well_only_while_the_worker_answers(answers: bool) -> None:
    station = Station(candidate("w1", "siteA"), Shares({}, 0.0))
    station.breaker.health = WorkerHealth(3, 1, 0.0, 1.0, "lost: gone")
    station.refresh()
    live = LiveAttempt(
        JobId(1, 1), 1, 1, Sha256("1" * 64), 0, 0, "ann", Priority.NORMAL, since_s=0.0
    )
    station.place("1.1.1", live)
    station.runs("1.1.1")
    station.inbox = Inbox() if answers else None
    station.refresh()
    assert station.breaker.health.outages == 1  # it has not run for long
    live.runs_since_s = time.monotonic() - 60
    station.refresh()
    assert station.breaker.health.outages == (0 if answers else 1)


def test_short_jobs_do_not_let_long_ones_queue() -> None:
    station = Station(candidate("w1", "siteA"), Shares({}, 0.0))
    short, long = Sha256("5" * 64), Sha256("1" * 64)

    def place(number: int, algorithm: Sha256) -> str:
        live = LiveAttempt(
            JobId(1, number), 1, 1, algorithm, 0, 0, "ann", Priority.NORMAL, since_s=0.0
        )
        station.place(f"1.{number}.1", live)
        return f"1.{number}.1"

    def end(attempt: str, duration_s: float) -> None:
        station.succeeded(attempt, duration_s)
        station.drop(attempt)

    for number in range(1, 4):
        assert station.candidate.limit_slots == (5 if number == 1 else 404)
        end(place(number, short), 0.01)
    first, other = place(4, long), place(5, short)
    assert station.candidate.limit_slots == 5  # nobody knows how long it takes
    end(first, 600.0)
    assert station.candidate.limit_slots == 404
    first = place(6, long)
    assert station.candidate.limit_slots == 5
    end(other, 0.01)
    assert station.candidate.limit_slots == 5
    end(first, 600.0)
    place(7, short)
    assert station.candidate.limit_slots == 404
