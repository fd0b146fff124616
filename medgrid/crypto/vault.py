"""What one identity can seal and open: data keys, by way of the key store.

A new object's data key is sealed to the compartment of its patient, which needs no secret, or to
people where it is of no single patient. To open it again the key store is asked, which writes that
down first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from medgrid.crypto.compartments import Compartments
from medgrid.crypto.crypt4gh import (
    Body,
    Encryptor,
    HeaderOpener,
    Manifest,
    decrypt,
    key_id,
    new_data_key,
    seal_header,
)
from medgrid.crypto.delegation import borrow, lend, lend_again
from medgrid.crypto.identity import Identity
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.keystore_values import CompartmentId, HeaderRow, Released
from medgrid.crypto.messages import open_message, seal_text
from medgrid.crypto.pseudonym import keyed_digest
from medgrid.crypto.seals import Seals
from medgrid.crypto.trust import Trust
from medgrid.errors import AlreadyExists, Denied
from medgrid.model import DataClass, ObjectId, Sha256

__all__ = [
    "Adopted",
    "InputKey",
    "ObjectKey",
    "SealedOutput",
    "Sealing",
    "Vault",
    "Whose",
    "decrypted",
    "sealing",
]


@dataclass(frozen=True, slots=True)
class Whose:
    """Who shall be able to open an object.

    `patient` is the pseudonym of the one patient it is of, None when there is none or several;
    `readers` are identities that get a header of their own, such as the owner of a result who is
    not in the care team.
    """

    data_class: DataClass
    patient: str | None = None
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """What opens one object, and what its bytes must be."""

    data_key: bytes = field(repr=False)
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class InputKey:
    """What a worker needs to open one input."""

    data_key: bytes = field(repr=False)
    manifest: Manifest

    @property
    def tags_sha256(self) -> Sha256:
        """Digest of the nonces and tags of the body."""
        return self.manifest.tags_sha256


@dataclass(frozen=True, slots=True)
class SealedOutput:
    """What a worker says of an output it encrypted; see `medgrid.workers.base.OutputFile`."""

    header: bytes
    tags_sha256: str
    sealed_digest: bytes


@dataclass(frozen=True, slots=True)
class Adopted:
    """An output of a job that is to be sealed to those whose it is."""

    object_id: ObjectId
    whose: Whose
    size_bytes: int
    body_sha256: Sha256
    output: SealedOutput


class Sealing:
    """An object being encrypted under a new data key. Make one with `sealing`."""

    def __init__(self, object_id: ObjectId, whose: Whose) -> None:
        self.object_id = object_id
        self.whose = whose
        self.data_key = new_data_key()
        # storage computes the digest of what it stores
        self._encryptor = Encryptor(self.data_key, hash_body=False)
        self._body_sha256: Sha256 | None = None

    def encrypt(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The body of a content; once."""
        return self._encryptor(chunks)

    def stored(self, body_sha256: Sha256) -> None:
        """Note the digest of the body, which storage found."""
        self._body_sha256 = body_sha256

    @property
    def plain_sha256(self) -> str:
        """Digest of the content, a secret: known when all of it was encrypted."""
        return self._encryptor.plain_sha256

    @property
    def size_bytes(self) -> int:
        """Size of the content: known when all of it was encrypted."""
        return self._encryptor.size_bytes

    def body(self) -> Body:
        """What the body is: known when it is stored."""
        return self._encryptor.body(self._body_sha256)


def sealing(object_id: ObjectId, whose: Whose) -> Sealing:
    """Begin to encrypt a new object."""
    return Sealing(object_id, whose)


def decrypted(chunks: Iterable[bytes], key: ObjectKey, start: str = "body") -> Iterator[bytes]:
    """Content of a body whose own digest somebody else compares; see `crypt4gh.decrypt`."""
    return decrypt(chunks, key.data_key, key.manifest, hash_body=False, start=start)


class Vault:
    """Seals and opens for one identity; for any thread.

    Parameters
    ----------
    store : KeyStore
    trust : Trust
        Says whose public keys are certified.
    name : str
        The identity.
    load : callable
        Gives it with its private keys; asked when there is need, once.
    content_key : bytes, optional
        What digests of contents are keyed with.
    recovery_public : bytes, optional
        The grid's recovery key, which all that is sealed is sealed to besides.
    """

    def __init__(
        self,
        store: KeyStore,
        trust: Trust,
        name: str,
        load: Callable[[], Identity],
        content_key: bytes | None = None,
        recovery_public: bytes | None = None,
    ) -> None:
        self.store = store
        self.trust = trust
        self.name = name
        self._load = load
        self._content_key = content_key
        self._recovery_public = recovery_public
        self._lock = threading.RLock()
        self._known: dict[ObjectId, ObjectKey] = {}

    def close(self) -> None:
        """Give back connections, forget keys."""
        self._known.clear()
        self.store.close()

    @cached_property
    def identity(self) -> Identity:
        """The identity with its private keys."""
        with self._lock:
            return self._load()

    @property
    def public(self) -> bytes:
        """X25519 public key that things are sealed to for this identity."""
        return self.identity.public.encryption_public

    @cached_property
    def compartments(self) -> Compartments:
        """Keys of patients."""
        return Compartments(self.store, self.identity, self.trust, self._recovery_public)

    @cached_property
    def seals(self) -> Seals:
        """What names patients."""
        return Seals(self.store, self.identity, self.compartments, self.trust)

    def keyed(self, sha256: str) -> str | None:
        """Keyed digest of a content, from its plain one; None where there is no key for it."""
        if self._content_key is None:
            return None
        return keyed_digest(self._content_key, "content", sha256).hex()

    # -- sealing -----------------------------------------------------------------------------------

    def keep(self, new: Iterable[Sealing]) -> None:
        """Make the keys of new objects last, all or none.

        Raises
        ------
        Denied
            A compartment, or a reader, is not certified.
        """
        self._put((one.object_id, one.whose, one.data_key, one.body()) for one in new)

    def _put(self, new: Iterable[tuple[ObjectId, Whose, bytes, Body]]) -> None:
        rows = self._rows(list(new))
        if rows:
            self.store.put_headers(rows)

    def _rows(self, new: Sequence[tuple[ObjectId, Whose, bytes, Body]]) -> list[HeaderRow]:
        rows: list[HeaderRow] = []
        identity = self.identity
        for data_class in {whose.data_class for _, whose, _, _ in new}:
            patients = {whose.patient for _, whose, _, _ in new if whose.data_class is data_class}
            self.compartments.publics(filter(None, patients), data_class)
        for object_id, whose, data_key, body in new:
            manifest = Manifest.make(object_id, body, identity.name, identity.sign)
            for patient, revision, recipient, public in self._recipients(whose):
                rows.append(
                    HeaderRow(
                        object_id,
                        whose.patient,
                        whose.data_class,
                        revision if patient else None,
                        recipient,
                        seal_header(data_key, [public]),
                        manifest.to_bytes(),
                    )
                )
            with self._lock:
                self._known[object_id] = ObjectKey(data_key, manifest)
        return rows

    def _recipients(
        self, whose: Whose
    ) -> Iterator[tuple[str | None, int | None, str | None, bytes]]:
        """Whom a data key is sealed to: (patient, revision, recipient, public key)."""
        if whose.patient is not None:
            current = self.compartments.public(whose.patient, whose.data_class)
            yield whose.patient, current.id.revision, None, current.public_key
        for reader in whose.readers:
            yield None, None, reader, self.trust(reader).encryption_public
        if whose.patient is None and self._recovery_public is not None:
            yield None, None, RECOVERY, self._recovery_public

    def adopt(self, outputs: Sequence[Adopted]) -> dict[ObjectId, str | None]:
        """Seal the keys of outputs, which came sealed to this identity, to those whose they are.

        It may be done again: a broker that died before the catalog heard of the outputs is repeated
        by the next one.

        Returns
        -------
        dict
            Keyed digest of the content of each.
        """
        from medgrid.crypto.messages import open_digest

        new = []
        digests: dict[ObjectId, str | None] = {}
        opener = HeaderOpener(self.identity.encryption_private) if outputs else None
        for one in outputs:
            assert opener is not None  # noqa: S101 - there is an output
            data_key = opener.open(one.output.header)
            body = Body(
                one.size_bytes, one.body_sha256, Sha256(one.output.tags_sha256), key_id(data_key)
            )
            new.append((one.object_id, one.whose, data_key, body))
            digests[one.object_id] = self.keyed(open_digest(data_key, one.output.sealed_digest))
        rows = self._rows(new)
        try:
            self.store.put_headers(rows)
        except AlreadyExists:
            for object_id in dict.fromkeys(row.object_id for row in rows):
                self._put_again([row for row in rows if row.object_id == object_id])
        return digests

    def _put_again(self, rows: list[HeaderRow]) -> None:
        """Keep the key of an object that the catalog does not know, whatever was kept before."""
        try:
            self.store.put_headers(rows)
        except AlreadyExists:
            # a server that lets brokers enter results, and destroy none, has this one
            with suppress(AlreadyExists):
                self.store.put_headers(rows, replace=True)

    # -- opening -----------------------------------------------------------------------------------

    def key(self, object_id: ObjectId, purpose: str = "read") -> ObjectKey:
        """What opens an object.

        Raises
        ------
        Denied
            The key store has nothing for this identity.
        IntegrityError
            What it has was changed.
        """
        with self._lock:
            if object_id not in self._known:
                self.preload([object_id], purpose)
            found = self._known.get(object_id)
        if found is None:
            raise Denied(
                f"the key store has no key of object {object_id} for {self.name}",
                hint="ask a physician of the patient for a grant",
            )
        return found

    def preload(self, ids: Iterable[ObjectId], purpose: str) -> None:
        """Ask for many keys at once; those that are denied are passed over."""
        with self._lock:
            wanted = [one for one in dict.fromkeys(ids) if one not in self._known]
            if not wanted:
                return
            released = self.store.release(wanted, purpose)
            self.compartments.privates(
                one.compartment for one in released.values() if one.compartment is not None
            )
            openers: dict[CompartmentId | None, HeaderOpener] = {}
            for object_id, one in released.items():
                if one.compartment not in openers:
                    openers[one.compartment] = HeaderOpener(self._private(one.compartment))
                self._known[object_id] = self._opened(one, openers[one.compartment])

    def _private(self, place: CompartmentId | None) -> bytes:
        """Private key of a compartment; without one, this identity's own."""
        return (
            self.identity.encryption_private if place is None else self.compartments.private(*place)
        )

    def _opened(self, released: Released, opener: HeaderOpener) -> ObjectKey:
        manifest = Manifest.from_bytes(released.manifest)
        self.trust.verify_manifest(manifest, released.object_id)
        return ObjectKey(opener.open(released.header), manifest)

    def forget(self, ids: Iterable[ObjectId]) -> None:
        """Destroy the headers of objects."""
        gone = list(ids)
        with self._lock:
            for one in gone:
                self._known.pop(one, None)
            self.store.drop(gone)

    # -- lending to jobs ---------------------------------------------------------------------------

    def lend(
        self, submission: int, inputs: Mapping[int, Sequence[ObjectId]], *, again: bool = False
    ) -> None:
        """Let the grid's brokers have the keys of the inputs of jobs, until these end.

        Parameters
        ----------
        inputs : mapping
            Objects by number of the job; their keys were asked for before.
        again : bool
            Keys were lent for the submission before, also for these jobs.
        """
        brokers = self.trust.brokers()
        if not brokers:
            raise Denied(
                "no broker of this grid is certified to get keys",
                hint="the registrar certifies one: 'medgrid identity certify ... --role broker'",
            )
        (lend_again if again else lend)(
            self.store,
            submission,
            {broker.name: broker.encryption_public for broker in brokers},
            (
                (number, one, self.key(one).data_key)
                for number, ids in inputs.items()
                for one in dict.fromkeys(ids)
            ),
        )

    def delegated(
        self, submission: int, numbers: Sequence[int]
    ) -> dict[int, dict[ObjectId, InputKey]]:
        """Keys that this broker was lent for jobs of a submission; those it was not are absent.

        Raises
        ------
        IntegrityError, Denied, NotFound
            A key was damaged or exchanged, or nobody who counts vouches for what it opens.
        """
        found: dict[int, dict[ObjectId, InputKey]] = {number: {} for number in numbers}
        try:
            lent = borrow(self.store, self.identity, submission, numbers)
        except Denied:
            return found
        for one in lent:
            if one.manifest is not None:
                manifest = Manifest.from_bytes(one.manifest)
                self.trust.verify_manifest(manifest, one.object_id)
                found[one.number][one.object_id] = InputKey(one.data_key, manifest)
        return found

    def lent(self) -> dict[int, list[int]]:
        """Numbers of the jobs for which keys are lent, by submission."""
        return {
            submission: sorted({number for number, _ in lent})
            for submission, lent in self.store.delegations().items()
        }

    def drop_lent(self, submission: int, numbers: Sequence[int]) -> None:
        """Take back what was lent for jobs."""
        self.store.drop_delegation(submission, numbers)

    # -- messages ----------------------------------------------------------------------------------

    def open_message(self, sealed: bytes) -> bytes:
        """What a worker sealed to this identity; raises `Denied` or `IntegrityError`."""
        return open_message(sealed, self.identity.encryption_private)

    def seal_text(self, text: str, reader: str) -> str:
        """Text for the eyes of one identity."""
        return seal_text(text, reader, self.trust(reader).encryption_public) if text else ""
