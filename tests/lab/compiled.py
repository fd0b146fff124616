"""Statements are compiled once in a process of tests, not once for each engine that a test makes.

That is a quarter of what tests in process cost.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.util import LRUCache

from medgrid.database import connections

__all__: list[str] = []


class _Compiled(LRUCache[Any, Any]):
    """Compiled statements by what a dialect is: all engines of one kind are made alike."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_kind(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_of_kind(key), value)


def _of_kind(key: Any) -> Any:
    dialect, *statement = key
    return (type(dialect), dialect.server_version_info, *statement)


_cache = _Compiled(2000)


def _with_cache(*words: Any, **options: Any) -> Any:
    return create_engine(*words, execution_options={"compiled_cache": _cache}, **options)


vars(connections)["create_engine"] = _with_cache
