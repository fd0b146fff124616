"""How long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SILENT"]


class Progress(Protocol):
    """Listener to one piece of long work."""

    def total(self, amount: int, unit: str = "") -> None:
        """Set how much there is to do (unit ``"B"`` for bytes, else counted things).

        Another amount, or any after all was done, begins another phase, of which nothing is done.
        """

    def advance(self, amount: int = 1) -> None:
        """Say that so much more is done."""

    def note(self, text: str) -> None:
        """Say what is being done now."""

    def warn(self, message: str) -> None:
        """Tell the user something at once (a warning on stderr)."""


class _Silent:
    def total(self, amount: int, unit: str = "") -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass


SILENT: Progress = _Silent()
