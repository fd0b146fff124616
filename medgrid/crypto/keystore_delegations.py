"""Data keys that the owner of a submission lent to the brokers, as long as its jobs last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_schema import delegation, delegation_box, delegation_key
from medgrid.crypto.keystore_values import DelegatedKey
from medgrid.errors import NotFound
from medgrid.model import ObjectId

__all__ = ["DelegationStore"]


class DelegationStore(StoreBase):
    """Delegations. `medgrid.crypto.delegation` makes and opens what is kept here."""

    def put_delegation(
        self, submission: int, keys: Mapping[str, bytes], boxes: Sequence[DelegatedKey]
    ) -> None:
        """Lend data keys for a submission.

        Parameters
        ----------
        submission : int
        keys : mapping
            Key that opens the boxes, sealed to each broker, by name.
        boxes : sequence of DelegatedKey

        Raises
        ------
        AlreadyExists
            The submission has a delegation.
        """
        event = Event("delegate", str(submission), detail=f"{len(boxes)} keys")
        with self._recorded(event) as connection:
            row = {"submission": submission, "owner": self.who}
            self._enter(connection, delegation, [row], f"a delegation of submission {submission}")
            sealed = [
                {"submission": submission, "recipient": name, "sealed": key}
                for name, key in keys.items()
            ]
            self._enter(connection, delegation_key, sealed, "one of these keys")
            rows = [{"submission": submission, **box._asdict()} for box in boxes]
            self._enter(connection, delegation_box, rows, "one of these boxes")

    def extend_delegation(self, submission: int, boxes: Sequence[DelegatedKey]) -> None:
        """Lend more data keys for a submission, in boxes that say by themselves who opens them.

        Raises
        ------
        NotFound
            Nothing is lent by this identity for the submission any more.
        AlreadyExists
            One of these keys is lent already.
        """
        event = Event("delegate", str(submission), detail=f"{len(boxes)} keys")
        with self._recorded(event) as connection:
            known = select(delegation.c.submission).where(
                delegation.c.submission == submission, delegation.c.owner == self.who
            )
            if connection.scalar(known) is None:
                raise NotFound(f"nothing is lent for submission {submission}")
            rows = [{"submission": submission, **box._asdict()} for box in boxes]
            self._enter(connection, delegation_box, rows, "one of these boxes")

    def delegation(
        self, submission: int, numbers: Sequence[int] | None = None
    ) -> tuple[bytes | None, list[tuple[DelegatedKey, bytes | None]]]:
        """What was lent for jobs of a submission, all jobs by default; recorded before.

        Returns
        -------
        bytes or None
            Key of the boxes, sealed to this identity, None when it was not lent to it.
        list of (DelegatedKey, bytes or None)
            Boxes, with the manifests of their objects; for the brokers and the owner alone.

        Raises
        ------
        RuntimeError
            Asked inside a transaction: the record would not be kept before the answer.
        """
        self._check_alone()
        return self._door.delegation(submission, numbers)

    def drop_delegation(self, submission: int, numbers: Sequence[int] | None = None) -> None:
        """End what was lent for jobs of a submission, all by default; the last one ends it all."""
        what = "all" if numbers is None else f"{len(numbers)} jobs"
        with self._recorded(Event("undelegate", str(submission), detail=what)) as connection:
            box = delegation_box.c
            mine = [box.submission == submission]
            if numbers is not None:
                mine.append(box.number.in_(list(numbers)))
            connection.execute(delete(delegation_box).where(*mine))
            left = select(box.number).where(box.submission == submission).limit(1)
            if connection.scalar(left) is None:
                for table in (delegation_key, delegation):
                    connection.execute(delete(table).where(table.c.submission == submission))

    def delegations(self) -> dict[int, list[tuple[int, ObjectId]]]:
        """What is lent: numbers of jobs and their objects by submission."""
        box = delegation_box.c
        question = select(box.submission, box.number, box.object_id).order_by(
            box.submission, box.number
        )
        found: dict[int, list[tuple[int, ObjectId]]] = {}
        with self.db.read() as connection:
            for submission, number, object_id in connection.execute(question):
                found.setdefault(submission, []).append((number, ObjectId(object_id)))
        return found
