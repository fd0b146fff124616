"""The recovery key at work: a rehearsal, and giving everything back that a lost identity opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.catalog.access import Member
from medgrid.crypto import recovery
from medgrid.crypto.identity import fingerprint
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.policy import Care, Role
from medgrid.crypto.recovery import Drill
from medgrid.crypto.recovery_key import recovery_public
from medgrid.errors import ConfigError, UsageError

__all__ = ["State", "drill", "read_shares", "restore", "state"]

_SHARE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class State:
    """The grid's recovery key, and how many of the compartments that are there it opens."""

    fingerprint: str
    wrapped: int
    compartments: int


def state(grid: Grid) -> State:
    """What the recovery key would bring back, as far as can be told without it.

    Raises
    ------
    ConfigError
        The grid has none.
    """
    public, store = _public(grid), grid.vault.store
    everything = set(store.all_compartments())
    wrapped = everything.intersection(store.compartments_of(RECOVERY))
    return State(fingerprint(public), len(wrapped), len(everything))


def read_shares(files: Sequence[Path]) -> list[str]:
    """Shares in files, one a file, or several with empty lines between.

    Raises
    ------
    UsageError
        A file cannot be read.
    """
    found: list[str] = []
    for file in files:
        try:
            with file.open(encoding="utf-8") as stream:
                text = stream.read(_SHARE_BYTES_MAX + 1)
        except OSError as exc:
            raise UsageError(f"{file}: cannot be read: {exc.strerror}") from exc
        except UnicodeDecodeError:
            raise UsageError(f"{file}: holds no share of a recovery key") from None
        if len(text) > _SHARE_BYTES_MAX:
            raise UsageError(f"{file}: holds no share of a recovery key")
        parts = text.replace("\r\n", "\n").split("\n\n")
        found += [part for part in parts if part.strip()]
    return found


def drill(grid: Grid, shares: Sequence[str]) -> Drill:
    """Prove that shares open everything; nothing is changed, and nothing of it is kept.

    Raises
    ------
    ConfigError
        The grid has no recovery key.
    Denied
        There are too few shares.
    IntegrityError
        They make another key, or something does not open.
    UsageError
        One is misspelt, or they are not of one set.
    """
    return recovery.drill(grid.vault.store, shares, _public(grid))


def restore(
    grid: Grid, shares: Sequence[str], name: str, lost: str | None = None
) -> tuple[Drill, list[Member]]:
    """Let an identity open what the recovery key opens, and make it known to the catalog.

    Parameters
    ----------
    name : str
        Who shall open it; its certificate must hold.
    lost : str, optional
        Give only what this identity could open, which may be the same one with lost keys; without
        it all is given.

    Returns
    -------
    Drill
        What was opened.
    list of Member
        What the identity newly is to patients: what the lost one was.

    Raises
    ------
    NotFound
        There is no such identity.
    ConfigError, Denied, IntegrityError, UsageError
        As `drill`.
    """
    vault = grid.vault
    known = vault.trust(name)
    done = recovery.restore(vault.store, shares, _public(grid), name, known.encryption_public, lost)
    access = grid.whole.access
    if lost is not None:
        roles = [one for many in access.teams(access.patients_of(lost)).values() for one in many]
        new = [Member(one.patient, name, one.role) for one in roles if one.identity == lost]
    elif Role.PHYSICIAN in known.roles:
        patients = {one.patient for one in vault.store.compartments_of(name)}
        new = [Member(patient, name, Care.PHYSICIAN) for patient in sorted(patients)]
    else:
        new = []
    before = {one for many in access.teams(one.patient for one in new).values() for one in many}
    added = [one for one in new if one not in before]
    access.add_care(*added)
    return done, added


def _public(grid: Grid) -> bytes:
    found = recovery_public(grid.settings.keys_dir, grid.vault.store)
    if found is None:
        raise ConfigError(
            "this grid has no recovery key", hint="the registrar makes one with 'medgrid init'"
        )
    return found
