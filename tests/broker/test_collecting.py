"""Outputs on their way home from a real agent, over a connection that breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import cast

import pytest

from medgrid.broker.collecting import Collector
from medgrid.broker.storages import Storages
from medgrid.errors import Unreachable
from medgrid.model import StorageElement
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
