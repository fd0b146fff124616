"""Bytes on their way into the cache: named when they are whole, and added to after a break."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.agent.layout import Layout
from medgrid.agent.receiving import Incoming, Part, problem

CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MEBIBYTE = 1 << 20


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    before, here = os.umask(0o077), Path.cwd()
    made = Layout(str(tmp_path / "agent"))
    made.make()
    yield made
    os.umask(before)
    os.chdir(here)


def silent() -> None:
    """Tell nobody that it takes a while."""


def names(layout: Layout) -> list[str]:
    """Files in the cache."""
    found = Path(layout.path("cache")).rglob("*")
    return sorted(path.name for path in found if path.is_file() and path.name != ".lock")


def test_a_part_is_added_to(layout: Layout) -> None:
    first = Part(layout, SHA256, len(CONTENT), silent)
    assert first.offset == 0
    first.write(CONTENT[:4])
    first.abandon()
    assert names(layout) == [SHA256]
    second = Part(layout, SHA256, len(CONTENT), silent)
    assert second.offset == 4
    second.write(CONTENT[4:])
    assert second.finish() == []
    assert Path(layout.cached(SHA256)).read_bytes() == CONTENT
    assert names(layout) == [SHA256]
    assert Part(layout, SHA256, len(CONTENT), silent).offset == len(CONTENT), "all is there"


def test_a_part_that_is_longer_than_the_whole_starts_anew(layout: Layout) -> None:
    Path(layout.part(SHA256)).write_bytes(b"x" * 11)
    part = Part(layout, SHA256, len(CONTENT), silent)
    assert part.offset == 0
    part.write(CONTENT)
    assert part.finish() == []
    assert Path(layout.cached(SHA256)).read_bytes() == CONTENT


def test_whoever_waits_hears_that_a_large_part_is_being_read(layout: Layout) -> None:
    with Path(layout.part(SHA256)).open("wb") as stream:
        stream.truncate(65 * MEBIBYTE)
    heard: list[int] = []
    part = Part(layout, SHA256, 1 << 40, lambda: heard.append(1))
    assert (part.offset, len(heard)) == (65 * MEBIBYTE, 1)
    part.abandon()


def test_a_part_that_cannot_be_opened_says_so(layout: Layout) -> None:
    Path(layout.part("")).rmdir()
    part = Part(layout, SHA256, len(CONTENT), silent)
    assert part.offset == len(CONTENT), "no bytes are wanted"
    assert part.finish() == [problem("unwritable", SHA256, "No such file or directory")]


class Overtaken(Part):
    """A part whose bytes come another way right after it was begun."""

    def _claim(self) -> bool:
        made = super()._claim()
        target = Path(self._target)
        target.parent.mkdir()
        target.write_bytes(CONTENT)
        return made


def test_a_part_that_is_overtaken_gives_way(layout: Layout) -> None:
    part = Overtaken(layout, SHA256, len(CONTENT), silent)
    assert part.offset == len(CONTENT)
    part.write(b"other bytes")
    assert part.finish() == []
    part.abandon()
    assert names(layout) == [SHA256]
    assert Path(layout.cached(SHA256)).read_bytes() == CONTENT


def test_other_bytes_are_deleted(layout: Layout) -> None:
    incoming = Incoming(layout, SHA256)
    incoming.write(b"other bytes")
    other = hashlib.sha256(b"other bytes").hexdigest()
    assert incoming.finish() == [problem("integrity", SHA256, other)]
    incoming.abandon()
    assert names(layout) == []
