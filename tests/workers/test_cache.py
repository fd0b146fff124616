"""The cache of an agent: bounded, private, filled once, and filled on where a connection broke."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from medgrid.errors import Unreachable
from medgrid.model import Cause, Sha256
from medgrid.workers.base import InputFile, Launch, OutputPattern, StageItem, WorkerLink
from tests.lab.sshd import Sshd
from tests.lab.waiting import PATIENCE_S, linger, wait_for
from tests.workers.places import Place, collected, follow_until, run, script

MIB = 1 << 20


class Source:
    """Bytes to stage, which say how much of them was read; `stop` may be called half-way."""

    def __init__(self, data: bytes, stop: threading.Event | None = None, at: int = 0) -> None:
        self.data = data
        self.stop = stop
        self.at = at
        self.read_bytes = 0
        self.is_at = threading.Event()
        self.item = StageItem(Sha256(hashlib.sha256(data).hexdigest()), len(data), self._open)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        yield _Counted(self)


class _Counted(io.BytesIO):
    def __init__(self, source: Source) -> None:
        super().__init__(source.data)
        self._source = source

    def read(self, size: int | None = -1, /) -> bytes:
        source = self._source
        if source.stop is not None and self.tell() >= source.at:
            source.is_at.set()
            source.stop.wait(PATIENCE_S)
        chunk = super().read(size)
        source.read_bytes += len(chunk)
        return chunk


def bounded(place: Place, limit: str) -> Place:
    """The place, with a cache of so many bytes."""
    options = {**place.worker.options, "cache": limit}
    place.worker = replace(place.worker, options=options)
    return place


def stage(link: WorkerLink, *sources: Source) -> None:
    link.stage(source.item for source in sources)


def uses(place: Place, number: int, *sources: Source, text: str = "true") -> Launch:
    inputs = tuple(
        InputFile(one.item.sha256, one.item.size_bytes, f"in/{index}")
        for index, one in enumerate(sources)
    )
    return script(place.attempt(number), text, inputs=inputs)


def cached(place: Place) -> set[str]:
    found = place.shell(f"find {place.root}/cache -type f ! -name .lock -printf '%f\\n'")
    return set(found.split())


def leave_part(place: Place, source: Source, size: int) -> None:
    """What a broken connection may leave, with other bytes."""
    part = f"{place.root}/cache/parts/{source.item.sha256}"
    place.shell(f"head -c {size} /dev/zero > {part}; chown --reference {place.root} {part}")


def test_what_was_used_longest_ago_goes_first(place: Place) -> None:
    link = bounded(place, "4M").open()
    first, second, third, fourth = (Source(os.urandom(MIB * 3 // 2)) for _ in range(4))
    for number, one in enumerate((first, second), start=1):
        stage(link, one)
        run(link, uses(place, number, one))
        linger(0.02, "the times of use differ")
    stage(link, first)  # it is asked for again, so the second is the oldest
    run(link, uses(place, 3, first))
    stage(link, third)
    run(link, uses(place, 4, third))
    assert cached(place) == {first.item.sha256, third.item.sha256}
    assert first.read_bytes == len(first.data), "it was sent once"
    info = place.open().info
    assert (info.cache_limit_bytes, info.cache_bytes) == (4 * MIB, 3 * MIB)
    stage(link, second, fourth)
    run(link, uses(place, 5, second, fourth, text="cat in/* | wc -c"))


def test_what_is_asked_for_or_needed_stays_beyond_the_bound(place: Place) -> None:
    link = bounded(place, "2M").open()
    needed, held, more = (Source(os.urandom(MIB * 3 // 2)) for _ in range(3))
    stage(link, needed)
    slow = uses(place, 1, needed, text=place.held)
    queued = [uses(place, number, needed, text="wc -c < in/0") for number in (2, 3)]
    link.launch([slow, *queued])
    stage(link, held)
    other = place.open()
    stage(other, more)
    assert cached(place) == {one.item.sha256 for one in (needed, held, more)}
    place.let_go()
    done = follow_until(link, [one.attempt for one in (slow, *queued)])
    assert {record.cause for record in done.values()} == {Cause.OK}
    record = run(link, uses(place, 4, held, text="wc -c < in/0"))
    assert record.stdout_tail == f"{MIB * 3 // 2}\n"
    other.close()
    place.links.remove(other)
    late = Source(b"late" * 100_000)

    def is_bounded() -> bool:
        stage(link, late)
        left = cached(place)
        return late.item.sha256 in left and needed.item.sha256 not in left and len(left) == 2

    wait_for(is_bounded, "the agent to forget what nobody needs")


def test_outputs_that_nobody_has_fetched_stay_whatever_is_staged(place: Place) -> None:
    link = bounded(place, "1M").open()
    pattern = OutputPattern("o", "out")
    text = f"head -c {4 * MIB} /dev/zero > out"
    record = run(link, script(place.attempt(1), text, outputs=(pattern,)))
    for number in range(2, 5):
        one = Source(os.urandom(MIB))
        stage(link, one)
        run(link, uses(place, number, one))
    assert list(map(len, collected(link, record))) == [4 * MIB]


def test_bundles_that_nobody_uses_go_too(place: Place) -> None:
    from medgrid.workers.base import Bundle
    from tests.workers.test_contract import tar_of

    link = bounded(place, "3M").open()
    bundles = [Source(tar_of({"data": os.urandom(MIB)})) for _ in range(3)]
    for number, one in enumerate(bundles, start=1):
        stage(link, one)
        bundle = Bundle(one.item.sha256, one.item.size_bytes)
        text = (({"bundle": True}, "/data"),)
        launch = Launch(place.attempt(number), ("wc", "-c", *text), bundle=bundle)
        assert run(link, launch).stdout_tail.startswith(f"{MIB} ")
        linger(0.02, "the times of use differ")
    left = place.shell(f"ls {place.root}/bundles").split()
    assert bundles[0].item.sha256 not in left
    assert bundles[2].item.sha256 in left
    assert bundles[0].item.sha256 not in cached(place)


def test_a_broken_connection_goes_on_where_it_stopped(ssh_place: Place, sshd: Sshd) -> None:
    place = ssh_place
    data = os.urandom(32 * MIB)
    stop = threading.Event()
    broken = Source(data, stop, at=24 * MIB)
    failed: list[BaseException] = []

    def send() -> None:
        try:
            stage(place.open(), broken)
        except Unreachable as exc:
            failed.append(exc)

    sender = threading.Thread(target=send)
    sender.start()
    assert broken.is_at.wait(PATIENCE_S)
    part = f"{place.root}/cache/parts/{broken.item.sha256}"
    wait_for(
        lambda: int(place.shell(f"stat -c %s {part}.* || echo 0").split()[0]) > 16 * MIB,
        "most of it to come",
    )
    sshd.drop_connections()
    stop.set()
    sender.join()
    assert len(failed) == 1
    wait_for(lambda: place.shell(f"ls {part} || true") != "", "the part to be left")

    rest = Source(data)
    link = place.open()
    stage(link, rest)
    assert 0 < rest.read_bytes < 16 * MIB
    assert cached(place) == {rest.item.sha256}
    record = run(link, uses(place, 1, rest, text="sha256sum in/0"))
    assert record.stdout_tail.split()[0] == rest.item.sha256
    assert place.shell(f"find {place.root} -perm /077 ! -type l").split() == []


def test_a_part_with_wrong_bytes_is_found_out_and_sent_anew(place: Place) -> None:
    link = place.open()
    source = Source(os.urandom(9 * MIB))
    leave_part(place, source, 4 * MIB)
    stage(link, source)
    assert source.read_bytes == 14 * MIB
    assert cached(place) == {source.item.sha256}
    record = run(link, uses(place, 1, source, text="sha256sum in/0"))
    assert record.stdout_tail.split()[0] == source.item.sha256


def test_a_part_that_is_too_long_is_not_used(place: Place) -> None:
    link = place.open()
    source = Source(os.urandom(9 * MIB))
    leave_part(place, source, 10 * MIB)
    stage(link, source)
    assert source.read_bytes == 9 * MIB
    assert link.missing([source.item.sha256]) == set()


def test_two_who_stage_the_same_send_it_once(place: Place) -> None:
    stop = threading.Event()
    first = Source(os.urandom(16 * MIB), stop, at=8 * MIB)
    second = Source(first.data)
    links = [place.open(), place.open()]
    threads = [
        threading.Thread(target=stage, args=pair)
        for pair in zip(links, (first, second), strict=True)
    ]
    threads[0].start()
    assert first.is_at.wait(PATIENCE_S)
    threads[1].start()
    linger(0.5, "who does not wait for the other sends now")
    assert second.read_bytes == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert (first.read_bytes, second.read_bytes) == (16 * MIB, 0)
    assert cached(place) == {first.item.sha256}


def test_parts_that_nobody_adds_to_are_removed(local_place: Place) -> None:
    place = local_place
    link = place.open()
    part = f"{place.root}/cache/parts/{'1' * 64}"
    torn = f"{place.root}/cache/22/{'2' * 64}.77"
    place.shell(f"echo x > {part}; touch -d '2 days ago' {part}; mkdir {place.root}/cache/22")
    place.shell(f"echo x > {torn}; touch -d '2 days ago' {torn}")
    wait_for(lambda: place.shell(f"ls {place.root}/cache/parts") == "", "the part to go")
    link.close()
    place.links.remove(link)


def test_another_grids_agent_on_the_host_gives_what_it_has(
    tmp_path: Path, ssh_place: Place
) -> None:
    root = tmp_path / ".medgrid-agent"
    places = []
    for grid in ("grid1", "grid2"):
        options = {"root": str(root / grid / "w")}
        worker = replace(ssh_place.worker, options=options)
        places.append(Place(worker, ssh_place.settings, options["root"], ssh_place.shell))
    first, second = Source(os.urandom(9 * MIB)), None
    try:
        stage(places[0].open(), first)
        second = Source(first.data)
        stage(places[1].open(), second)
        assert second.read_bytes == 0
        assert cached(places[1]) == {first.item.sha256}
        # what lies there is verified like all else
        there = root / "grid1/w/cache" / first.item.sha256[:2] / first.item.sha256
        there.chmod(0o600)
        there.write_bytes(b"other")
        places[1].shell(f"rm {places[1].root}/cache/*/{first.item.sha256}")
        stage(places[1].links[0], second)
        assert second.read_bytes == len(second.data)
    finally:
        for place in places:
            place.close()
