"""Storage elements: bytes at a physical file name, one file per kind of place."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from medgrid.errors import ConfigError

if TYPE_CHECKING:
    from medgrid.config import Settings
    from medgrid.model import StorageElement
    from medgrid.storage.base import Storage

__all__ = ["open_storage"]


def open_storage(element: StorageElement, settings: Settings) -> Storage:
    """Open a storage element; nothing is connected to before it is used.

    Raises
    ------
    ConfigError
        Its URL is of no known kind, or names no absolute directory.
    """
    kind = urlsplit(element.url).scheme
    if kind == "file":
        from medgrid.storage.posix import PosixStorage

        return PosixStorage(element)
    if kind == "sftp":
        from medgrid.storage.sftp import SftpStorage

        return SftpStorage(element, settings)
    raise ConfigError(
        f"storage element {element.name}: no storage of kind {kind!r}",
        hint="a storage URL looks like file:///data/medgrid or sftp://user@host/data/medgrid",
    )
