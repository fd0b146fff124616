"""Who somebody is: requests, and the certificates that the registration key makes of them.

A request is what an identity says of itself, signed by itself. A certificate is what the grid says
of it: its name, its keys and its roles, signed by the registration key. Clients keep ("pin") the
public half of that key and believe nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self

from medgrid.crypto.identity import Identity, PublicIdentity, check_identity_name
from medgrid.crypto.policy import Role
from medgrid.crypto.signed import (
    BadDocument,
    check_signature,
    parse,
    read_public,
    seal,
    show_public,
)
from medgrid.errors import Denied, UsageError

__all__ = ["CLOCK_SKEW_S", "Certificate", "Request", "Role"]

CLOCK_SKEW_S = 300
"""How far the clocks of two machines of one grid may differ."""

_REQUEST = "medgrid.identity-request/1"
_CERTIFICATE = "medgrid.certificate/1"


@dataclass(frozen=True, slots=True)
class Request:
    """What an identity asks to be certified: a name and its keys."""

    public: PublicIdentity
    blob: bytes

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Make the request of an identity, signed by it."""
        fields = {"name": identity.name, **_keys(identity.public)}
        return cls(identity.public, seal(_REQUEST, fields, identity.sign))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Read a request.

        Raises
        ------
        Denied
            It is none, or who made it does not hold its signing key.
        """
        try:
            document = parse(_REQUEST, blob)
            _expect(document, {"name"})
            public = _public(document)
            check_signature(_REQUEST, document, public.signing_public)
            if not _can_be_sealed_to(public.encryption_public):
                raise BadDocument("nothing can be sealed to its encryption key")
        except BadDocument as exc:
            raise Denied(f"no request for a certificate: {exc}") from None
        return cls(public, blob)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the grid says of an identity.

    `serial` is the time of issue in microseconds, and grows; the others are whole seconds since
    1970 (UTC).
    """

    public: PublicIdentity
    roles: frozenset[Role]
    serial: int
    not_before_s: int
    not_after_s: int
    blob: bytes

    @property
    def name(self) -> str:
        """What the identity is called."""
        return self.public.name

    @property
    def encryption_public(self) -> bytes:
        """X25519 public key, 32 bytes."""
        return self.public.encryption_public

    @property
    def signing_public(self) -> bytes:
        """Ed25519 public key, 32 bytes."""
        return self.public.signing_public

    @classmethod
    def issue(
        cls,
        request: Request,
        roles: Iterable[Role],
        not_after_s: int,
        sign: Callable[[bytes], bytes],
        *,
        serial: int | None = None,
    ) -> Self:
        """Certify what a request asks for, from now on.

        Parameters
        ----------
        request : Request
            Whose keys these are has been looked into.
        roles : iterable of Role
            At least one.
        not_after_s : int
            End of the certificate, seconds since 1970.
        sign : callable
            Signs bytes with the registration key.
        serial : int, optional
            The default is now.

        Raises
        ------
        UsageError
            There is no role, or the certificate would end before it begins.
        """
        serial = time.time_ns() // 1000 if serial is None else serial
        wanted = frozenset(roles)
        if not wanted:
            raise UsageError("a certificate needs a role")
        begin_s = serial // 1_000_000
        if not_after_s <= begin_s:
            raise UsageError("a certificate must end in the future")
        fields = {
            "name": request.public.name,
            **_keys(request.public),
            "roles": sorted(wanted),
            "serial": serial,
            "not_before_s": begin_s,
            "not_after_s": not_after_s,
        }
        blob = seal(_CERTIFICATE, fields, sign)
        return cls(request.public, wanted, serial, begin_s, not_after_s, blob)

    @classmethod
    def verified(cls, blob: bytes, pin: bytes) -> Self:
        """Read a certificate that the registration key with public half `pin` signed.

        Its time is not looked at: see `check_time`.

        Raises
        ------
        Denied
            It is none, or somebody else made or changed it.
        """
        try:
            document = parse(_CERTIFICATE, blob)
            check_signature(_CERTIFICATE, document, pin)
            _expect(document, {"name", "roles", "serial", "not_before_s", "not_after_s"})
            public, roles = _public(document), _roles(document["roles"])
            times = [document[name] for name in ("serial", "not_before_s", "not_after_s")]
            if any(type(value) is not int for value in times):
                raise BadDocument("its times are no whole numbers")
        except BadDocument as exc:
            raise Denied(
                f"no certificate of this grid: {exc}",
                hint="the grid's registrar makes certificates with 'medgrid identity certify'",
            ) from None
        return cls(public, roles, times[0], times[1], times[2], blob)

    def check_time(self, now_s: float | None = None) -> None:
        """Check that the certificate holds now.

        Raises
        ------
        Denied
            It has ended, or has not begun.
        """
        now_s = time.time() if now_s is None else now_s
        if now_s > self.not_after_s:
            raise Denied(
                f"the certificate of {self.name} ended on {_date(self.not_after_s)}",
                hint=f"the registrar can certify {self.name} again",
            )
        if now_s < self.not_before_s - CLOCK_SKEW_S:
            raise Denied(
                f"the certificate of {self.name} begins on {_date(self.not_before_s)}",
                hint="check the clock of this computer",
            )


def _keys(public: PublicIdentity) -> dict[str, str]:
    return {
        "encryption_public": show_public(public.encryption_public),
        "signing_public": show_public(public.signing_public),
    }


def _expect(document: dict[str, Any], names: set[str]) -> None:
    """No field may lack, none may be there that this version does not understand."""
    if set(document) != names | {"schema", "signature", "encryption_public", "signing_public"}:
        raise BadDocument("its fields are not the expected ones")


def _public(document: dict[str, Any]) -> PublicIdentity:
    name = document["name"]
    try:
        check_identity_name(name if isinstance(name, str) else "")
    except UsageError:
        raise BadDocument("its name cannot be one") from None
    keys = [read_public(document, field) for field in ("encryption_public", "signing_public")]
    return PublicIdentity(name, keys[0], keys[1])


def _can_be_sealed_to(encryption_public: bytes) -> bool:
    """Few points of the curve give everybody the same secret (RFC 7748 section 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(encryption_public))
    except ValueError:
        return False
    return True


def _roles(value: Any) -> frozenset[Role]:
    try:
        roles = frozenset(map(Role, value))
    except (TypeError, ValueError):
        raise BadDocument("its roles are none that this version knows") from None
    if not roles or value != sorted(roles):
        raise BadDocument("its roles are no sorted list")
    return roles


def _date(time_s: int) -> str:
    """Day of a time, UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime(time_s))
