"""Roles of the database for the key store's users, where it lives on a PostgreSQL server.

A user's role reads what is no secret, of what concerns its identity; enters and destroys rows as
the policies let it; and gets secrets through the functions of `keystore_server.sql` alone. Whoever
owns the tables, or is superuser of the server, reads everything: there only keys protect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, delete, insert, select, text

from medgrid.crypto.keystore_base import StoreBase
from medgrid.crypto.keystore_schema import member_role
from medgrid.errors import Denied, UsageError

__all__ = ["UserStore"]

_LOOK = {
    "keystore_version": "version_num",
    "store": "store_id, created_us, split_id, place, places, threshold",
    "certificate": "name, blob",
    "document": "name, blob",
    "compartment": "patient, data_class, revision, public_key, signer, signature",
    "wrap": "patient, data_class, revision, recipient",
    "seal": "patient, revision",
    "protected": "object_id, patient, data_class, owner, manifest",
    "header": "object_id, recipient, revision",
    "grant_header": "object_id, recipient, until_us, granted_by",
    "delegation": "submission, owner",
    "delegation_key": "submission, recipient",
    "delegation_box": "submission, number, object_id",
    "checkpoint": "size, signer, time_us, root, signature",
    "pending": "write_id, identity, made_us",
    "applied": "write_id, identity",
}

_ENTER = (
    *("certificate", "document", "compartment", "wrap", "seal", "protected", "header"),
    *("grant_header", "delegation", "delegation_key", "delegation_box", "checkpoint", "share"),
    *("pending", "applied"),
)
_DESTROY = tuple(name for name in _ENTER if name not in ("checkpoint", "share"))

_INSIDE = ("keystore_openable", "keystore_check", "keystore_boxes")
"""Functions that give secrets without a ticket: for the others alone."""


class UserStore(StoreBase):
    """Users of the database. The owner of the tables alone may change them."""

    def admit(self, role_name: str, identity: str, roles: Iterable[str]) -> None:
        """Let a role of the database use the store as `identity`.

        The role is made when there is none, without a password: how it logs in is the server's
        matter. A role that was let in before keeps its rights, under this identity.

        Parameters
        ----------
        role_name : str
            Role of the database server.
        identity : str
            Who that is in the grid.
        roles : iterable of str
            What the certificate of `identity` says.

        Raises
        ------
        Denied
            Who asks does not own the key store.
        UsageError
            The key store is a file.
        """
        with self._as_owner() as connection:
            if (
                connection.scalar(
                    text("SELECT true FROM pg_roles WHERE rolname = :name"), {"name": role_name}
                )
                is None
            ):
                _run(connection, [f"CREATE ROLE {_quoted(connection, role_name)} LOGIN"])
            connection.execute(
                delete(member_role).where(
                    (member_role.c.role_name == role_name) | (member_role.c.identity == identity)
                )
            )
            connection.execute(
                insert(member_role).values(
                    role_name=role_name, identity=identity, roles=" ".join(sorted(roles))
                )
            )
            _grant(connection, _quoted(connection, role_name))

    def expel(self, role_name: str) -> None:
        """Take all rights on the store from a role of the database; it is not dropped.

        Raises
        ------
        Denied
            Who asks does not own the key store.
        UsageError
            The key store is a file.
        """
        with self._as_owner() as connection:
            connection.execute(delete(member_role).where(member_role.c.role_name == role_name))
            role = _quoted(connection, role_name)
            steps = [f'REVOKE ALL ON "{table}" FROM {role}' for table in (*_LOOK, "share")]
            steps += [
                f"REVOKE ALL ON FUNCTION {function} FROM {role}"
                for function in _functions(connection)
            ]
            _run(connection, steps)

    def users(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Identity and roles of each database role that was let in."""
        with self._as_owner() as connection:
            rows = connection.execute(select(member_role).order_by(member_role.c.role_name))
            return {row.role_name: (row.identity, tuple(row.roles.split())) for row in rows}

    @contextmanager
    def _as_owner(self) -> Iterator[Connection]:
        if self.db.is_sqlite:
            raise UsageError(
                f"the key store {self.db.name} is a file, and knows no users",
                hint="keep it on a PostgreSQL server where users are many",
            )
        with self.db.write() as connection:
            if not connection.scalar(text("SELECT keystore_is_owner()")):
                raise Denied(f"the key store {self.db.name} belongs to somebody else")
            yield connection


def _grant(connection: Connection, role: str) -> None:
    steps = [f'GRANT SELECT ({columns}) ON "{table}"' for table, columns in _LOOK.items()]
    steps += [f'GRANT INSERT ON "{table}"' for table in _ENTER]
    steps += [f'GRANT DELETE ON "{table}"' for table in _DESTROY]
    steps += [
        f"GRANT EXECUTE ON FUNCTION {function}"
        for function in _functions(connection)
        if not function.startswith(_INSIDE)
    ]
    _run(connection, [f"{step} TO {role}" for step in steps])


def _run(connection: Connection, steps: list[str]) -> None:
    plain = connection.execution_options(no_parameters=True)
    plain.exec_driver_sql("; ".join(steps))


def _functions(connection: Connection) -> list[str]:
    question = text(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE starts_with(proname, 'keystore_') "
        "AND pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'audit'::regclass)"
    )
    return list(connection.scalars(question))


def _quoted(connection: Connection, role_name: str) -> str:
    return str(connection.scalar(text("SELECT quote_ident(:name)"), {"name": role_name}))
