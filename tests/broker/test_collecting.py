"""Outputs on their way home from a real agent, over a connection that breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

import pytest

from medgrid.broker import collecting
from medgrid.broker.collecting import Collector, output_id
from medgrid.broker.storages import Storages
from medgrid.errors import Unreachable
from medgrid.model import Cause, StorageElement
from medgrid.storage.base import Storage, part_name, physical_name
from medgrid.workers.base import AttemptId, OutputFile, OutputPattern, WorkerLink
from tests.workers.places import GRID, Place, run, script

SIZE_BYTES = 20_000_000


class Broken:
    """A link whose connection breaks after so many bytes of one output, once."""

    def __init__(self, link: WorkerLink, after_bytes: int) -> None:
        self._link = link
        self._left = after_bytes
        self.asked: list[tuple[str, int]] = []

    def collect(
        self, wanted: Iterable[tuple[AttemptId, OutputFile]], offset: int = 0
    ) -> Iterator[tuple[AttemptId, OutputFile, Iterable[bytes]]]:
        wanted = list(wanted)
        self.asked += [(one.role, offset) for _, one in wanted]
        for attempt, one, chunks in self._link.collect(wanted, offset):
            yield attempt, one, self._some(chunks) if one.size_bytes == SIZE_BYTES else chunks

    def _some(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if 0 < self._left <= len(chunk):
                self._left = 0
                raise Unreachable("here: the connection was lost")
            self._left -= len(chunk)
            yield chunk


def test_what_has_come_of_a_large_output_is_not_asked_for_again(
    place: Place, storages: Storages, element: StorageElement
) -> None:
    outputs = (OutputPattern("volume", "volume.bin"), OutputPattern("note", "note.txt"))
    lines = f"echo small > note.txt; head -c {SIZE_BYTES} /dev/urandom > volume.bin"
    link = place.open()
    done = run(link, script(place.attempt(), lines, outputs=outputs))
    broken = Broken(link, 9_000_000)
    behind = cast(WorkerLink, broken)
    with pytest.raises(Unreachable):
        Collector(storages, GRID).collect(behind, [(done, element)])
    # as a broker that was started anew
    got, failed = Collector(storages, GRID).collect(behind, [(done, element)])
    assert failed == {}
    collected = got[done.attempt]
    assert [one.role for one in collected] == [one.role for one in done.outputs]
    assert [one.sha256 for one in collected] == [one.sha256 for one in done.outputs]
    offsets = [offset for role, offset in broken.asked if role == "volume"]
    assert offsets[0] == 0
    assert 7_000_000 < offsets[1] <= 9_000_000
    for one in collected:
        with storages.get(element.name).open(one.pfn) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == one.sha256
    assert list(storages.get(element.name).temporaries()) == []


class Refusing:
    """A storage element that begins to take something, and then takes nothing."""

    def put(self, _pfn: str, chunks: Iterable[bytes], **_: object) -> None:
        next(iter(chunks))
        raise Unreachable("it does not answer")


def test_a_storage_element_that_takes_nothing_is_the_trouble_of_its_own_jobs(
    place: Place, storages: Storages, element: StorageElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs come in one stream, one after another."""
    link = place.open()
    outputs = (OutputPattern("a", "a.txt"), OutputPattern("b", "b.txt"))
    lines = "head -c 300000 /dev/urandom > a.txt; echo b > b.txt"
    attempts = [place.attempt(number) for number in (1, 2, 3)]
    done = [run(link, script(attempt, lines, outputs=outputs)) for attempt in attempts]
    bad, refusing = replace(element, name="bad"), cast(Storage, Refusing())
    get = storages.get
    monkeypatch.setattr(storages, "get", lambda name: refusing if name == "bad" else get(name))
    monkeypatch.setattr(collecting, "_PAUSE_S", 0.0)
    pairs = list(zip(done, (element, bad, element), strict=True))
    got, failed = Collector(storages, GRID).collect(link, pairs)
    assert list(got) == [attempts[0], attempts[2]]
    for record in (done[0], done[2]):
        assert [one.sha256 for one in got[record.attempt]] == [one.sha256 for one in record.outputs]
    (end,) = failed.values()
    assert list(failed) == [attempts[1]]
    assert (end.cause, end.of_storage, end.is_away) == (Cause.STAGE_OUT, True, True)
    assert end.message == "its outputs cannot be stored: bad: it does not answer"


def test_a_part_that_is_too_large_is_begun_anew(
    place: Place, storages: Storages, element: StorageElement, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes of an earlier time, say: the worker is not asked for what is beyond the end."""
    size_bytes = collecting._RESUMED_BYTES
    lines = f"head -c {size_bytes} /dev/zero > volume.bin"
    link = place.open()
    outputs = (OutputPattern("volume", "volume.bin"),)
    done = run(link, script(place.attempt(), lines, outputs=outputs))
    (output,) = done.outputs
    storage = storages.get(element.name)
    part = part_name(physical_name(output_id(GRID, done.attempt, output.path)))
    storage.put(part, [b"x" * (size_bytes + 1)])
    monkeypatch.setattr(collecting, "_PAUSE_S", 0.0)
    behind = Broken(link, -1)
    got, failed = Collector(storages, GRID).collect(cast(WorkerLink, behind), [(done, element)])
    assert failed == {}
    assert [one.sha256 for one in got[done.attempt]] == [output.sha256]
    assert behind.asked == [("volume", 0)]
    assert list(storage.temporaries()) == []
    # who asks for it all the same gets nothing
    ((_, _, chunks),) = link.collect([(done.attempt, output)], size_bytes + 1)
    assert b"".join(chunks) == b""
