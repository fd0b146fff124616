"""Certificates that hold no more: one list, signed by the registration key, with a growing number.

For each name the list has a serial: certificates of this name up to it are revoked. A certificate
that is made later has a greater one. Entries never leave the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from medgrid.crypto.signed import BadDocument, check_signature, parse, seal
from medgrid.errors import Denied

__all__ = ["Revocation", "RevocationList"]

_SCHEMA = "medgrid.revocations/1"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Certificates up to `serial` are revoked.

    What was signed with them stays good, since nothing tells when it was; but a stranger may have
    had the keys of certificates up to `compromised`, and nothing counts that those signed.
    """

    serial: int
    compromised: int = 0


@dataclass(frozen=True, slots=True)
class RevocationList:
    """What is revoked, by name. `number` is 0 for the list of a grid that has none yet."""

    number: int = 0
    entries: Mapping[str, Revocation] = field(default_factory=dict)
    blob: bytes = b""

    def followed_by(
        self, entries: Mapping[str, Revocation], number: int, sign: Callable[[bytes], bytes]
    ) -> RevocationList:
        """Make the list `number`, which has the entries of this one and more."""
        merged = self.with_entries(entries).entries
        fields = {
            "number": number,
            "revoked": {
                name: {"serial": entry.serial, "compromised": entry.compromised}
                for name, entry in merged.items()
            },
        }
        return RevocationList(number, merged, seal(_SCHEMA, fields, sign))

    def with_entries(self, entries: Mapping[str, Revocation]) -> RevocationList:
        """Say all that this list and `entries` say; nobody has signed that."""
        merged = dict(self.entries)
        for name, entry in entries.items():
            old = merged.get(name, entry)
            merged[name] = Revocation(
                max(old.serial, entry.serial), max(old.compromised, entry.compromised)
            )
        return RevocationList(self.number, merged)

    @classmethod
    def verified(cls, blob: bytes, pin: bytes) -> Self:
        """Read a list that the registration key with public half `pin` signed.

        Raises
        ------
        Denied
            It is none, or somebody else made or changed it.
        """
        try:
            document = parse(_SCHEMA, blob)
            check_signature(_SCHEMA, document, pin)
            number, revoked = document.get("number"), document.get("revoked")
            if type(number) is not int or number < 1 or not isinstance(revoked, dict):
                raise BadDocument("its fields are not the expected ones")
            entries = {name: _entry(value) for name, value in revoked.items()}
        except BadDocument as exc:
            raise Denied(f"no list of revoked certificates of this grid: {exc}") from None
        return cls(number, entries, blob)

    def covers(self, other: RevocationList) -> bool:
        """Whether this list can come after `other`: everything revoked there is revoked here."""
        return all(
            name in self.entries
            and self.entries[name].serial >= entry.serial
            and self.entries[name].compromised >= entry.compromised
            for name, entry in other.entries.items()
        )


def _entry(value: Any) -> Revocation:
    if not isinstance(value, dict) or set(value) != {"serial", "compromised"}:
        raise BadDocument("its fields are not the expected ones")
    serial, compromised = value["serial"], value["compromised"]
    if type(serial) is not int or type(compromised) is not int:
        raise BadDocument("its fields are not the expected ones")
    return Revocation(serial, compromised)
