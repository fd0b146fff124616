"""Compartments: one key pair for a patient's data of one class, and who can open it.

Anybody can seal to a compartment's public key; the private key is sealed ("wrapped") to each member
of the care team, to the patient, and to the recovery key. Revisions are numbered from 1: who was
dropped from the team has no wrap of the next one, which new objects are sealed to. They could have
kept what they could open before: only new keys and new bodies change that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from medgrid.crypto.hpke import binding, hpke_open, hpke_seal, key_pair, public_of
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.keystore_values import Compartment, CompartmentId, Signer, Trust, WrapRow
from medgrid.errors import AlreadyExists, Denied, IntegrityError, NotFound
from medgrid.model import DataClass

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["CREATORS", "Compartments", "Rotated", "make_wrap", "open_wraps", "wrap_info"]

CREATORS = ("physician", "registrar")
"""Roles whose signature makes a compartment."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new revision; `left_out` are members that got no wrap, since nobody vouches for them."""

    compartment: Compartment
    left_out: tuple[str, ...] = ()


def wrap_info(id_: CompartmentId, recipient: str) -> bytes:
    """What a wrap is bound to."""
    return binding("wrap", *id_, recipient)


class Compartments:
    """What one identity does with the compartments of a key store.

    Parameters
    ----------
    store : KeyStore
        Opened for the same identity.
    identity : Signer
        Who acts.
    trust : callable
        Gives the certified keys of a name, or raises `Denied`.
    recovery_public : bytes, optional
        Public key that every compartment is wrapped to besides, from a place that the key store's
        administrator cannot change.
    """

    def __init__(
        self,
        store: KeyStore,
        identity: Signer,
        trust: Trust,
        recovery_public: bytes | None = None,
    ) -> None:
        self._store = store
        self._identity = identity
        self._trust = trust
        self._recovery_public = recovery_public
        self._private: dict[CompartmentId, bytes] = {}
        self._public: dict[tuple[str, DataClass], Compartment] = {}

    # -- making ------------------------------------------------------------------------------------

    def create(
        self,
        patient: str,
        data_class: DataClass,
        recipients: Iterable[tuple[str, bytes]] = (),
    ) -> Compartment:
        """Make the first revision of a compartment.

        Parameters
        ----------
        patient : str
            Pseudonym.
        data_class : DataClass
        recipients : iterable of (str, bytes)
            Who can open it besides its maker: names and X25519 public keys.

        Raises
        ------
        AlreadyExists
            The patient has one.
        """
        return self._make([CompartmentId(patient, data_class, 1)], dict(recipients))[0]

    def ensure(
        self,
        patients: Iterable[str],
        data_class: DataClass,
        recipients: Iterable[tuple[str, bytes]] = (),
    ) -> dict[str, Compartment]:
        """Compartments of many patients, verified; those that are missing are made.

        Raises
        ------
        Denied
            A patient has one that this identity may not see, or nobody vouches for it.
        """
        wanted = list(dict.fromkeys(patients))
        others = dict(recipients)
        with self._store.transaction():
            there = self._store.current(wanted, data_class)
            missing = [one for one in wanted if one not in there]
            try:
                self._make([CompartmentId(one, data_class, 1) for one in missing], others)
            except AlreadyExists:
                raise Denied(
                    f"{self._identity.name} may not see the keys of one of these patients"
                ) from None
        return self.publics(wanted, data_class)

    def _make(
        self, ids: Iterable[CompartmentId], recipients: Mapping[str, bytes]
    ) -> list[Compartment]:
        own = {self._identity.name: public_of(self._identity.encryption_private)}
        if self._recovery_public is not None:
            own[RECOVERY] = self._recovery_public
        made, wraps = [], []
        for id_ in ids:
            private, public = key_pair()
            draft = Compartment(id_, public, self._identity.name, b"")
            made.append(replace(draft, signature=self._identity.sign(draft.signed_bytes())))
            wraps += [
                make_wrap(id_, name, key, private)
                for name, key in {**own, **recipients, **own}.items()
            ]
            self._public.pop((id_.patient, id_.data_class), None)
        with self._store.transaction():
            self._store.create_compartments(made)
            self._store.put_wraps(wraps)
        return made

    # -- public keys -------------------------------------------------------------------------------

    def public(self, patient: str, data_class: DataClass) -> Compartment:
        """The revision that new objects are sealed to, verified.

        Raises
        ------
        Denied
            Nobody who may make compartments vouches for it.
        IntegrityError
            It is not what its maker signed, or revisions are missing.
        NotFound
            The patient has none.
        """
        return self.publics([patient], data_class)[patient]

    def publics(self, patients: Iterable[str], data_class: DataClass) -> dict[str, Compartment]:
        """The same for many patients; raises as `public`."""
        wanted = list(patients)
        missing = [one for one in wanted if (one, data_class) not in self._public]
        if missing:
            there = self._store.current(missing, data_class)
            wrapped = self._store.wrapped_revisions(missing, data_class)
            for patient in missing:
                newest = there[patient].id.revision if patient in there else 0
                if wrapped.get(patient, 0) > newest:
                    raise IntegrityError(
                        f"the newest {data_class} key of patient {patient} is missing from the key "
                        "store"
                    )
                if not newest:
                    raise NotFound(f"patient {patient} has no keys for {data_class} data")
                self._verify(there[patient])
                self._public[patient, data_class] = there[patient]
        return {one: self._public[one, data_class] for one in wanted}

    def _verify(self, compartment: Compartment) -> None:
        try:
            self._trust.check_signature(
                compartment.signer,
                compartment.signed_bytes(),
                compartment.signature,
                *CREATORS,
            )
        except IntegrityError:
            raise IntegrityError(
                f"the {compartment.id.data_class} key of patient {compartment.id.patient} is not "
                f"the one that {compartment.signer} signed"
            ) from None

    # -- private keys ------------------------------------------------------------------------------

    def private(self, patient: str, data_class: DataClass, revision: int) -> bytes:
        """Private key of a compartment, by the wrap for this identity.

        Raises
        ------
        Denied
            There is no wrap for this identity.
        IntegrityError
            The wrap does not open, or what is in it is another key.
        """
        id_ = CompartmentId(patient, data_class, revision)
        found = self.privates([id_])
        if id_ not in found:
            raise Denied(
                f"{self._identity.name} has no key for {data_class} data of patient {patient}",
                hint="who has one can give it with 'medgrid team add'",
            )
        return found[id_]

    def privates(self, keys: Iterable[CompartmentId]) -> dict[CompartmentId, bytes]:
        """Private keys of many compartments; those without a wrap for this identity are absent.

        Raises
        ------
        IntegrityError
            A wrap does not open, or what is in it is another key.
        """
        wanted = list(dict.fromkeys(keys))
        missing = [id_ for id_ in wanted if id_ not in self._private]
        if missing:
            wraps = self._store.wraps_for(missing)
            compartments = self._store.compartments(wraps)
            self._private |= open_wraps(
                self._identity.encryption_private, self._identity.name, wraps, compartments
            )
        return {id_: self._private[id_] for id_ in wanted if id_ in self._private}

    def forget(self) -> None:
        """Forget the keys that were opened in this process."""
        self._private.clear()
        self._public.clear()

    def rotate(self, patient: str, data_class: DataClass) -> Rotated:
        """Make a new revision, with a wrap for each who has one of the newest.

        A patient's seal belongs to a revision: `medgrid.crypto.care_team` makes it anew besides.

        Raises
        ------
        Denied
            This identity cannot open the newest revision itself.
        """
        newest = self.public(patient, data_class)
        members = self._store.members(patient, data_class).get(newest.id.revision, [])
        if self._identity.name not in members:
            raise Denied(
                f"{self._identity.name} has no key for {data_class} data of patient {patient}"
            )
        recipients, left_out = {}, []
        for name in members:
            if name in (RECOVERY, self._identity.name):
                continue
            try:
                recipients[name] = self._trust(name).encryption_public
            except (Denied, NotFound):
                left_out.append(name)
        next_id = newest.id._replace(revision=newest.id.revision + 1)
        return Rotated(self._make([next_id], recipients)[0], tuple(left_out))


def open_wraps(
    private: bytes,
    recipient: str,
    wraps: Mapping[CompartmentId, bytes],
    compartments: Mapping[CompartmentId, Compartment],
) -> dict[CompartmentId, bytes]:
    """Open wraps that are for `recipient`, and compare what is in them with the public keys.

    Raises
    ------
    IntegrityError
        A wrap does not open, or what is in it is another key.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    key = X25519PrivateKey.from_private_bytes(private)
    found = {}
    for id_, sealed in wraps.items():
        try:
            opened = hpke_open(key, sealed, wrap_info(id_, recipient))
            good = id_ in compartments and public_of(opened) == compartments[id_].public_key
        except (IntegrityError, ValueError):
            good = False
        if not good:
            raise IntegrityError(
                f"the key of {recipient} for {id_.data_class} data of patient {id_.patient} "
                f"(revision {id_.revision}) is damaged or is another's",
                hint=f"if {recipient} has a new key, enough shares of the recovery key bring back "
                "what the old one could open: see 'medgrid recovery restore --help'",
            )
        found[id_] = opened
    return found


def make_wrap(id_: CompartmentId, name: str, public: bytes, private: bytes) -> WrapRow:
    """Seal a compartment's private key to one recipient."""
    return WrapRow(id_, name, hpke_seal(public, private, wrap_info(id_, name)))
