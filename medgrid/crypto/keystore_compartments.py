"""Compartments, wraps of their private keys, and the seals of patients' names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_door import seal_digest
from medgrid.crypto.keystore_schema import compartment, seal, wrap
from medgrid.crypto.keystore_values import Compartment, CompartmentId, Released, Seal, WrapRow
from medgrid.database.many import among
from medgrid.database.plans import rare
from medgrid.model import DataClass

__all__ = ["CompartmentStore"]


class CompartmentStore(StoreBase):
    """Keys of patients. `medgrid.crypto.compartments` makes and opens what is kept here."""

    def create_compartments(self, compartments: Sequence[Compartment]) -> None:
        """Keep new compartments, or new revisions of old ones.

        Raises
        ------
        AlreadyExists
            One of these revisions is there.
        """
        events = [
            Event(
                "compartment",
                detail=f"{one.id.data_class} {one.id.revision}",
                patient=one.id.patient,
            )
            for one in compartments
        ]
        rows = [
            {
                **_key(one.id),
                "public_key": one.public_key,
                "signer": one.signer,
                "signature": one.signature,
            }
            for one in compartments
        ]
        with self._recorded(*events) as connection:
            self._enter(connection, compartment, rows, "one of these compartments")

    def create_compartment(
        self,
        patient: str,
        data_class: DataClass,
        revision: int,
        public_key: bytes,
        signer: str,
        signature: bytes,
    ) -> None:
        """Keep one new compartment; see `create_compartments`."""
        id_ = CompartmentId(patient, data_class, revision)
        self.create_compartments([Compartment(id_, public_key, signer, signature)])

    def compartment(self, patient: str, data_class: DataClass) -> Compartment | None:
        """The newest revision of a compartment, None when there is none."""
        return self.current([patient], data_class).get(patient)

    def current(self, patients: Iterable[str], data_class: DataClass) -> dict[str, Compartment]:
        """The newest revision of each patient's compartment, by patient."""
        return {one.id.patient: one for one in self._compartments(patients, data_class)}

    def revisions(self, patient: str, data_class: DataClass) -> list[Compartment]:
        """All revisions of a compartment, the first one first."""
        return self._compartments([patient], data_class)

    def compartments(self, keys: Iterable[CompartmentId]) -> dict[CompartmentId, Compartment]:
        """These revisions, as far as they are there."""
        wanted = set(keys)
        found = {}
        for data_class in {key.data_class for key in wanted}:
            patients = {key.patient for key in wanted if key.data_class == data_class}
            for one in self._compartments(patients, data_class):
                if one.id in wanted:
                    found[one.id] = one
        return found

    def _compartments(self, patients: Iterable[str], data_class: DataClass) -> list[Compartment]:
        with self.db.read() as connection:
            question = (
                select(compartment)
                .where(
                    among(connection, compartment.c.patient, patients),
                    compartment.c.data_class == DataClass(data_class).value,
                )
                .order_by(compartment.c.patient, compartment.c.revision)
            )
            return list(map(_compartment, connection.execute(question)))

    # -- wraps -------------------------------------------------------------------------------------

    def put_wraps(self, rows: Sequence[WrapRow]) -> None:
        """Keep wraps, in place of earlier ones for the same recipients."""
        events = [
            Event("wrap", row.recipient, row.id.patient, f"{row.id.data_class} {row.id.revision}")
            for row in rows
        ]
        with self._recorded(*events) as connection:
            self._make_room(connection, rows)
            values = [
                {**_key(row.id), "recipient": row.recipient, "sealed": row.sealed} for row in rows
            ]
            self._enter(connection, wrap, values, "one of these wraps")

    def _make_room(self, connection: Connection, rows: Sequence[WrapRow]) -> None:
        wanted = {(row.id, row.recipient) for row in rows}
        theirs = among(connection, wrap.c.patient, {row.id.patient for row in rows})
        columns = (wrap.c.patient, wrap.c.data_class, wrap.c.revision, wrap.c.recipient)
        for row in connection.execute(select(*columns).where(theirs)).all():
            id_ = CompartmentId(row.patient, DataClass(row.data_class), row.revision)
            if (id_, row.recipient) in wanted:
                connection.execute(
                    delete(wrap).where(_at(wrap, id_), wrap.c.recipient == row.recipient)
                )

    def put_wrap(
        self, patient: str, data_class: DataClass, revision: int, recipient: str, sealed: bytes
    ) -> None:
        """Keep one wrap; see `put_wraps`."""
        self.put_wraps([WrapRow(CompartmentId(patient, data_class, revision), recipient, sealed)])

    def wraps_for(self, keys: Sequence[CompartmentId]) -> dict[CompartmentId, bytes]:
        """Wraps of these compartments that are for this identity; that they were read is recorded.

        Raises
        ------
        RuntimeError
            Asked inside a transaction: the record would not be kept before the answer.
        """
        self._check_alone()
        return {row.id: row.sealed for row in self._door.wraps(keys)}

    def members(self, patient: str, data_class: DataClass) -> dict[int, list[str]]:
        """Who can open a compartment: recipients of wraps by revision."""
        question = (
            select(wrap.c.revision, wrap.c.recipient)
            .where(wrap.c.patient == patient, wrap.c.data_class == DataClass(data_class).value)
            .order_by(wrap.c.revision, wrap.c.recipient)
        )
        found: dict[int, list[str]] = {}
        with self.db.read() as connection:
            for revision, recipient in connection.execute(question):
                found.setdefault(revision, []).append(recipient)
        return found

    def wrapped_revisions(self, patients: Iterable[str], data_class: DataClass) -> dict[str, int]:
        """Newest revision that there are wraps of, as far as this identity may know, by patient."""
        with self.db.read() as connection:
            question = (
                select(wrap.c.patient, func.max(wrap.c.revision))
                .where(
                    among(connection, wrap.c.patient, patients),
                    wrap.c.data_class == DataClass(data_class).value,
                )
                .group_by(wrap.c.patient)
            )
            return {row[0]: row[1] for row in connection.execute(question)}

    def compartments_of(self, recipient: str | None = None) -> list[CompartmentId]:
        """Compartments that a recipient has wraps of; the default is this identity."""
        with self.db.read() as connection:
            question = (
                select(wrap.c.patient, wrap.c.data_class, wrap.c.revision)
                .where(rare(connection, wrap.c.recipient == (recipient or self.who)))
                .order_by(wrap.c.patient, wrap.c.data_class, wrap.c.revision)
            )
            return [
                CompartmentId(row.patient, DataClass(row.data_class), row.revision)
                for row in connection.execute(question)
            ]

    def drop_wraps(
        self, patient: str, data_class: DataClass | None = None, recipient: str | None = None
    ) -> int:
        """Destroy wraps of a patient, of one class and one recipient or of all; return how many."""
        wanted = [wrap.c.patient == patient]
        if data_class is not None:
            wanted.append(wrap.c.data_class == DataClass(data_class).value)
        if recipient is not None:
            wanted.append(wrap.c.recipient == recipient)
        event = Event("unwrap-drop", recipient or "", patient, data_class or "")
        with self._recorded(event) as connection:
            return connection.execute(delete(wrap).where(*wanted)).rowcount

    # -- seals -------------------------------------------------------------------------------------

    def put_seals(self, rows: Sequence[Seal]) -> None:
        """Keep what names patients, sealed, in place of what was kept before."""
        events = [Event("seal", "", row.patient, seal_digest(row.sealed)) for row in rows]
        with self._recorded(*events) as connection:
            theirs = among(connection, seal.c.patient, (row.patient for row in rows))
            connection.execute(delete(seal).where(theirs))
            self._enter(connection, seal, [row._asdict() for row in rows], "one of these seals")

    def put_seal(self, patient: str, revision: int, sealed: bytes) -> None:
        """Keep what names one patient; see `put_seals`."""
        self.put_seals([Seal(patient, revision, sealed)])

    def seals(self, patients: Sequence[str], purpose: str) -> dict[str, Seal]:
        """Seals of these patients, where this identity can open them; recorded before.

        One patient is recorded by pseudonym; of many, that they were looked through for `purpose`.

        Raises
        ------
        RuntimeError
            Asked inside a transaction: the record would not be kept before the answer.
        """
        self._check_alone()
        return {row.patient: row for row in self._door.seals(patients, purpose)}

    def drop_seal(self, patient: str) -> None:
        """Destroy what names a patient."""
        with self._recorded(Event("seal-drop", patient=patient)) as connection:
            connection.execute(delete(seal).where(seal.c.patient == patient))

    # -- all of a patient --------------------------------------------------------------------------

    def all_compartments(self) -> dict[CompartmentId, Compartment]:
        """Every compartment that this identity may know of, by patient."""
        question = select(compartment).order_by(
            compartment.c.patient, compartment.c.data_class, compartment.c.revision
        )
        with self.db.read() as connection:
            return {one.id: one for one in map(_compartment, connection.execute(question))}

    def recovery(self, purpose: str) -> tuple[list[WrapRow], list[Released]]:
        """All that is sealed to the recovery key; that it was read is recorded before.

        Raises
        ------
        Denied
            Neither a registrar asks nor the owner of the store.
        RuntimeError
            Asked inside a transaction: the record would not be kept before the answer.
        """
        self._check_alone()
        return self._door.recovery(purpose)

    def drop_compartments(self, patient: str) -> int:
        """Destroy a patient's name and compartments: what is sealed to them never opens again.

        Returns
        -------
        int
            How many wraps were destroyed.
        """
        with self._recorded(Event("forget", patient=patient)) as connection:
            connection.execute(delete(seal).where(seal.c.patient == patient))
            connection.execute(delete(compartment).where(compartment.c.patient == patient))
            return connection.execute(delete(wrap).where(wrap.c.patient == patient)).rowcount


def _key(id_: CompartmentId) -> dict[str, Any]:
    return {
        "patient": id_.patient,
        "data_class": DataClass(id_.data_class).value,
        "revision": id_.revision,
    }


def _at(table: Any, id_: CompartmentId) -> Any:
    return and_(*(table.c[name] == value for name, value in _key(id_).items()))


def _compartment(row: Row[Any]) -> Compartment:
    id_ = CompartmentId(row.patient, DataClass(row.data_class), row.revision)
    return Compartment(id_, row.public_key, row.signer, row.signature)
