"""Storage elements that a worker's host has among its own directories."""

from __future__ import annotations

from medgrid.errors import UsageError

__all__ = ["read_mounts"]


def read_mounts(text: str) -> dict[str, str]:
    """Where storage elements lie on a worker's host, from ``SE=DIR,SE=DIR``.

    Raises
    ------
    UsageError
        It is not that, or a directory is not absolute.

    Examples
    --------
    >>> read_mounts("store1=/mnt/store1,store2=/data")
    {'store1': '/mnt/store1', 'store2': '/data'}
    """
    found: dict[str, str] = {}
    for entry in filter(None, text.split(",")):
        name, _, directory = entry.partition("=")
        if not name or not directory.startswith("/"):
            raise UsageError(
                f"{entry!r} is no storage element and its directory",
                hint="write it as SE=/DIR, for example store1=/mnt/store1",
            )
        found[name] = directory
    return found
