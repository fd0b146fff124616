"""The key store's tables.

Nothing here opens anything by itself: every secret is sealed to somebody. Who may read what, and
that each release is recorded first, is enforced by `keystore_door`. Patients are known by
pseudonym; times are whole microseconds since 1970 (UTC). ``recipient`` is the name of an identity,
`RECOVERY`, or for a header "" when it is sealed to the compartment of its patient.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from medgrid.errors import IntegrityError

__all__ = [
    "RECOVERY",
    "applied",
    "audit",
    "certificate",
    "checkpoint",
    "compartment",
    "delegation",
    "delegation_box",
    "delegation_key",
    "document",
    "grant_header",
    "header",
    "member_role",
    "metadata",
    "pending",
    "protected",
    "seal",
    "share",
    "store",
    "wrap",
]

RECOVERY = "recovery"
"""Recipient whose private key is split among people; no identity may be called so."""


class _SqliteBlob(UserDefinedType[bytes]):
    """Bytes in SQLite, which lets any value into any column: what is none is refused."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "BLOB"

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[object], bytes | None]:
        return _checked_bytes


def _checked_bytes(value: object) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    raise IntegrityError("a value in the key store is damaged")


class Blob(TypeDecorator[bytes]):
    """Bytes, on every database."""

    impl = LargeBinary
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[bytes]:
        is_sqlite = dialect.name == "sqlite"
        return dialect.type_descriptor(_SqliteBlob() if is_sqlite else LargeBinary())


metadata = MetaData()

store = Table(
    "store",
    metadata,
    Column("store_id", String, primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    # of several stores that together are one: which they are, and which of them this is
    Column("split_id", String),
    Column("place", Integer),
    Column("places", Integer),
    Column("threshold", Integer),
)

# -- people ----------------------------------------------------------------------------------------

certificate = Table(
    "certificate",
    metadata,
    Column("name", String, primary_key=True),
    Column("blob", Blob, nullable=False),
)

document = Table(
    "document",
    metadata,
    Column("name", String, primary_key=True),
    Column("blob", Blob, nullable=False),
)

member_role = Table(
    "member_role",
    metadata,
    Column("role_name", String, primary_key=True),  # of the database
    Column("identity", String, nullable=False, unique=True),
    Column("roles", String, nullable=False),  # of the certificate, separated by spaces
)

# -- keys of patients ------------------------------------------------------------------------------

compartment = Table(
    "compartment",
    metadata,
    Column("patient", String, primary_key=True),
    Column("data_class", String, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("public_key", Blob, nullable=False),
    Column("signer", String, nullable=False),
    Column("signature", Blob, nullable=False),
)

wrap = Table(
    "wrap",
    metadata,
    Column("patient", String, primary_key=True),
    Column("data_class", String, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("sealed", Blob, nullable=False),
    Index("ix_wrap_recipient", "recipient", "patient"),
)

seal = Table(
    "seal",
    metadata,
    Column("patient", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("sealed", Blob, nullable=False),
)

# -- keys of objects -------------------------------------------------------------------------------

protected = Table(
    "protected",
    metadata,
    Column("object_id", String, primary_key=True),
    Column("patient", String),
    Column("data_class", String, nullable=False),
    Column("owner", String, nullable=False),
    Column("manifest", Blob, nullable=False),
    Index("ix_protected_patient", "patient"),
)

header = Table(
    "header",
    metadata,
    Column("object_id", String, primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("revision", Integer),
    Column("sealed", Blob, nullable=False),
    Index("ix_header_recipient", "recipient"),
)

grant_header = Table(
    "grant_header",
    metadata,
    Column("object_id", String, primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("until_us", BigInteger, nullable=False),
    Column("granted_by", String, nullable=False),
    Column("sealed", Blob, nullable=False),
    Index("ix_grant_header_recipient", "recipient"),
    Index("ix_grant_header_until_us", "until_us"),
)

delegation = Table(
    "delegation",
    metadata,
    Column("submission", Integer, primary_key=True),
    Column("owner", String, nullable=False),
)

delegation_key = Table(
    "delegation_key",
    metadata,
    Column("submission", Integer, primary_key=True),
    Column("recipient", String, primary_key=True),
    Column("sealed", Blob, nullable=False),
)

delegation_box = Table(
    "delegation_box",
    metadata,
    Column("submission", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("object_id", String, primary_key=True),
    Column("box", Blob, nullable=False),
)

# -- the record ------------------------------------------------------------------------------------

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("verb", String, nullable=False),
    Column("thing", String, nullable=False),
    Column("patient", String, nullable=False),
    Column("detail", String, nullable=False),
    Column("leaf", Blob, nullable=False),
    # with the number, so that no statistics make SQLite read all records instead
    *(Index(f"ix_audit_{name}", name, "seq") for name in ("time_us", "who", "verb")),
    *(Index(f"ix_audit_{name}", name, "seq") for name in ("thing", "patient")),
)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True),
    Column("signer", String, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
    Column("root", Blob, nullable=False),
    Column("signature", Blob, nullable=False),
)

# -- one of several stores -------------------------------------------------------------------------

share = Table(
    "share",
    metadata,
    Column("batch", Blob, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("share", Blob, nullable=False),
)

pending = Table(
    "pending",
    metadata,
    Column("write_id", String, primary_key=True),
    Column("identity", String, nullable=False),
    Column("made_us", BigInteger, nullable=False),
    Column("change", Blob, nullable=False),
)

applied = Table(
    "applied",
    metadata,
    Column("write_id", String, primary_key=True),
    Column("identity", String, nullable=False),
)
