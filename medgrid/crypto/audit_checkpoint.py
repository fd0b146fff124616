"""Signed states of the audit log, and the file in which a client remembers the last one.

A checkpoint says: at this time the log had so many records, and this was their root. Who keeps one
notices when records that it covers are changed or cut off, whoever has the database.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medgrid.crypto.hpke import binding
from medgrid.crypto.merkle import Frontier
from medgrid.crypto.private_file import replace_private
from medgrid.errors import ConfigError

__all__ = ["Checkpoint", "Memory"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of the log of the store `store_id`, signed by `signer` (Ed25519)."""

    store_id: str
    size: int
    root: bytes
    time_us: int
    signer: str
    signature: bytes = b""

    @property
    def time_s(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self.time_us / 1e6

    def signed_bytes(self) -> bytes:
        """What the signature is over."""
        return binding("checkpoint", self.store_id, self.size, self.root, self.time_us, self.signer)

    def to_dict(self) -> dict[str, Any]:
        """What goes into JSON."""
        found = asdict(self)
        return found | {"root": self.root.hex(), "signature": self.signature.hex()}

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Checkpoint:
        """Read what `to_dict` gave; raises ValueError, KeyError or TypeError when it is none."""
        return cls(
            str(found["store_id"]),
            int(found["size"]),
            bytes.fromhex(found["root"]),
            int(found["time_us"]),
            str(found["signer"]),
            bytes.fromhex(found["signature"]),
        )


class Memory:
    """The last checkpoint that a client saw of each key store, in a file of its home.

    Parameters
    ----------
    file : Path
        Made when something is first remembered.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def recall(self, store_id: str) -> tuple[Checkpoint, Frontier] | None:
        """The last checkpoint of a store and what it takes to continue from it.

        Raises
        ------
        ConfigError
            The file cannot be read, or is damaged.
        """
        found = self._read().get(store_id)
        if found is None:
            return None
        try:
            checkpoint = Checkpoint.from_dict(found)
            frontier = Frontier.from_bytes(checkpoint.size, bytes.fromhex(found["frontier"]))
            if checkpoint.store_id != store_id or frontier.root() != checkpoint.root:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise self._damaged() from None
        return checkpoint, frontier

    def remember(self, checkpoint: Checkpoint, frontier: Frontier) -> None:
        """Keep a checkpoint in place of an earlier one of its store.

        Raises
        ------
        ConfigError
            The file cannot be written.
        """
        found = self._read()
        found[checkpoint.store_id] = checkpoint.to_dict() | {"frontier": frontier.to_bytes().hex()}
        replace_private(self._file, json.dumps(found, indent=1, sort_keys=True).encode())

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_text())
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise ConfigError(f"{self._file}: cannot be read: {exc.strerror}") from exc
        except ValueError:
            raise self._damaged() from None
        if not isinstance(found, dict):
            raise self._damaged()
        return found

    def _damaged(self) -> ConfigError:
        return ConfigError(
            f"{self._file}: not the audit checkpoints that medgrid remembered",
            hint="restore it from a backup; without it a cut of the audit log may go unnoticed",
        )
