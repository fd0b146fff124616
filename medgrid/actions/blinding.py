"""Codes in place of an attribute's values: made, sealed to those named, released for everybody."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from medgrid.actions.attributes import Changed, give
from medgrid.actions.grid import Grid
from medgrid.catalog.names import BLIND
from medgrid.catalog.patient_attributes import Given
from medgrid.crypto.audit_record import Event
from medgrid.crypto.hpke import binding
from medgrid.crypto.messages import open_text, seal_text
from medgrid.errors import Denied, IntegrityError, NotFound

__all__ = ["Codes"]

_LETTERS = "ABCDEFGHJKMNPQRSTVWXYZ23456789"
_LENGTH = 4


class Codes:
    """The codes of one blinded attribute.

    Codes are drawn, and follow from nothing. What they mean is a list that the one signs who blinds
    the attribute; each who may know it has it sealed. All who have it may add to it.

    Attributes
    ----------
    lost : list of str
        Why `blind` did not seal the list again to somebody who had it.
    """

    def __init__(self, grid: Grid, name: str) -> None:
        self._grid = grid
        self._name = name
        self._store = grid.whole.patient_attributes
        self._me = grid.settings.user
        self.lost: list[str] = []

    def blind(self, new: Sequence[Given], to: Sequence[str], source: str) -> Changed:
        """Give values as codes; `to` may know from now on what they mean, as who knows it already.

        Who knows it already and has no certificate any more that holds loses it (`lost`).

        Raises
        ------
        Denied
            What the codes mean is sealed to others.
        NotFound, Denied
            Nobody of a name of `to` has a certificate that holds.
        Unfit
            The attribute is known otherwise.
        """
        if not new:
            return Changed([], [])
        with self._grid.whole.transaction():
            is_new = self._store.hold_codes(self._name)
            meanings, readers = self._opened()
            if meanings is None and not is_new:
                raise self._denied()
            codes = {meaning: code for code, meaning in (meanings or {}).items()}
            for value in sorted({one.word for one in new}):
                if value not in codes:
                    codes[value] = self._draw(codes.values())
            problem = self._grid.vault.trust.roster.problem
            ended = {one: found for one in readers if one not in to and (found := problem(one))}
            self.lost = [found.message for found in ended.values()]
            everybody = sorted({*readers, *to} - ended.keys() or {self._me})
            meanings = {code: meaning for meaning, code in codes.items()}
            self._seal(meanings, everybody)
            self._record("blind", f"to {' '.join(everybody)}")
            coded = [Given(one.patient, one.visit, one.name, codes[one.word]) for one in new]
            return give(self._grid, coded, source, place=BLIND)

    def meanings(self) -> dict[str, str]:
        """What the codes mean, when it is recorded that the user asked.

        Raises
        ------
        NotFound
            There are no such codes.
        Denied
            They are sealed to others.
        """
        found = self._known()
        self._record("codes")
        return found

    def release(self) -> dict[str, str]:
        """Let everybody know what the codes mean; raises as `meanings`."""
        self._known()
        with self._grid.whole.transaction():
            self._store.hold_codes(self._name)  # another may just have released them
            found = self._known()
            self._record("unblind")
            self._store.release_codes(self._name, found, self._me)
        return found

    def _known(self) -> dict[str, str]:
        known = self._grid.catalog.patient_attributes.known(self._name)
        if known is None or known.place != BLIND:
            raise NotFound(
                f"no attribute {self._name} is blinded", hint="'medgrid meta ls' shows which are"
            )
        found, _ = self._opened()
        if found is None:
            raise self._denied()
        return found

    # -- the sealed list ---------------------------------------------------------------------------

    def _opened(self) -> tuple[dict[str, str] | None, list[str]]:
        """What the codes mean and who may know it, where the user may."""
        sealed = self._store.codes_for(self._name, self._me)
        if sealed is None:
            return None, []
        vault = self._grid.vault
        text = open_text(sealed, self._reader(self._me), vault.identity.encryption_private)
        try:
            outer: dict[str, Any] = json.loads(text)
            said, by = outer["said"], outer["by"]
            message = binding("codes", self._name, by, said)
            vault.trust.check_signature(by, message, bytes.fromhex(outer["signature"]))
            inner: dict[str, Any] = json.loads(said)
            return dict(inner["codes"]), list(inner["readers"])
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(f"the list of codes of {self._name} is damaged") from None

    def _seal(self, meanings: dict[str, str], readers: Sequence[str]) -> None:
        vault = self._grid.vault
        said = json.dumps({"codes": meanings, "readers": readers}, sort_keys=True)
        signature = vault.identity.sign(binding("codes", self._name, self._me, said))
        text = json.dumps({"said": said, "by": self._me, "signature": signature.hex()})
        sealed = {
            reader: seal_text(text, self._reader(reader), vault.trust(reader).encryption_public)
            for reader in readers
        }
        self._store.seal_codes(self._name, sealed, self._me)

    def _reader(self, name: str) -> str:
        return f"{name}, codes of {self._name}"

    def _draw(self, taken: Iterable[str]) -> str:
        while True:
            code = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
            if code not in taken:
                return code

    def _record(self, verb: str, detail: str = "") -> None:
        self._grid.vault.store.audit.append(Event(verb, self._name, "", detail))

    def _denied(self) -> Denied:
        return Denied(
            f"what the codes of {self._name} mean is not sealed to {self._me}",
            hint="ask whom it was sealed to: who blinded it knows",
        )
