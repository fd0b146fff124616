"""Who belongs to a patient's care team, in keys: who can open the patient's compartments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medgrid.crypto.compartments import Compartments, Rotated, make_wrap
from medgrid.crypto.keystore_values import Signer
from medgrid.crypto.seals import Seals
from medgrid.errors import Denied, NotFound
from medgrid.model import DataClass

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["CareTeam"]

_BOTH = (DataClass.NOMINATIVE, DataClass.IMAGE)


class CareTeam:
    """Gives and takes keys of patients. Who acts must have these keys."""

    def __init__(
        self, store: KeyStore, identity: Signer, compartments: Compartments, seals: Seals
    ) -> None:
        self._store = store
        self._identity = identity
        self._compartments = compartments
        self._seals = seals

    def add(
        self, patient: str, name: str, public: bytes, classes: Sequence[DataClass] = _BOTH
    ) -> int:
        """Let somebody open all that a patient's compartments hold, old revisions included.

        Parameters
        ----------
        patient : str
            Pseudonym.
        name : str
            Whom to add.
        public : bytes, 32
            Their X25519 public key, from a verified certificate.
        classes : sequence of DataClass

        Returns
        -------
        int
            How many wraps were made.

        Raises
        ------
        Denied
            Who acts cannot open the patient's compartments.
        """
        ids = [
            one.id for data_class in classes for one in self._store.revisions(patient, data_class)
        ]
        found = self._compartments.privates(ids)
        if not found:
            raise self._has_none(patient)
        self._store.put_wraps(
            [make_wrap(id_, name, public, private) for id_, private in found.items()]
        )
        return len(found)

    def drop(self, patient: str, name: str, classes: Sequence[DataClass] = _BOTH) -> list[Rotated]:
        """Destroy somebody's wraps, and make new revisions for what comes from now on.

        What they opened before they may have kept: for that, objects need new keys and new bodies.

        Raises
        ------
        Denied
            Who acts cannot open the patient's compartments.
        NotFound
            They have no wrap.
        """
        theirs = [
            one
            for one in classes
            if any(name in names for names in self._store.members(patient, one).values())
        ]
        if not theirs:
            raise NotFound(f"{name} has no key for data of patient {patient}")
        return self._rotate(patient, theirs, name)

    def rotate(self, patient: str, classes: Sequence[DataClass] = _BOTH) -> list[Rotated]:
        """Make new revisions for the same members; raises as `drop`."""
        return self._rotate(patient, classes, None)

    def _rotate(
        self, patient: str, classes: Sequence[DataClass], dropped: str | None
    ) -> list[Rotated]:
        names = {}
        if DataClass.NOMINATIVE in classes:
            newest = self._compartments.public(patient, DataClass.NOMINATIVE)
            if newest.id not in self._compartments.privates([newest.id]):
                raise self._has_none(patient)
            names = self._seals.open([patient], "seal again")
        with self._store.transaction():
            if dropped is not None:
                for one in classes:
                    self._store.drop_wraps(patient, one, dropped)
            found = [self._compartments.rotate(patient, one) for one in classes]
            if names:
                self._seals.put(names)
        return found

    def _has_none(self, patient: str) -> Denied:
        return Denied(f"{self._identity.name} has no key for data of patient {patient}")
