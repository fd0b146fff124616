"""A packed series is the same bytes for the same files, and unpacks nowhere else."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.errors import IntegrityError
from medgrid.images.pack import (
    Changed,
    FileStamp,
    Member,
    open_unchanged,
    pack,
    packed_size,
    unpack,
)


def member(path: Path) -> Member:
    return Member(str(path), FileStamp.of(path.stat()))


@pytest.fixture
def members(tmp_path: Path) -> list[Member]:
    found = []
    for number, size in enumerate((0, 1, 511, 512, 513, 3_000_000)):
        path = tmp_path / f"Meier Anna {number}"
        path.write_bytes(os.urandom(size))
        found.append(member(path))
    return found


def test_what_is_packed_comes_back(members: list[Member], tmp_path: Path) -> None:
    data = b"".join(pack(members))
    assert len(data) == packed_size([one.stamp.size_bytes for one in members])
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == [f"IM{number:06d}.dcm" for number in range(1, 7)]
        assert {info.mtime for info in tar} == {0}
    folder = tmp_path / "out"
    folder.mkdir()
    paths = unpack([data], folder)
    assert [path.read_bytes() for path in paths] == [Path(m.path).read_bytes() for m in members]


def test_the_same_files_give_the_same_bytes(members: list[Member], tmp_path: Path) -> None:
    copies = []
    for number, one in enumerate(members):
        copy = tmp_path / f"copy{number}"
        copy.write_bytes(Path(one.path).read_bytes())
        os.utime(copy, (1, 1))
        copies.append(member(copy))
    assert b"".join(pack(members)) == b"".join(pack(copies))
    assert b"Meier" not in b"".join(pack(members[:2]))


def test_a_file_that_changes_is_told(members: list[Member]) -> None:
    Path(members[3].path).write_bytes(b"other")
    with pytest.raises(Changed) as caught:
        list(pack(members))
    assert caught.value.path == members[3].path
    assert str(caught.value) == "changed while it was imported"


def test_a_link_or_a_pipe_in_its_place_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    stamp = FileStamp.of(path.stat())
    path.rename(tmp_path / "b")
    path.symlink_to(tmp_path / "b")
    with pytest.raises(Changed):
        open_unchanged(str(path), stamp)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Changed):
        open_unchanged(str(path), stamp)


def test_a_file_that_may_not_be_opened_has_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(path))
        with pytest.raises(Changed, match=r"^cannot be read: no such device or address$"):
            open_unchanged(str(path), FileStamp.of(path.lstat()))
    with pytest.raises(Changed, match=r"^changed while it was imported$"):
        open_unchanged(str(tmp_path / "gone"), FileStamp(0, 0, 0))


def evil(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(b"evil"))
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize(
    "tar",
    [
        evil("../x"),
        evil("/tmp/x"),
        evil("a/b"),
        evil(".hidden"),
        evil("-rf"),
        evil("x", tarfile.SYMTYPE, "/etc/passwd"),
        evil("x", tarfile.LNKTYPE, "/etc/passwd"),
        evil("x", tarfile.DIRTYPE),
        evil("x", tarfile.FIFOTYPE),
        evil("x", tarfile.CHRTYPE),
    ],
)
def test_other_tars_are_refused(tar: io.BytesIO, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(IntegrityError) as caught:
        unpack([tar.getvalue()], folder)
    assert caught.value.message == "the packed files hold a member that is not a plain file"
    assert list(folder.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("a"))
    buffer.seek(0)
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack([buffer.getvalue()], tmp_path)


def test_half_a_tar_is_refused(members: list[Member], tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(IntegrityError, match="cannot be unpacked"):
        unpack([b"".join(pack(members))[:1_000_000]], folder)


def test_a_tar_of_whole_records_is_unpacked_to_its_end(
    members: list[Member], tmp_path: Path
) -> None:
    data = b"".join(pack(members))
    padding = bytes(-len(data) % tarfile.RECORDSIZE)
    assert padding
    taken: list[int] = []

    def chunks() -> Iterator[bytes]:
        for chunk in (data[:700], data[700:], padding):
            yield chunk
            taken.append(len(chunk))

    folder = tmp_path / "out"
    folder.mkdir()
    assert len(unpack(chunks(), folder)) == len(members)
    assert sum(taken) == len(data) + len(padding)


def test_what_is_held_is_not_read_again(members: list[Member]) -> None:
    content = Path(members[3].path).read_bytes()
    held = members[3].held()
    Path(members[3].path).unlink()
    assert b"".join(held.chunks()) == content
    assert held.held() is held


def test_a_large_file_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    large = member(path)
    assert large.held() is large
    with large.open() as stream:
        assert stream.read(4) == bytes(4)
