"""An upgrade that is killed, or whose disk fails, at any call: the old database or the new one."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from medgrid.database import DatabaseFull
from medgrid.database.version import Schema
from tests.database.kinds import CATALOG_KIND, KINDS, Kind
from tests.database.test_upgrade import REBUILD
from tests.lab.disks import small_disk
from tests.lab.prompt import ROOT
from tests.lab.shim import Shim, why_no_shim
from tests.lanes import Sample

both_kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
needs_shim = pytest.mark.skipif(why_no_shim() is not None, reason=str(why_no_shim()))


def state_of(path: Path) -> list[str]:
    """All of a database, as lines of SQL in an order that says nothing; it is whole."""
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        lines = "\n".join(file.iterdump()).splitlines()
        return sorted(line.strip().rstrip(",") for line in lines)


@dataclass(frozen=True)
class Trials:
    """Upgrades of copies of one database in processes of their own."""

    kind: Kind
    schema: Schema
    folder: Path
    old: list[str]
    new: list[str]

    @classmethod
    def of(cls, kind: Kind, folder: Path) -> Trials:
        kind.older(f"sqlite:///{folder / 'before.db'}")
        schema = kind.later(folder, REBUILD[kind.name])
        shutil.copy(folder / "before.db", folder / "after.db")
        kind.upgrade(f"sqlite:///{folder / 'after.db'}", schema)
        old, new = state_of(folder / "before.db"), state_of(folder / "after.db")
        return cls(kind, schema, folder, old, new)

    def run(self, error: int, *numbers: int) -> list[dict[str, int]]:
        """Let the call of each number fail with `error`, or kill the process if it is 0."""
        shim = Shim(self.folder / "control")
        ran = subprocess.run(
            [
                *(sys.executable, "-B", "-m", "tests.database.interrupted", "upgrade"),
                *(self.kind.name, str(self.folder), str(self.folder / "control"), str(error)),
                *map(str, numbers),
            ],
            env={**os.environ, **shim.env, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stderr == ""
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def calls(self) -> int:
        """How many calls change something in an upgrade that nothing disturbs."""
        (line,) = self.run(0, 1_000_000)
        assert line["status"] == 0
        return line["calls"]

    def files(self, number: int) -> set[str]:
        return {path.name for path in (self.folder / f"call-{number}").iterdir()} - {"error"}

    def finish(self, number: int) -> None:
        """Upgrade again what call `number` interrupted."""
        path = self.folder / f"call-{number}" / "made.db"
        self.kind.upgrade(f"sqlite:///{path}", self.schema)
        assert state_of(path) == self.new
        assert self.files(number) == {"made.db", "made.db.schema-0001"}
        backup = path.with_name("made.db.schema-0001")
        assert backup.stat().st_mode & 0o777 == 0o600
        assert state_of(backup) == self.old


@needs_shim
@both_kinds
def test_killed_at_any_call_it_is_the_old_one_or_the_new_one(
    kind: Kind, tmp_path: Path, sample: Sample
) -> None:
    trials = Trials.of(kind, tmp_path)
    last = trials.calls()
    numbers = sorted({1, last, *sample(range(1, last + 1), 3)})
    seen = set()
    for line in trials.run(0, *numbers):
        number = line["call"]
        assert line["status"] == -9
        found = state_of(tmp_path / f"call-{number}" / "made.db")
        assert found in (trials.old, trials.new)
        seen.add(found == trials.new)
        if found == trials.new:
            assert "made.db.schema-0001" in trials.files(number)
        trials.finish(number)
    assert seen == {False, True}


@needs_shim
@both_kinds
def test_a_call_that_fails_leaves_the_old_one(kind: Kind, tmp_path: Path, sample: Sample) -> None:
    trials = Trials.of(kind, tmp_path)
    numbers = sample(range(1, trials.calls() + 1), 4)
    for line in trials.run(errno.ENOSPC, *numbers):
        number = line["call"]
        assert line["status"] != 1
        found = state_of(tmp_path / f"call-{number}" / "made.db")
        assert found == (trials.new if line["status"] == 0 else trials.old)
        trials.finish(number)


# -- a disk that is full ---------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that gets full")
@pytest.mark.parametrize(
    "size_bytes",
    [pytest.param(2_400_000, id="the-copy"), pytest.param(1_500_000, id="the-change")],
)
def test_a_full_disk_changes_nothing(size_bytes: int, tmp_path: Path) -> None:
    """Of 4 MB; the change needs the room of the table that is made anew in the log as well."""
    path = tmp_path / "disk" / "catalog.db"
    url = f"sqlite:///{path}"
    later = CATALOG_KIND.later(tmp_path, REBUILD["catalog"])
    with small_disk(path.parent):
        CATALOG_KIND.newest(url)
        with closing(sqlite3.connect(path)) as file:
            file.execute(
                "UPDATE object SET attributes = json_object('x', hex(zeroblob(?)))",
                (size_bytes // 6,),  # three rows, two digits for each byte
            )
            file.commit()
        before, files = state_of(path), _files(path.parent)
        with pytest.raises(DatabaseFull) as caught:
            CATALOG_KIND.upgrade(url, later)
        assert caught.value.hint == "free some space; nothing was changed"
        assert state_of(path) == before
        assert _files(path.parent) == files


def _files(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} - {"catalog.db-wal", "catalog.db-shm"}
