"""Certificates and signed documents of the grid. The store keeps them; readers verify them."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from medgrid.crypto.audit_record import Event
from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_schema import RECOVERY, certificate, document
from medgrid.errors import UsageError

__all__ = ["PeopleStore"]


class PeopleStore(StoreBase):
    """Certificates by the name of the identity, documents by their own name."""

    def put_certificate(self, name: str, blob: bytes) -> None:
        """Keep the certificate of `name` in place of an earlier one.

        Raises
        ------
        UsageError
            No identity may be called so.
        """
        if name in ("", RECOVERY):
            raise UsageError(f"{name!r} cannot be the name of an identity")
        with self._recorded(Event("certify", name)) as connection:
            connection.execute(delete(certificate).where(certificate.c.name == name))
            connection.execute(insert(certificate).values(name=name, blob=blob))

    def certificates(self) -> dict[str, bytes]:
        """All certificates by name."""
        with self.db.read() as connection:
            rows = connection.execute(select(certificate).order_by(certificate.c.name))
            return {row.name: row.blob for row in rows}

    def put_document(self, name: str, blob: bytes) -> None:
        """Keep a signed document, such as the list of revoked certificates."""
        with self._recorded(Event("document", name)) as connection:
            connection.execute(delete(document).where(document.c.name == name))
            connection.execute(insert(document).values(name=name, blob=blob))

    def document(self, name: str) -> bytes | None:
        """A document, None when there is none of this name."""
        with self.db.read() as connection:
            blob: bytes | None = connection.scalar(
                select(document.c.blob).where(document.c.name == name)
            )
            return blob
