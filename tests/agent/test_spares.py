"""Directories used again: nothing of the job before is there, and nothing outside is touched."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from medgrid.agent.claiming import AlreadyClaimed, claim
from medgrid.agent.layout import Layout
from medgrid.agent.notes import NOTES, Notes, read_notes
from medgrid.agent.spares import Spares

FOLDERS = ("work", "tmp")
NEEDED = ("work/in/file", "work/in", "work", ".")


@pytest.fixture(autouse=True)
def _as_the_agent() -> Iterator[None]:
    before = os.umask(0o077)
    here = Path.cwd()
    yield
    os.umask(before)
    os.chdir(here)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "agent"))
    made.make()
    return made


@pytest.fixture
def old(layout: Layout) -> Path:
    """The directory of an attempt that ended."""
    directory = Path(layout.attempt("1.1.1"))
    for name in ("work/in/file", "work/out/deep", "tmp"):
        (directory / name).mkdir(parents=True)
    for name in ("work/in/file/a.nii", "work/out/deep/b", "work/.hidden", "tmp/c", "stdout"):
        (directory / name).write_text("of the job before")
    notes = Notes(str(directory), "1.1.1")
    notes.add(keeper={"pid": 1, "more": "x" * 1000})
    notes.add(result={"cause": "ok"})
    notes.close()
    return directory


def again(layout: Layout, old: Path, needed: Sequence[str] = NEEDED) -> Path:
    """Use an attempt's directory for another one."""
    spares = Spares(layout)
    inode = old.stat().st_ino
    assert spares.offer(str(old))
    assert not old.exists()
    notes = claim(layout, "1.2.1", {"pid": 2}, FOLDERS, spares.take(), needed)
    notes.close()
    new = Path(layout.attempt("1.2.1"))
    assert new.stat().st_ino == inode
    assert read_notes(str(new)) == {"keeper": {"pid": 2}}
    for path in new.rglob("*"):
        assert path.name == NOTES or (path.is_dir() and not path.is_symlink())
        assert path.name == NOTES or path.stat().st_mode & 0o7777 == 0o700
    return new


def found(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_only_what_is_needed_stays_and_it_is_empty(layout: Layout, old: Path) -> None:
    stay = ("work", "work/in/file", "tmp", NOTES)
    inodes = {name: (old / name).stat().st_ino for name in stay}
    new = again(layout, old)
    assert found(new) == {"work", "work/in", "work/in/file", "tmp", NOTES}
    assert inodes == {name: (new / name).stat().st_ino for name in stay}


def test_input_directories_of_another_job_go(layout: Layout, old: Path) -> None:
    new = again(layout, old, ("work/in/other", "work/in", "work", "."))
    assert found(new) == {"work", "work/in", "tmp", NOTES}


def test_what_the_job_took_away_is_there_again(layout: Layout, old: Path) -> None:
    (old / "work").rename(old / "elsewhere")
    (old / NOTES).unlink()
    assert found(again(layout, old)) == {"work", "tmp", NOTES}


@pytest.mark.parametrize("name", ["work", "work/in", "work/in/file", "tmp"])
def test_links_out_of_it_are_not_followed(
    layout: Layout, old: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (old / name).rename(tmp_path / "taken")
    (old / name).symlink_to(outside)
    again(layout, old)
    assert (outside / "precious").read_text() == "x"


@pytest.mark.parametrize("how", ["hardlink_to", "symlink_to"])
def test_notes_that_are_another_file_are_not_written(
    layout: Layout, old: Path, tmp_path: Path, how: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("x")
    (old / NOTES).unlink()
    getattr(old / NOTES, how)(precious)
    again(layout, old)
    assert precious.read_text() == "x"


def test_notes_that_are_a_directory_go(layout: Layout, old: Path) -> None:
    (old / NOTES).unlink()
    (old / NOTES / "deep").mkdir(parents=True)
    again(layout, old)


@pytest.mark.parametrize("name", ["work", "work/in", "work/in/file", "tmp"])
def test_directories_with_other_rights_are_not_kept(layout: Layout, old: Path, name: str) -> None:
    (old / name).chmod(0o770)
    again(layout, old)


def test_directories_with_access_lists_are_not_kept(layout: Layout, old: Path) -> None:
    entries = ((0x01, 7), (0x04, 7), (0x10, 7), (0x20, 7))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one, 0xFFFFFFFF) for one in entries)
    try:
        os.setxattr(old / "work", "system.posix_acl_default", acl)
    except OSError as exc:
        if exc.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no access control lists")
    new = again(layout, old)
    assert not [one for one in os.listxattr(new / "work") if "acl" in one]


def test_one_that_the_job_opened_to_others_is_not_taken(layout: Layout, old: Path) -> None:
    old.chmod(0o755)
    assert not Spares(layout).offer(str(old))
    assert old.exists()


def test_one_that_is_gone_is_made_anew(layout: Layout, old: Path) -> None:
    spares = Spares(layout)
    assert spares.offer(str(old))
    spare = spares.take()
    assert spare is not None
    shutil.rmtree(spare["path"])
    claim(layout, "1.2.1", {"pid": 2}, FOLDERS, spare, NEEDED).close()
    assert found(Path(layout.attempt("1.2.1"))) == {"work", "tmp", NOTES}


def test_one_that_is_not_empty_after_all_is_made_anew(layout: Layout, old: Path) -> None:
    spares = Spares(layout)
    assert spares.offer(str(old))
    spare = spares.take()
    assert spare is not None
    Path(spare["path"], "work/in/file/late").write_text("x")
    claim(layout, "1.2.1", {"pid": 2}, FOLDERS, spare, ()).close()
    assert found(Path(layout.attempt("1.2.1"))) == {"work", "tmp", NOTES}


def test_an_attempt_is_claimed_once(layout: Layout, old: Path) -> None:
    spares = Spares(layout)
    claim(layout, "1.2.1", {"pid": 2}, FOLDERS).close()
    assert spares.offer(str(old))
    with pytest.raises(AlreadyClaimed):
        claim(layout, "1.2.1", {"pid": 3}, FOLDERS, spares.take(), NEEDED)
    assert read_notes(layout.attempt("1.2.1")) == {"keeper": {"pid": 2}}
    assert names(layout.path("run")) == []


def names(directory: str) -> list[str]:
    return [path.name for path in Path(directory).iterdir()]


def attempt(layout: Layout, number: int, files: int = 1, size: int = 1) -> str:
    path = layout.attempt(f"1.{number}.1")
    Path(path).mkdir()
    for one in range(files):
        Path(path, str(one)).write_bytes(bytes(size))
    return path


def test_small_ones_are_taken_over_and_given_once(layout: Layout) -> None:
    spares = Spares(layout)
    assert spares.take() is None
    path = attempt(layout, 1)
    assert spares.offer(path)
    assert not Path(path).exists()
    taken = spares.take()
    assert taken is not None
    assert names(taken["path"]) == []
    assert spares.take() is None


@pytest.mark.parametrize(("files", "size"), [(40, 1), (1, 1 << 20)])
def test_large_ones_are_not(layout: Layout, files: int, size: int) -> None:
    path = attempt(layout, 1, files, size)
    assert not Spares(layout).offer(path)
    assert Path(path).exists()


def test_there_are_never_many(layout: Layout) -> None:
    spares = Spares(layout)
    taken = [spares.offer(attempt(layout, number)) for number in range(1, 600)]
    assert sum(taken) == len(names(layout.spares)) < 599
    assert taken == sorted(taken, reverse=True)
    spares.discard()
    assert names(layout.spares) == []
    assert len(names(layout.trash)) == sum(taken)


def test_those_of_an_earlier_agent_are_deleted(layout: Layout) -> None:
    Spares(layout).offer(attempt(layout, 1))
    assert Spares(layout).take() is None
    assert names(layout.spares) == []


def test_no_more_are_kept_than_a_busy_agent_needs(layout: Layout) -> None:
    spares = Spares(layout)
    offered = [Path(layout.attempt(f"1.{number}.1")) for number in range(1, 514)]
    for path in offered:
        path.mkdir()
    assert [spares.offer(str(path)) for path in offered] == [True] * 512 + [False]
    spares.discard()
    assert spares.take() is None
    assert list(Path(layout.spares).iterdir()) == []
