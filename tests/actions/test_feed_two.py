"""One pass that feeds two: both get what is theirs, and nobody waits for one who has gone."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator

import pytest

from medgrid.actions.feed_two import feed_two
from tests.lab.waiting import PATIENCE_S, linger

Pieces = Iterator[tuple[bytes, bytes | Exception]]


class Bad(Exception):
    """What a test lets fail."""


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    for thread in threading.enumerate():
        if thread.name == "second":
            thread.join(PATIENCE_S)
    assert threading.active_count() == before


def many(count: int = 1000, error: Exception | None = None) -> Pieces:
    for number in range(count):
        yield b"%d " % number, b"-%d " % number
    if error is not None:
        raise error


def joined(chunks: Iterator[bytes]) -> bytes:
    return b"".join(chunks)


def test_each_gets_what_is_its_own_in_order() -> None:
    first, second = feed_two(many(), joined, joined)
    assert first.split() == [b"%d" % number for number in range(1000)]
    assert second.split() == [b"-%d" % number for number in range(1000)]
    assert feed_two([(b"", b"b"), (b"a", b"")], list, list) == ([b"a"], [b"b"])
    assert feed_two([], joined, joined) == (b"", b"")


def test_an_error_of_the_source_ends_both() -> None:
    seen: list[BaseException] = []

    def second(chunks: Iterator[bytes]) -> bytes:
        try:
            return joined(chunks)
        except BaseException as exc:
            seen.append(exc)
            raise

    with pytest.raises(Bad):
        feed_two(many(error=Bad()), joined, second)
    assert len(seen) == 1


def test_an_error_of_the_first_ends_the_second() -> None:
    ended = []

    def first(chunks: Iterator[bytes]) -> bytes:
        next(chunks)
        raise Bad

    def second(chunks: Iterator[bytes]) -> None:
        try:
            joined(chunks)
        finally:
            ended.append(True)

    with pytest.raises(Bad):
        feed_two(many(), first, second)
    assert ended == [True]


def test_an_interrupt_while_the_second_is_waited_for_ends_when_it_has_ended() -> None:
    done: list[str] = []

    def second(chunks: Iterator[bytes]) -> None:
        joined(chunks)
        subprocess.run(["kill", "-INT", str(os.getpid())], check=True)
        linger(0.5, "who was interrupted could go on without this one")
        done.append("second")

    with pytest.raises(KeyboardInterrupt):
        try:
            feed_two(many(), joined, second)
        finally:
            done.append("both")
    assert done == ["second", "both"]


def test_an_error_of_the_second_ends_the_first_before_the_source_is_through() -> None:
    taken = 0

    def source() -> Pieces:
        nonlocal taken
        for piece in many(100_000):
            taken += 1
            yield piece

    def second(chunks: Iterator[bytes]) -> None:
        next(chunks)
        raise Bad

    with pytest.raises(Bad):
        feed_two(source(), joined, second)
    assert taken < 100_000


def test_an_error_of_the_second_at_its_very_end_is_raised() -> None:
    def second(chunks: Iterator[bytes]) -> None:
        joined(chunks)
        raise Bad

    with pytest.raises(Bad):
        feed_two(many(), joined, second)


def test_a_second_who_has_enough_does_not_hold_the_first_up() -> None:
    first, second = feed_two(many(), joined, next)
    assert len(first.split()) == 1000
    assert second == b"-0 "


def test_an_exception_among_the_pieces_is_the_seconds_alone() -> None:
    def source() -> Pieces:
        yield b"1", b"one"
        yield b"", Bad()
        yield from ((b"2", b"") for _ in range(100))

    def second(chunks: Iterator[bytes]) -> bytes | None:
        try:
            return joined(chunks)
        except Bad:
            return None

    assert feed_two(source(), joined, second) == (b"1" + 100 * b"2", None)
