"""Places that the contract is checked on: a storage and, where it lies here, its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medgrid.storage.base import Storage

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A storage under test, and the directory behind it."""

    storage: Storage
    root: Path
    is_local: bool

    def files(self) -> list[Path]:
        """All files below the root, temporary ones too."""
        return [path for path in self.root.rglob("*") if path.is_file()]
