"""The contract of a storage kind: every kind passes these tests."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medgrid.errors import Denied, IntegrityError, NotFound, Unreachable
from medgrid.model import ObjectId, Sha256, new_object_id
from medgrid.storage.base import Storage, check_pfn, part_name, physical_name
from medgrid.storage.errors import StorageFull
from tests.storage.places import Place

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks and a rest


def sha256(content: bytes) -> Sha256:
    return Sha256(hashlib.sha256(content).hexdigest())


def chunks(content: bytes, size: int = 300_000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read(storage: Storage, pfn: str) -> bytes:
    with storage.open(pfn) as stream:
        return stream.read()


def nothing_is_left(place: Place) -> bool:
    return not place.files() and not list(place.storage.temporaries())


@pytest.fixture
def pfn() -> str:
    return physical_name(new_object_id())


class TestPut:
    def test_what_is_put_is_read(self, place: Place, pfn: str) -> None:
        stored = place.storage.put(pfn, chunks(CONTENT), sha256(CONTENT))

        assert (stored.pfn, stored.size_bytes, stored.sha256) == (
            pfn,
            len(CONTENT),
            sha256(CONTENT),
        )
        assert read(place.storage, pfn) == CONTENT
        assert place.storage.size(pfn) == len(CONTENT)
        assert place.storage.digest(pfn) == sha256(CONTENT)

    def test_an_empty_object(self, place: Place, pfn: str) -> None:
        assert place.storage.put(pfn, []).sha256 == sha256(b"")
        assert read(place.storage, pfn) == b""
        assert place.storage.digest(pfn) == sha256(b"")

    def test_wrong_digest_leaves_nothing(self, place: Place, pfn: str) -> None:
        with pytest.raises(IntegrityError) as error:
            place.storage.put(pfn, [b"abc"], sha256(b"abd"))
        assert error.value.message == (
            f"storage element {place.storage.name}: writing {pfn}: expected digest "
            f"{sha256(b'abd')}, found {sha256(b'abc')}"
        )
        assert place.storage.size(pfn) is None
        assert nothing_is_left(place)

    def test_wrong_digest_leaves_what_was_there(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [b"first"])
        with pytest.raises(IntegrityError):
            place.storage.put(pfn, [b"abc"], sha256(b"abd"))
        assert read(place.storage, pfn) == b"first"

    def test_a_second_put_replaces_the_first(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [b"first, and longer"])
        place.storage.put(pfn, [b"second"])
        assert read(place.storage, pfn) == b"second"
        assert list(place.storage.walk()) == [(pfn, 6)]

    @pytest.mark.parametrize("failure", [RuntimeError("source broke"), KeyboardInterrupt()])
    def test_a_source_that_fails_leaves_nothing(
        self, place: Place, pfn: str, failure: BaseException
    ) -> None:
        def source() -> Iterator[bytes]:
            yield CONTENT
            raise failure

        with pytest.raises(type(failure)):
            place.storage.put(pfn, source())
        assert nothing_is_left(place)

    def test_only_the_owner_can_read(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [b"abc"])
        file = place.root / pfn
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    def test_full_disk(self, full: Place, pfn: str) -> None:
        with pytest.raises(StorageFull) as error:
            full.storage.put(pfn, (bytes(1_000_000) for _ in range(8)))
        assert error.value.message.startswith(
            f"storage element {full.storage.name}: writing {pfn}: "
        )
        assert error.value.hint == "make room there, or name another storage element with --se"
        assert nothing_is_left(full)
        assert full.storage.put(pfn, [b"small"]).size_bytes == 5

    def test_a_place_that_refuses(self, read_only: Place, pfn: str) -> None:
        with pytest.raises(Denied) as error:
            read_only.storage.put(pfn, [b"abc"])
        assert error.value.message in [
            f"storage element {read_only.storage.name}: writing {pfn}: {reason}"
            for reason in ("permission denied", "read-only file system")
        ]
        assert not read_only.files()


class TestResume:
    def test_what_has_come_stays_until_the_rest_does(self, place: Place, pfn: str) -> None:
        asked = []

        def broken(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            yield from chunks(CONTENT[offset : offset + 2_000_000])
            raise Unreachable("source broke")

        def whole(offset: int) -> Iterator[bytes]:
            asked.append(offset)
            return chunks(CONTENT[offset:])

        for _ in range(2):
            with pytest.raises(Unreachable, match="source broke"):
                place.storage.resume(pfn, broken, sha256(CONTENT))
        assert list(place.storage.walk()) == []
        assert [one.name for one in place.storage.temporaries()] == [part_name(pfn)]
        stored = place.storage.resume(pfn, whole, sha256(CONTENT))

        assert (stored.size_bytes, stored.sha256) == (len(CONTENT), sha256(CONTENT))
        assert read(place.storage, pfn) == CONTENT
        assert asked[0] == 0
        assert 1_000_000 < asked[1] < asked[2] <= 4_000_000
        assert list(place.storage.temporaries()) == []

    def test_nothing_was_missing_but_the_name(self, place: Place, pfn: str) -> None:
        part = place.root / part_name(pfn)
        part.parent.mkdir(mode=0o700)
        part.write_bytes(CONTENT)
        place.storage.resume(pfn, lambda offset: [CONTENT[offset:]], sha256(CONTENT))
        assert read(place.storage, pfn) == CONTENT

    def test_other_bytes_leave_nothing(self, place: Place, pfn: str) -> None:
        def broken(_: int) -> Iterator[bytes]:
            yield from [CONTENT, CONTENT]
            raise Unreachable("source broke")

        with pytest.raises(Unreachable):
            place.storage.resume(pfn, broken, sha256(CONTENT * 3))
        (part,) = place.files()
        with part.open("r+b") as stream:
            stream.write(b"X")
        with pytest.raises(IntegrityError) as error:
            place.storage.resume(pfn, lambda offset: [(CONTENT * 3)[offset:]], sha256(CONTENT * 3))
        assert error.value.message.startswith(
            f"storage element {place.storage.name}: writing {pfn}: expected digest "
        )
        assert nothing_is_left(place)
        place.storage.resume(pfn, lambda offset: [CONTENT[offset:]], sha256(CONTENT))
        assert read(place.storage, pfn) == CONTENT

    def test_a_source_that_has_less_leaves_nothing(self, place: Place, pfn: str) -> None:
        def refuses(offset: int) -> Iterator[bytes]:
            yield CONTENT
            yield CONTENT
            raise IntegrityError("there are no such bytes")

        with pytest.raises(IntegrityError, match="no such bytes"):
            place.storage.resume(pfn, refuses, sha256(CONTENT))
        assert nothing_is_left(place)

    def test_full_disk(self, full: Place, pfn: str) -> None:
        with pytest.raises(StorageFull):
            full.storage.resume(pfn, lambda _: chunks(CONTENT * 2), sha256(CONTENT * 2))
        assert nothing_is_left(full)

    def test_two_at_once(self, place: Place, pfn: str) -> None:
        """As a broker that was paused, and the one that took over."""
        if not place.is_local:
            pytest.skip("the server knows no locks; what lies there is digested in the end")

        def meanwhile(offset: int) -> Iterator[bytes]:
            yield CONTENT[offset : offset + 1000]
            place.storage.resume(pfn, lambda offset: [CONTENT[offset:]], sha256(CONTENT))
            yield CONTENT[offset + 1000 :]

        place.storage.resume(pfn, meanwhile, sha256(CONTENT))
        assert read(place.storage, pfn) == CONTENT
        assert list(place.storage.temporaries()) == []


class TestMissing:
    def test_an_object_that_is_not_there(self, place: Place, pfn: str) -> None:
        message = f"storage element {place.storage.name}: opening {pfn}: it is not there"
        with pytest.raises(NotFound) as error, place.storage.open(pfn):
            pass
        assert error.value.message == message
        with pytest.raises(NotFound):
            place.storage.digest(pfn)
        assert place.storage.size(pfn) is None
        assert place.storage.age_s(pfn) is None
        assert place.storage.delete(pfn) is False
        assert place.storage.local_path(pfn) is None

    def test_a_root_that_is_not_there_is_never_an_empty_place(self, place: Place, pfn: str) -> None:
        place.root.rmdir()
        storage = place.storage
        message = f"storage element {storage.name}: its root directory {place.root} is not there"
        for ask in (
            lambda: storage.size(pfn),
            lambda: storage.delete(pfn),
            lambda: storage.put(pfn, [b"abc"]),
            lambda: storage.resume(pfn, lambda _: [b"abc"], sha256(b"abc")),
            lambda: list(storage.walk()),
            lambda: list(storage.temporaries()),
            lambda: read(storage, pfn),
            storage.check,
            storage.free_bytes,
        ):
            with pytest.raises(Unreachable) as error:
                ask()
            assert error.value.message == message
            assert error.value.hint == (
                "mount its disk; where the place is new, "
                f"'medgrid se check {storage.name} --create' makes it"
            )
        assert not place.root.exists()

    def test_create_makes_the_root(self, place: Place) -> None:
        place.root.rmdir()
        place.storage.create()
        place.storage.create()
        place.storage.check()
        assert stat.S_IMODE(place.root.stat().st_mode) == 0o700
        assert nothing_is_left(place)

    @pytest.mark.parametrize("pfn", ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "a\nb"])
    def test_no_way_out_of_the_root(self, place: Place, pfn: str) -> None:
        for ask in (
            lambda: place.storage.put(pfn, [b"abc"]),
            lambda: place.storage.resume(pfn, lambda _: [b"abc"], sha256(b"abc")),
            lambda: place.storage.delete(pfn),
            lambda: place.storage.size(pfn),
            lambda: read(place.storage, pfn),
            lambda: place.storage.local_path(pfn),
        ):
            with pytest.raises(IntegrityError) as error:
                ask()
            assert error.value.message == f"{pfn!r} is not a physical file name"


class TestList:
    def test_walk_tells_all_objects_and_no_temporary(self, place: Place) -> None:
        pfns = {physical_name(ObjectId(f"{n:02x}" * 16)): n for n in range(20)}
        for name, size in pfns.items():
            place.storage.put(name, [bytes(size)])

        def source() -> Iterator[bytes]:
            yield b"half"
            assert dict(place.storage.walk()) == pfns
            (temporary,) = place.storage.temporaries()
            assert temporary.age_s < 60
            raise InterruptedError

        with pytest.raises(InterruptedError):
            place.storage.put(physical_name(new_object_id()), source())
        assert dict(place.storage.walk()) == pfns

    def test_a_temporary_left_by_a_killed_put_can_be_removed(self, place: Place) -> None:
        place.storage.check()
        (place.root / ".tmp" / "00ff").write_bytes(b"half")
        os.utime(place.root / ".tmp" / "00ff", (1_000_000_000, 1_000_000_000))

        (temporary,) = place.storage.temporaries()
        assert (temporary.size_bytes, temporary.age_s > 86_400) == (4, True)
        assert place.storage.delete(temporary.name) is True
        assert nothing_is_left(place)

    def test_walk_follows_no_symbolic_link(self, place: Place, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (place.root / "link").symlink_to(outside)
        (place.root / "file").symlink_to(outside / "secret")
        assert list(place.storage.walk()) == []

    def test_the_age_of_an_object(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [b"abc"])
        young_s = place.storage.age_s(pfn)
        os.utime(place.root / pfn, (1_000_000_000, 1_000_000_000))
        old_s = place.storage.age_s(pfn)
        assert young_s is not None
        assert old_s is not None
        assert young_s < 60 < 86_400 < old_s

    def test_delete(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [b"abc"])
        assert place.storage.delete(pfn) is True
        assert place.storage.delete(pfn) is False
        assert list(place.storage.walk()) == []

    def test_free_space(self, place: Place) -> None:
        free_bytes = place.storage.free_bytes()
        assert free_bytes is None or free_bytes > 0


class TestOpen:
    def test_reading_in_parts_and_stopping_early(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, [CONTENT])
        with place.storage.open(pfn) as stream:
            assert stream.read(1000) == CONTENT[:1000]
            assert stream.read(1000) == CONTENT[1000:2000]
        assert read(place.storage, pfn) == CONTENT

    def test_reading_from_an_offset(self, place: Place, pfn: str) -> None:
        place.storage.put(pfn, chunks(CONTENT))
        for offset in (1, 2_000_007, len(CONTENT) - 5, len(CONTENT)):
            with place.storage.open(pfn) as stream:
                stream.seek(offset)
                assert stream.read() == CONTENT[offset:]

    def test_local_path_is_given_where_the_bytes_are_a_file_here(
        self, place: Place, pfn: str
    ) -> None:
        place.storage.put(pfn, [b"abc"])
        path = place.storage.local_path(pfn)
        assert path == (str(place.root / pfn) if place.is_local else None)

    def test_several_threads_at_once(self, place: Place) -> None:
        start = threading.Barrier(4)

        def work(number: int) -> None:
            start.wait()
            for turn in range(5):
                content = bytes([number, turn]) * 100_000
                name = physical_name(new_object_id())
                place.storage.put(name, chunks(content), sha256(content))
                assert read(place.storage, name) == content
                assert place.storage.digest(name) == sha256(content)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        assert len(list(place.storage.walk())) == 20
        assert list(place.storage.temporaries()) == []

    def test_threads_that_put_the_same_object(self, place: Place, pfn: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: place.storage.put(pfn, chunks(CONTENT)), range(4)))
        assert read(place.storage, pfn) == CONTENT


def test_pfns_say_nothing_but_the_id() -> None:
    assert check_pfn(physical_name(ObjectId("00ff" * 8))) == f"00/ff/{'00ff' * 8}"
