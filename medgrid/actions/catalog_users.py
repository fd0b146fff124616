"""Roles of the database server for the grid's identities, and rows that only those may see who may.

Of each identity whose certificate counts, on the catalog's server and, where it lives on one, on
the key store's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medgrid.actions.keys import open_keystore
from medgrid.config import Settings
from medgrid.crypto.roster import open_roster
from medgrid.errors import NotFound

if TYPE_CHECKING:
    from medgrid.catalog.row_security import DatabaseUser

__all__ = ["GuardedCatalog", "guard_catalog", "plan_guard"]


@dataclass(frozen=True, slots=True)
class GuardedCatalog:
    """Who has a role of the servers now: name and roles of the certificate, by name."""

    users: Sequence[tuple[str, tuple[str, ...]]]


def guard_catalog(settings: Settings) -> GuardedCatalog:
    """Make the roles and the policies, and put everybody else out.

    Raises
    ------
    ConfigError
        The catalog is a SQLite file.
    Denied
        Whoever is connected may not make roles, or a role of that name may too much.
    NotFound
        No certificate counts.
    """
    from medgrid.catalog.row_security import apply

    users = _certified(settings)
    apply(settings.catalog_url, users)
    _guard_keystores(settings, users)
    return GuardedCatalog([(user.name, tuple(sorted(user.roles))) for user in users])


def plan_guard(settings: Settings) -> list[str]:
    """SQL that `guard_catalog` would send to the catalog's server; raises as it does."""
    from medgrid.catalog.row_security import statements

    return statements(settings.catalog_url, _certified(settings))


def _certified(settings: Settings) -> list[DatabaseUser]:
    from medgrid.catalog.row_security import DatabaseUser

    with closing(open_keystore(settings, settings.user)) as store:
        roster = open_roster(settings.keys_dir, store)
        users = [
            DatabaseUser(name, frozenset(str(role) for role in roster.find(name).roles))
            for name in roster.names()
            if roster.problem(name) is None
        ]
    if not users:
        raise NotFound("no certificate of this grid counts", hint="see 'medgrid identity ls'")
    return users


def _guard_keystores(settings: Settings, users: Sequence[DatabaseUser]) -> None:
    from medgrid.crypto.keystore import KeyStore

    for url in settings.keystore_urls:
        with closing(KeyStore.open(url, settings.user)) as store:
            if store.db.is_sqlite:
                continue
            for user in users:
                store.admit(user.name, user.name, user.roles)
            for name in store.users().keys() - {user.name for user in users}:
                store.expel(name)
