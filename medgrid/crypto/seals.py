"""Seals: what names a patient, for those alone who can open the nominative compartment.

A seal is signed by who made it, since anybody can seal to a public key. It is bound to the patient
and to the compartment's revision: a seal of another patient, or of an earlier revision, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from medgrid.crypto.compartments import Compartments
from medgrid.crypto.hpke import binding, hpke_open, hpke_seal
from medgrid.crypto.keystore_values import CompartmentId, Seal, Signer, Trust
from medgrid.errors import IntegrityError
from medgrid.model import DataClass

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["Seals"]

_SIGNATURE_BYTES = 64
_NAMES = DataClass.NOMINATIVE


class Seals:
    """Makes and opens the seals of a key store's patients."""

    def __init__(
        self, store: KeyStore, identity: Signer, compartments: Compartments, trust: Trust
    ) -> None:
        self._store = store
        self._identity = identity
        self._compartments = compartments
        self._trust = trust

    def put(self, names: Mapping[str, Mapping[str, Any]]) -> None:
        """Seal what names patients, in place of earlier seals.

        Parameters
        ----------
        names : mapping
            By pseudonym, what `json` can write.
        """
        compartments = self._compartments.publics(names, _NAMES)
        self._store.put_seals(
            [
                self._seal(compartments[one].id, compartments[one].public_key, said)
                for one, said in names.items()
            ]
        )

    def _seal(self, id_: CompartmentId, public: bytes, said: Mapping[str, Any]) -> Seal:
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        info = _info(id_)
        name = self._identity.name.encode()
        signature = self._identity.sign(binding("seal content", info, name, text))
        plain = signature + len(name).to_bytes(2, "big") + name + text
        return Seal(id_.patient, id_.revision, hpke_seal(public, plain, info))

    def open(self, patients: Iterable[str], purpose: str) -> dict[str, dict[str, Any]]:
        """What names these patients; those whose seal is not for this identity are absent.

        Raises
        ------
        Denied
            Nobody vouches for who made a seal.
        IntegrityError
            A seal was changed, exchanged or rolled back.
        """
        wanted = list(patients)
        seals = self._store.seals(wanted, purpose)
        current = self._store.current(seals, _NAMES)
        ids = {
            patient: CompartmentId(patient, _NAMES, seal.revision)
            for patient, seal in seals.items()
        }
        for patient, id_ in ids.items():
            if patient not in current or current[patient].id != id_:
                raise _refused(patient)
        privates = self._compartments.privates(ids.values())
        return {
            patient: self._open(seals[patient], privates[id_])
            for patient, id_ in ids.items()
            if id_ in privates
        }

    def _open(self, seal: Seal, private: bytes) -> dict[str, Any]:
        info = _info(CompartmentId(seal.patient, _NAMES, seal.revision))
        try:
            plain = hpke_open(private, seal.sealed, info)
            at = _SIGNATURE_BYTES + 2
            end = at + int.from_bytes(plain[_SIGNATURE_BYTES:at], "big")
            name, text = plain[at:end], plain[end:]
            message = binding("seal content", info, name, text)
            self._trust.check_signature(name.decode(), message, plain[:_SIGNATURE_BYTES])
        except (IntegrityError, ValueError):
            raise _refused(seal.patient) from None
        said: dict[str, Any] = json.loads(text)
        return said


def _info(id_: CompartmentId) -> bytes:
    return binding("seal", id_.patient, id_.revision)


def _refused(patient: str) -> IntegrityError:
    return IntegrityError(f"the seal of patient {patient} is damaged, exchanged or too old")
