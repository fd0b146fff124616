"""What a key store destroys when a patient withdraws."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_door import chunks
from medgrid.crypto.keystore_schema import (
    compartment,
    delegation_box,
    grant_header,
    header,
    protected,
    seal,
    wrap,
)
from medgrid.model import ObjectId

__all__ = ["LeaveStore"]


class LeaveStore(StoreBase):
    """Destroys all keys of a patient at once."""

    def withdraw(self, patient: str, object_ids: Iterable[ObjectId]) -> None:
        """Destroy all that opens anything of a patient, and the keys of these other objects.

        Compartments go with their wraps: when the patient comes back, new ones are made.
        """
        others = set(object_ids)
        with self._recorded(Event("withdraw", "", patient, f"{len(others)} objects")) as connection:
            own = connection.scalars(
                select(protected.c.object_id).where(protected.c.patient == patient)
            ).all()
            for some in chunks(others.union(map(ObjectId, own))):
                for table in (grant_header, header, protected, delegation_box):
                    connection.execute(delete(table).where(table.c.object_id.in_(some)))
            for table in (wrap, seal, compartment):
                connection.execute(delete(table).where(table.c.patient == patient))
