"""``medgrid fsck --repair --min-age 0``, again and again, on a grid in which all else goes on."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from medgrid.actions.fsck import Finding, Orders, check_grid
from medgrid.actions.lfn import remove
from medgrid.actions.replica import add_replica, remove_replica
from medgrid.errors import MedgridError
from medgrid.model import LFN, StorageElement
from tests.lab.field import Field
from tests.lab.niftis import write_nifti
from tests.lab.waiting import PATIENCE_S

ROUNDS = 20
INPUTS = [f"/t/in{number}" for number in range(1, 13)]
GIVEN_UP = (
    "an upload to",  # the reservation is gone
    "is being deleted",
    ": it is not there",  # its temporary file was taken for one that was left
)
"""What a command may say whose upload was taken for one that was given up: `--min-age 0`."""


class Traffic:
    """Users and a broker at work; each errand again and again, in a thread of its own."""

    def __init__(self, field: Field, folder: Path) -> None:
        self.field = field
        self.folder = folder
        self.stop = threading.Event()
        self.kept: set[str] = set()  # LFNs that must be there in the end
        self.given_up: list[str] = []
        self.errors: list[BaseException] = []
        self.turns: dict[str, int] = {}
        errands = (self.imports, self.registers, self.jobs, self.comes_and_goes, self.copies)
        self._threads = [threading.Thread(target=self._repeat, args=(one,)) for one in errands]

    def _repeat(self, errand: Callable[[int], None]) -> None:
        try:
            for turn in itertools.count():
                if self.stop.is_set():
                    return
                errand(turn)
                self.turns[errand.__name__] = turn + 1
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _say(self, *words: str | Path) -> bool:
        """Run a command that writes; False when its upload was given up."""
        ran = self.field.prompt(*words)
        if ran.code == 0:
            self.kept.update(line for line in ran.lines if line.startswith("/"))
            return True
        self._forgive(ran.err)
        return False

    def _forgive(self, text: str) -> None:
        assert any(one in text for one in GIVEN_UP), text
        self.given_up.append(text)

    def imports(self, turn: int) -> None:
        file = write_nifti(self.folder / f"v{turn}.nii", seed=turn)
        self._say("import", file, "--to", "/img", "--keep-names")

    def registers(self, turn: int) -> None:
        file = self.folder / f"note{turn}.txt"
        file.write_text(f"note {turn}\n")
        if self._say("register", file, "--to", f"/notes/{turn}"):
            self._say("replica", "add", f"/notes/{turn}", "--se", "second")

    def jobs(self, turn: int) -> None:
        """Results of jobs, which are reserved nowhere."""
        del turn
        (first, *_) = self.field.submit("copy", *INPUTS)
        number = first.split(".")[0]
        self.field.prompt("status", number, "--wait", timeout_s=PATIENCE_S)
        ran = self.field.prompt("register", number, "--to", "/results")
        assert ran.code == 0, ran.err
        self.kept.update(ran.lines)

    def comes_and_goes(self, turn: int) -> None:
        try:
            (lfn,) = self.field.put(f"brief{turn}")
            with self.field.grid() as grid:
                add_replica(grid, LFN(lfn), "second")
                assert remove(grid, [LFN(lfn)]) == []
        except MedgridError as error:
            self._forgive(error.message)

    def copies(self, turn: int) -> None:
        """The same physical file goes and comes."""
        del turn
        with self.field.grid() as grid:
            try:
                add_replica(grid, LFN("/t/in1"), "second")
                remove_replica(grid, LFN("/t/in1"), "second", force=False)
            except MedgridError as error:
                self._forgive(error.message)


@pytest.mark.slow
def test_nothing_that_is_needed_goes_and_nothing_false_stays(field: Field, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    field.se(StorageElement("second", f"file:{tmp_path / 'second'}", "there"))
    field.algorithm("copy", 'cat "$1" > copy.txt\n', outputs=["copy.txt"])
    field.put(*(one.rpartition("/")[2] for one in INPUTS))
    field.env["MEDGRID_BROKER_AUTOSTART"] = "1"
    found: list[Finding] = []
    rounds = 0
    with Traffic(field, tmp_path) as traffic, field.grid() as grid:
        while not traffic.errors and (rounds < ROUNDS or len(traffic.turns) < 5):
            orders = Orders(deep=rounds % 2 == 0, mend=True, min_age_s=0.0)
            report = check_grid(grid, [], found.append, orders)
            assert report.failures == []
            rounds += 1
    assert traffic.errors == []
    assert [one for one in found if not one.kind.is_harmless] == []
    assert all(one.mended for one in found), found
    field.prompt("broker", "stop")
    field.prompt.ok("fsck", "--repair", "--min-age", "0")
    assert field.prompt.ok("fsck", "--deep", "--min-age", "0").out == ""
    known = sorted(traffic.kept)
    assert known
    field.prompt.ok("fetch", "-", "--dir", tmp_path / "out", stdin="\n".join(known) + "\n")
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == len(known)
