"""Storage elements that all drivers share."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from medgrid.config import Settings
from medgrid.errors import NotFound
from medgrid.model import StorageElement
from medgrid.storage import open_storage
from medgrid.storage.base import Storage

__all__ = ["Storages"]


class Storages:
    """Open storage elements, for any thread. `replace` says which there are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._elements: dict[str, StorageElement] = {}
        self._open: dict[str, Storage] = {}

    def replace(self, elements: Mapping[str, StorageElement]) -> None:
        """Take over the grid's storage elements; one that changed is opened anew."""
        with self._lock:
            for name, element in self._elements.items():
                if elements.get(name) != element:
                    self._open.pop(name, None)
            self._elements = dict(elements)

    def element(self, name: str) -> StorageElement | None:
        """A storage element, None when the grid has none of this name."""
        return self._elements.get(name)

    def get(self, name: str) -> Storage:
        """Open storage element `name`, once.

        Raises
        ------
        NotFound
            There is none of this name.
        """
        with self._lock:
            found = self._open.get(name)
            if found is None:
                element = self._elements.get(name)
                if element is None:
                    raise NotFound(f"there is no storage element {name}")
                found = self._open[name] = open_storage(element, self._settings)
            return found

    def close(self) -> None:
        """Give back connections."""
        with self._lock:
            for storage in self._open.values():
                storage.close()
            self._open.clear()
