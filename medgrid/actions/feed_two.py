"""One pass over a source that feeds two who take bytes, such as two files that are written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import Queue
from typing import TypeVar

__all__ = ["feed_two"]

_AHEAD = 8  # pieces that the second may lag behind

A = TypeVar("A")
B = TypeVar("B")


class _GivenUp(Exception):
    """The pass has ended early."""


def feed_two(
    pieces: Iterable[tuple[bytes, bytes | Exception]],
    first: Callable[[Iterator[bytes]], A],
    second: Callable[[Iterator[bytes]], B],
) -> tuple[A, B]:
    """Give `first` and `second` what is theirs of each piece, and return what they do.

    Parameters
    ----------
    pieces : iterable
        Bytes for the one and bytes for the other, either may be empty. In place of the other's
        there may be an exception, which ends its bytes.
    first : callable
        Takes all bytes that are its own; it runs here, and so does `pieces`.
    second : callable
        Takes bytes, all of them or not; it runs in a thread of its own.

    Raises
    ------
    Exception
        That of `pieces`, `first` or `second`. The others are ended by an exception before it is
        raised here.
    """
    queue: Queue[bytes | Exception | None] = Queue(_AHEAD)
    outcome: Future[B] = Future()
    thread = threading.Thread(target=_run, args=(second, queue, outcome), name="second")

    def own() -> Iterator[bytes]:
        for mine, other in pieces:
            if other:
                queue.put(other)
            if outcome.done():
                outcome.result()
            if mine:
                yield mine

    thread.start()
    try:
        done = first(own())
        queue.put(None)
        return done, outcome.result()
    except BaseException:  # Ctrl-C, too, whatever is waited for
        queue.put(_GivenUp())
        queue.put(None)
        thread.join()
        raise


def _run(
    second: Callable[[Iterator[bytes]], B],
    queue: Queue[bytes | Exception | None],
    outcome: Future[B],
) -> None:
    is_over = False

    def own() -> Iterator[bytes]:
        nonlocal is_over
        while (piece := queue.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
        is_over = True

    try:
        outcome.set_result(second(own()))
    except BaseException as exc:
        outcome.set_exception(exc)
    while not is_over:  # what still comes is nobody's, and must not hold the other up
        is_over = queue.get() is None
