"""The grid an action works on: settings, catalog and storage, opened when first used."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Self

from medgrid.config import Settings, load_settings
from medgrid.errors import ConfigError, NotFound

if TYPE_CHECKING:
    from medgrid.catalog import Catalog
    from medgrid.model import StorageElement
    from medgrid.storage.base import Storage

__all__ = ["Grid"]


class Grid:
    """A grid home and what belongs to it. Use as a context manager, or call `close`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load_settings()
        self._storages: dict[str, Storage] = {}
        self._lock = threading.Lock()

    @cached_property
    def catalog(self) -> Catalog:
        """The open catalog.

        Raises
        ------
        ConfigError
            There is no grid here yet.
        """
        from medgrid.catalog import Catalog

        if not self.settings.catalog and not (self.settings.home / "catalog.db").exists():
            raise ConfigError(
                f"no grid at {self.settings.home}",
                hint="make one with 'medgrid init', or set MEDGRID_HOME",
            )
        return Catalog.open(self.settings.catalog_url)

    def default_se(self) -> StorageElement:
        """Storage element for what names none."""
        if self.settings.default_se:
            return self.catalog.places.se(self.settings.default_se)
        for element in self.catalog.places.ses():
            if element.enabled:
                return element
        raise NotFound(
            "the grid has no storage element", hint="add one with 'medgrid se add NAME URL'"
        )

    def storage(self, name: str) -> Storage:
        """Open storage element `name`, once; may be asked from any thread."""
        with self._lock:
            found = self._storages.get(name)
            if found is None:
                from medgrid.storage import open_storage

                found = open_storage(self.catalog.places.se(name), self.settings)
                self._storages[name] = found
            return found

    def close(self) -> None:
        """Give back connections."""
        for storage in self._storages.values():
            storage.close()
        self._storages.clear()
        if "catalog" in self.__dict__:
            self.catalog.close()
            del self.__dict__["catalog"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
