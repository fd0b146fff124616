"""The grid an action works on: settings, catalog and storage, opened when first used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Self

from medgrid.config import Settings, has_grid, load_settings
from medgrid.errors import ConfigError, IntegrityError, NotFound

if TYPE_CHECKING:
    from medgrid.catalog import Catalog
    from medgrid.crypto.vault import ObjectKey, Sealing, Vault
    from medgrid.model import GridObject, ObjectId, StorageElement
    from medgrid.storage.base import Storage

__all__ = ["Grid", "check_home"]


def check_home(settings: Settings) -> None:
    """Return when there is a grid, or was one.

    Raises
    ------
    ConfigError
        There is no grid here yet.
    """
    if not (settings.has_catalog or has_grid(settings.home)):
        raise ConfigError(
            f"no grid at {settings.home}", hint="make one with 'medgrid init', or set MEDGRID_HOME"
        )


class Grid:
    """A grid home and what belongs to it. Use as a context manager, or call `close`.

    Parameters
    ----------
    settings : Settings, optional
    ask : callable, optional
        Gives the passphrase of an identity, by its name, when there is somebody to ask.
    """

    def __init__(
        self, settings: Settings | None = None, ask: Callable[[str], bytes] | None = None
    ) -> None:
        self.settings = settings or load_settings()
        self._ask = ask
        self._storages: dict[str, Storage] = {}
        self._lock = threading.RLock()

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog as this user may see it.

        Raises
        ------
        ConfigError
            There is no grid here yet.
        """
        return self._open_catalog(self.settings.user)

    @cached_property
    def whole(self) -> Catalog:
        """The catalog with all that is in it, for work that must not pass anything over.

        Nothing of it may be shown: `catalog` is for that.
        """
        return self._open_catalog(None)

    def _open_catalog(self, viewer: str | None) -> Catalog:
        from medgrid.catalog import Catalog

        check_home(self.settings)
        return Catalog.open(self.settings.catalog_url, viewer)

    # -- keys --------------------------------------------------------------------------------------

    @cached_property
    def vault(self) -> Vault:
        """What this user's identity can seal and open.

        Raises
        ------
        ConfigError
            There is no key store, or no identity here.
        """
        from medgrid.actions.keys import open_vault

        with self._lock:
            return open_vault(self.settings, self._ask)

    @cached_property
    def broker_vault(self) -> Vault:
        """What the broker's identity can seal and open; raises as `vault`."""
        from medgrid.actions.keys import BROKER, open_vault

        return open_vault(self.settings, None, BROKER)

    @property
    def used_identity(self) -> bool:
        """Whether the user's identity was opened in this process."""
        return "vault" in self.__dict__ and "identity" in self.vault.__dict__

    def key(self, item: GridObject) -> ObjectKey | None:
        """What opens an object, None when it is stored in the clear.

        Raises
        ------
        Denied
            The key store has nothing for this user.
        IntegrityError
            The key is that of other bytes than the catalog's.
        """
        if not item.is_protected:
            return None
        found = self.vault.key(item.key_id)
        if found.manifest.body_sha256 != item.sha256:
            raise IntegrityError(
                f"{item.lfn or item.id}: the catalog and the key store speak of different bytes",
                hint="one of them was put back to an earlier state",
            )
        if not self.vault.trust.vouches(found.manifest.signer, item.owner):
            raise IntegrityError(
                f"{item.lfn or item.id}: {found.manifest.signer} vouches for its bytes, and may "
                "not",
                hint="somebody exchanged them; tell the grid's registrar",
            )
        return found

    def keys(self, items: Iterable[GridObject], purpose: str) -> None:
        """Ask for the keys of many objects at once; `key` then has them at hand.

        What is denied is passed over: `key` says so.
        """
        wanted = [item.key_id for item in items if item.is_protected]
        if wanted:
            self.vault.preload(wanted, purpose)

    def keep(self, new: Iterable[Sealing]) -> None:
        """Make the keys of sealed objects last; before the catalog hears of the objects."""
        new = list(new)
        if new:
            self.vault.keep(new)

    def forget_keys(self, ids: Iterable[ObjectId]) -> None:
        """Destroy what opens objects that are no more, or never came to be."""
        gone = list(ids)
        if gone:
            self.vault.forget(gone)

    def keyed(self, sha256: str) -> str | None:
        """Keyed digest of a content, from its plain one; None where this home has no key."""
        return self.vault.keyed(sha256)

    # -- places ------------------------------------------------------------------------------------

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
        for name in ("catalog", "whole", "vault", "broker_vault"):
            if name in self.__dict__:
                self.__dict__.pop(name).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
