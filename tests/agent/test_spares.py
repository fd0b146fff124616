"""Directories used again: nothing of the job before is there, and nothing outside is touched."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.agent.layout import Layout
from medgrid.agent.notes import NOTES, Notes, read_notes
from medgrid.agent.spares import Spares, refit

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
def old(tmp_path: Path) -> Path:
    """The directory of an attempt that ended."""
    directory = tmp_path / "old"
    for name in ("work/in/file", "work/out/deep", "tmp"):
        (directory / name).mkdir(parents=True)
    for name in ("work/in/file/a.nii", "work/out/deep/b", "work/.hidden", "tmp/c", "stdout"):
        (directory / name).write_text("of the job before")
    notes = Notes(str(directory))
    notes.add(keeper={"pid": 1})
    notes.add(result={"cause": "ok"})
    notes.close()
    return directory


def names(directory: str) -> list[str]:
    return [path.name for path in Path(directory).iterdir()]


def found(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def test_only_what_is_needed_stays_and_it_is_empty(old: Path) -> None:
    inodes = {name: (old / name).stat().st_ino for name in ("work", "work/in/file", "tmp", NOTES)}
    notes = refit(str(old), FOLDERS, NEEDED)
    assert found(old) == {"work", "work/in", "work/in/file", "tmp", NOTES}
    assert inodes == {name: (old / name).stat().st_ino for name in inodes}
    notes.add(keeper={"pid": 2})
    assert read_notes(str(old)) == {"keeper": {"pid": 2}}


def test_input_directories_of_another_job_go(old: Path) -> None:
    refit(str(old), FOLDERS, ("work/in/other", "work/in", "work", "."))
    assert found(old) == {"work", "work/in", "tmp", NOTES}


def test_what_the_job_took_away_is_there_again(old: Path) -> None:
    (old / "work").rename(old / "elsewhere")
    (old / NOTES).unlink()
    (old / NOTES).write_text("of the job")
    refit(str(old), FOLDERS, NEEDED)
    assert found(old) == {"work", "tmp", NOTES}
    assert (old / "work").stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("name", ["work", "work/in", "work/in/file", "tmp"])
def test_links_out_of_it_are_not_followed(old: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (old / name).rename(tmp_path / "taken")
    (old / name).symlink_to(outside)
    refit(str(old), FOLDERS, NEEDED)
    assert (outside / "precious").read_text() == "x"
    assert not (old / name).is_symlink()


@pytest.mark.parametrize("how", [os.link, os.symlink])
def test_notes_that_are_another_file_are_not_written(
    old: Path, tmp_path: Path, how: object
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("x")
    (old / NOTES).unlink()
    assert callable(how)
    how(precious, old / NOTES)
    refit(str(old), FOLDERS, NEEDED).add(keeper={"pid": 2})
    assert precious.read_text() == "x"
    assert read_notes(str(old)) == {"keeper": {"pid": 2}}


@pytest.mark.parametrize("name", ["work", "work/in", "work/in/file", "tmp"])
def test_directories_with_other_rights_are_made_anew_or_not_kept(old: Path, name: str) -> None:
    (old / name).chmod(0o770)
    before = (old / name).stat().st_ino
    refit(str(old), FOLDERS, NEEDED)
    if (old / name).exists():
        assert (old / name).stat().st_mode & 0o7777 == 0o700
        assert name in FOLDERS
        assert (old / name).stat().st_ino != before or not list((old / name).iterdir())
    assert not any(path.is_file() and path.name != NOTES for path in old.rglob("*"))


def test_directories_with_access_lists_are_made_anew(old: Path) -> None:
    entries = ((0x01, 7), (0x04, 7), (0x10, 7), (0x20, 7))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one, 0xFFFFFFFF) for one in entries)
    try:
        os.setxattr(old / "work", "system.posix_acl_default", acl)
    except OSError as exc:
        if exc.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system has no access control lists")
    refit(str(old), FOLDERS, NEEDED)
    assert not [one for one in os.listxattr(old / "work") if "acl" in one]


def test_one_that_the_job_opened_to_others_is_not_used(old: Path) -> None:
    old.chmod(0o755)
    with pytest.raises(PermissionError):
        refit(str(old), FOLDERS, NEEDED)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "agent"))
    made.make()
    return made


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
    assert names(taken) == ["0"]
    assert spares.take() is None


@pytest.mark.parametrize(("files", "size"), [(40, 1), (1, 1 << 20)])
def test_large_ones_are_not(layout: Layout, files: int, size: int) -> None:
    path = attempt(layout, 1, files, size)
    assert not Spares(layout).offer(path)
    assert len(names(path)) == files


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
