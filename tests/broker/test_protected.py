"""Jobs on encrypted inputs: what they need is lent to them, and their results are encrypted."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from medgrid.actions.broker import run_broker
from medgrid.catalog.objects import ObjectStore, Registration
from medgrid.errors import Unreachable
from medgrid.model import Cause, DataClass, JobState
from tests.lab.field import Field

IMAGE = DataClass.IMAGE
COPY = 'ran "$1"; cp "$1" copy.txt\n'


def stored(field: Field) -> bytes:
    """All that the storage element holds."""
    storage = field.prompt.home / "storage"
    return b"".join(path.read_bytes() for path in storage.rglob("*") if path.is_file())


def test_inputs_are_opened_and_outputs_encrypted_for_the_owner(
    field: Field, tmp_path: Path
) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("apricot", "banana", data_class=IMAGE))
    assert field.lent() == {1: [1, 2]}
    field.once()
    jobs = field.jobs("1")
    assert [(job.state, job.cause) for job in jobs] == [(JobState.DONE, Cause.OK)] * 2
    assert field.runs == ["apricot", "banana"]
    assert field.lent() == {}
    assert b"apricot" not in stored(field)
    field.prompt.ok("fetch", "1", "--dir", tmp_path / "out")
    assert sorted(path.read_text() for path in (tmp_path / "out").rglob("copy*")) == [
        "apricot\n",
        "banana\n",
    ]


def test_nothing_is_lent_any_more_to_jobs_that_failed(field: Field) -> None:
    field.algorithm("bad", "exit 3\n")
    field.submit("bad", *field.put("a", data_class=IMAGE))
    field.once()
    assert field.job().reason == "exit code 3"
    assert field.lent() == {}


def test_nothing_is_lent_any_more_to_jobs_that_were_given_up(field: Field) -> None:
    field.algorithm(
        "nowhere",
        "true\n",
        custom={"environment": {"kind": "host", "programs": ["no-such-program"]}},
    )
    field.env["MEDGRID_MAX_ATTEMPTS"] = "1"
    field.submit("nowhere", *field.put("a", data_class=IMAGE))
    field.once()
    assert field.job().state is JobState.ABORTED
    assert field.lent() == {}


def test_a_job_whose_lent_key_is_damaged_ends_and_the_others_run(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a", "b", "c", data_class=IMAGE))
    with closing(sqlite3.connect(field.prompt.home / "keystore.db")) as store:
        store.execute(
            "UPDATE delegation_box SET box = (SELECT box FROM delegation_box WHERE number = 1) "
            "WHERE number = 2"
        )
        store.commit()
    field.once()
    jobs = field.jobs("1")
    assert [(job.state, job.reason) for job in jobs] == [
        (JobState.DONE, "done"),
        (JobState.ABORTED, "the keys lent for submission 1 are damaged or exchanged"),
        (JobState.DONE, "done"),
    ]
    assert sorted(field.runs) == ["a", "c"]
    assert field.lent() == {}


def test_keys_of_jobs_that_start_together_are_asked_for_at_once(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a", "b", data_class=IMAGE))
    field.once()
    with field.grid() as grid:
        records = grid.vault.store.audit.records(who="broker")
        assert [(one.thing, one.detail) for one in records if one.verb == "borrow"] == [
            ("1", "2 keys")
        ]


def test_cancelled_jobs_lose_what_was_lent_though_no_broker_runs(field: Field) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a", "b", "c", data_class=IMAGE))
    field.submit("copy", *field.put("d", data_class=IMAGE))
    field.prompt.ok("cancel", "1.2")
    assert field.lent() == {1: [1, 3], 2: [1]}
    field.prompt.ok("cancel", "1.1", "1.3")
    assert field.lent() == {2: [1]}
    field.once()
    assert field.lent() == {}
    assert field.runs == ["d"]


def test_running_jobs_that_are_cancelled_lose_what_was_lent(field: Field) -> None:
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    field.algorithm("slow", "sleep 60\n")
    field.submit("slow", *field.put("a", data_class=IMAGE))
    field.wait_for(lambda jobs: jobs[0].state is JobState.RUNNING)
    field.prompt.ok("cancel", "1")
    field.wait_for(lambda jobs: jobs[0].state is JobState.CANCELLED)
    field.prompt("broker", "stop")
    assert field.lent() == {}


def test_a_catalog_that_fails_after_the_keys_are_kept_is_told_again(
    field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field.algorithm("copy", COPY, outputs=["copy.txt"])
    field.submit("copy", *field.put("a", "b", data_class=IMAGE))
    failed: list[int] = []
    register = ObjectStore.register

    def fail_once(self: ObjectStore, new: Sequence[Registration]) -> object:
        if not failed:
            failed.append(len(new))
            raise Unreachable("the catalog is away")
        return register(self, new)

    with monkeypatch.context() as patch, field.grid() as grid:
        patch.setattr(ObjectStore, "register", fail_once)
        run_broker(grid, until_stuck=True)
    assert failed
    jobs = field.jobs("1")
    assert [(job.state, job.cause, job.attempt) for job in jobs] == [
        (JobState.DONE, Cause.OK, 1)
    ] * 2
    assert field.runs == ["a", "b"]
    field.prompt.ok("fetch", "1", "--dir", tmp_path / "out")
    assert sorted(path.read_text() for path in (tmp_path / "out").rglob("copy*")) == ["a\n", "b\n"]
