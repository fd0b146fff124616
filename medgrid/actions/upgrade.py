"""Look after the catalog's database: what it is, and bringing it up to date."""

from __future__ import annotations

from typing import Any

from medgrid.config import Settings

__all__ = ["describe", "upgrade_catalog"]


def describe(settings: Settings) -> dict[str, Any]:
    """What the catalog is and how much of it the user sees, also of an older one."""
    from medgrid.catalog.about import about

    return about(settings.catalog_url, settings.user)


def upgrade_catalog(settings: Settings) -> tuple[str, str]:
    """Bring the catalog to this medgrid's schema; returns the revisions before and after.

    Raises
    ------
    ConfigError
        There is no catalog, or it is newer than this medgrid.
    """
    from medgrid.catalog.upgrade import upgrade

    return upgrade(settings.catalog_url)
