"""What a call of a store is: a method, asked for a few things or for a share of all there is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Generic, TypeVar

from medgrid.database import Database
from tests.growth.world import DOCTOR, FEW, RESEARCHER, World

__all__ = ["BOTH", "EVERYBODY", "FIXED", "GRID", "INSIDERS", "SHARE", "Call", "methods"]

FIXED = ("few",)
SHARE = ("many",)
BOTH = ("few", "many")
GRID: tuple[str | None, ...] = (None,)
INSIDERS: tuple[str | None, ...] = (None, DOCTOR)
EVERYBODY: tuple[str | None, ...] = (None, DOCTOR, RESEARCHER)

S = TypeVar("S")


class _UndoneError(Exception):
    pass


@dataclass(frozen=True)
class Call(Generic[S]):
    """A method of a store, called for `count` things.

    Attributes
    ----------
    method : str
        As in ``objects.get``; a word in brackets tells one way to call it from another.
    run : callable
        Calls it: store, world, how many things.
    asked : sequence of str
        ``few`` things, whatever the grid holds, ``many``: a tenth of it, or both in turn.
    viewers : sequence of str or None
        For whom the store is open in turn.
    writes : bool
        Whether it changes something, which is undone.
    """

    method: str
    run: Callable[[S, World, int], object]
    asked: Sequence[str] = BOTH
    viewers: Sequence[str | None] = EVERYBODY
    writes: bool = False

    def __str__(self) -> str:
        return self.method

    def __call__(self, store: S, db: Database, world: World, asked: str) -> None:
        """Do it, and read all of the answer."""
        count = FEW if asked == "few" else world.size // 10
        if not self.writes:
            self._do(store, world, count)
            return
        try:
            with db.write():
                self._do(store, world, count)
                raise _UndoneError
        except _UndoneError:
            pass

    def _do(self, store: S, world: World, count: int) -> None:
        with ExitStack() as stack:
            found = self.run(store, world, count)
            if isinstance(found, AbstractContextManager):
                stack.enter_context(found)
            elif isinstance(found, Iterator):
                for _ in found:
                    pass


def methods(word: str, store: type) -> Iterator[str]:
    """Public methods of a store, as in ``objects.get``."""
    for name, _ in inspect.getmembers(store, callable):
        if not name.startswith("_"):
            yield f"{word}.{name}"
