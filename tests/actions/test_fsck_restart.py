"""A deep check that is interrupted, and the next one."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path
from typing import Any, cast

import pytest

from medgrid.actions.checkpoint import Checkpoint
from medgrid.actions.fsck import Orders, check_grid
from medgrid.model import Replica, Sha256, StorageElement
from medgrid.storage.base import Storage
from tests.lab.datagrid import DataGrid

COUNT = 6
DEEP = Orders(deep=True)
WARNING = (
    "medgrid: warning: near: {} of 6 replicas are not read again: a check that began 0 min ago and "
    "was interrupted found them good (--restart reads all)\n"
)


class Ending:
    """A storage element at which this process, or its check, ends before a reading."""

    def __init__(self, storage: Storage, at: int, end: Any) -> None:
        self._storage = storage
        self._left = at
        self._end = end

    def __getattr__(self, name: str) -> Any:
        if name == "digest":
            self._left -= 1
            if self._left < 0:
                self._end()
        return getattr(self._storage, name)


def checkpoint(data: DataGrid) -> Path:
    return data.home / "fsck" / "near.log"


def interrupt(data: DataGrid, after: int, end: Any) -> None:
    with data.grid() as grid:
        grid._storages["near"] = cast(Storage, Ending(grid.storage("near"), after, end))
        check_grid(grid, ["near"], lambda _: None, DEEP)


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def six(data: DataGrid) -> DataGrid:
    for number in range(COUNT):
        data.put(f"/{number}", b"content")
    return data


def files(data: DataGrid) -> list[Path]:
    """Files of the replicas, in the order in which they are read."""
    with data.grid() as grid:
        return [data.root("near") / one.pfn for one in grid.catalog.objects.replicas_on("near")]


def damage(path: Path) -> None:
    path.write_bytes(b"CONTENT")


def test_it_goes_on_after_ctrl_c(six: DataGrid) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(six, 4, raise_interrupt)
    read = files(six)
    damage(read[0])  # it was read; nobody looks again
    damage(read[5])
    ran = six.run("fsck", "near", "--deep")
    assert [row[:2] for row in ran.rows] == [["CORRUPT", "near"]]
    assert ran.rows[0][3] == str(read[5].relative_to(six.root("near")))
    assert ran.err == (
        WARNING.format(4) + "medgrid: error: data are at risk: 1 bad of 6 replicas\n"
        "medgrid: hint: 'medgrid fsck --repair' mends what has a good replica\n"
    )
    # it came to its end: the next reads all
    assert not checkpoint(six).exists()
    assert len(six.run("fsck", "near", "--deep").rows) == 2


def test_it_goes_on_after_kill_9(six: DataGrid) -> None:
    child = os.fork()
    if not child:
        interrupt(six, 4, kill_self)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    taken = len(checkpoint(six).read_text().splitlines()) - 1
    assert 1 <= taken <= 4
    read = files(six)
    damage(read[0])
    ran = six.run("fsck", "near", "--deep")
    assert (ran.code, ran.out, ran.err) == (0, "", WARNING.format(taken))


def test_restart_reads_all(six: DataGrid) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(six, 4, raise_interrupt)
    damage(files(six)[0])
    ran = six.run("fsck", "near", "--deep", "--restart")
    assert (ran.code, len(ran.rows), "not read again" in ran.err) == (6, 1, False)


def test_what_was_bad_is_read_again(six: DataGrid) -> None:
    damage(files(six)[0])
    with pytest.raises(KeyboardInterrupt):
        interrupt(six, 4, raise_interrupt)
    ran = six.run("fsck", "near", "--deep")
    assert [row[:2] for row in ran.rows] == [["CORRUPT", "near"]]
    assert ran.err.startswith(WARNING.format(3))


def test_what_was_made_again_is_read_again(six: DataGrid) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt(six, 4, raise_interrupt)
    first = files(six)[0]
    (lfn,) = [f"/{number}" for number in range(COUNT) if six.file_of(f"/{number}") == first]
    six.ok("replica", "add", lfn, "--se", "far")
    six.ok("replica", "rm", lfn, "--se", "near")
    six.ok("replica", "add", lfn, "--se", "near")
    damage(first)
    ran = six.run("fsck", "near", "--deep")
    assert [row[:3] for row in ran.rows] == [["CORRUPT", "near", lfn]]
    assert ran.err.startswith(WARNING.format(3))


def element(url: str = "file:/data") -> StorageElement:
    return StorageElement("near", url, "here")


REPLICA = Replica(cast(Any, "00"), "near", "00/00/00", 1, Sha256("0" * 64), 5.25)


def test_a_checkpoint_is_of_one_place_and_not_for_ever(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, element(), "g", restart=False) as mine:
        mine.add(REPLICA)
    log = tmp_path / "near.log"
    kept = log.read_text()
    for grid_id, url, age_s in (("g", "file:/other", 0.0), ("h", "file:/data", 0.0)):
        log.write_text(kept)
        with Checkpoint(tmp_path, element(url), grid_id, restart=False) as other:
            assert (other.has(REPLICA), other.oldest_s) == (False, None), (grid_id, url, age_s)
    log.write_text(kept.replace('"began_s": ', '"began_s": 0'))
    with Checkpoint(tmp_path, element(), "g", restart=False) as damaged_one:
        assert not damaged_one.has(REPLICA)
    log.write_text(re.sub(r'"began_s": [0-9.]+', '"began_s": 1.0', kept))
    with Checkpoint(tmp_path, element(), "g", restart=False) as old:
        assert old.oldest_s is None


def test_a_torn_line_is_nothing_and_two_checks_do_not_share(tmp_path: Path) -> None:
    with Checkpoint(tmp_path, element(), "g", restart=False) as first:
        first.add(REPLICA)
        with Checkpoint(tmp_path, element(), "g", restart=True) as second:
            assert not second.has(REPLICA)
            second.end()
    log = tmp_path / "near.log"
    log.write_text(log.read_text() + "00/00/01 5.2")
    before_s = time.time()
    with Checkpoint(tmp_path, element(), "g", restart=False) as again:
        assert again.has(REPLICA)
        assert not again.has(Replica(REPLICA.object_id, "near", "00/00/01", 1, REPLICA.sha256, 5.2))
        assert again.oldest_s is not None
        assert again.oldest_s <= time.time() - before_s + 60
        again.end()
    assert not log.exists()
