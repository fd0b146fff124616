"""Look after the databases of a grid: what the catalog is, and bringing them up to date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medgrid.actions.broker import refuse_broker
from medgrid.actions.outcome import Failure
from medgrid.catalog.leases import LeaseHeld, open_leases
from medgrid.config import Settings
from medgrid.database.upgrade import Upgraded
from medgrid.errors import MedgridError

__all__ = ["StoreUpgraded", "describe", "upgrade_catalog", "upgrade_keystores"]


@dataclass(frozen=True, slots=True)
class StoreUpgraded:
    """One key store, as it is shown, and what was done to it."""

    url: str
    done: Upgraded


def describe(settings: Settings) -> dict[str, Any]:
    """What the catalog is and how much of it the user sees, also of an older one."""
    from medgrid.catalog.about import about

    return about(settings.catalog_url, settings.user)


def upgrade_catalog(settings: Settings) -> Upgraded:
    """Bring the catalog to this medgrid's schema.

    Raises
    ------
    ConfigError
        There is no catalog, or it is newer than this medgrid.
    LeaseHeld
        A broker works on it.
    """
    from medgrid.catalog.upgrade import upgrade

    return upgrade(settings.catalog_url, refuse_broker)


def upgrade_keystores(settings: Settings) -> Iterator[StoreUpgraded | Failure]:
    """Bring each key store of the grid that can be to this medgrid's schema, one after another.

    Raises
    ------
    ConfigError
        There is no grid here yet.
    LeaseHeld
        A broker works on the grid's catalog.
    """
    from medgrid.actions.keys import keystore_urls
    from medgrid.crypto.keystore_upgrade import upgrade
    from medgrid.crypto.split_places import shown

    def first() -> None:
        if settings.has_catalog:
            with open_leases(settings.catalog_url) as leases:
                refuse_broker(leases)

    for url in keystore_urls(settings):
        try:
            yield StoreUpgraded(shown(url), upgrade(url, first))
        except LeaseHeld:
            raise
        except MedgridError as error:
            yield Failure(shown(url), error)
