"""The SQL statements that a piece of code sends: what it costs, whatever the machine does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event

__all__ = ["noted_statements"]


@contextmanager
def noted_statements() -> Iterator[list[str]]:
    """Texts of all statements of this process, as they are sent."""
    texts: list[str] = []

    def note(_connection: object, _cursor: object, text: str, *_rest: object) -> None:
        texts.append(text)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield texts
    finally:
        event.remove(Engine, "before_cursor_execute", note)
