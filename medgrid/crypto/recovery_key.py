"""The public half of the grid's recovery key, as a home believes it.

All that is sealed is sealed to it besides, so who could exchange it could read everything: the
key store keeps it signed by the registration key, and each home keeps what it has once believed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.crypto.private_file import create_private, read_private
from medgrid.crypto.registration import load_pin
from medgrid.crypto.signed import BadDocument, check_signature, parse, read_public, seal
from medgrid.errors import Denied

if TYPE_CHECKING:
    from medgrid.crypto.keystore import KeyStore

__all__ = ["publish_recovery", "recovery_file", "recovery_public"]

_NAME = "recovery"
_SCHEMA = "medgrid.recovery/1"


def recovery_file(keys_dir: Path) -> Path:
    """Where a home keeps it."""
    return keys_dir / "recovery.pub"


def publish_recovery(
    keys_dir: Path, store: KeyStore, public: bytes, sign: Callable[[bytes], bytes]
) -> None:
    """Make `public` the grid's recovery key.

    Parameters
    ----------
    sign : callable
        Signs with the registration key.
    """
    blob = seal(_SCHEMA, {"public": public.hex()}, sign)
    store.put_document(_NAME, blob)
    create_private(recovery_file(keys_dir), blob)


def recovery_public(keys_dir: Path, store: KeyStore) -> bytes | None:
    """The grid's recovery key (X25519, 32 bytes), None when it has none.

    Raises
    ------
    Denied
        The registration key did not sign what is there.
    """
    file = recovery_file(keys_dir)
    if file.exists():
        return _verified(keys_dir, read_private(file, "recovery key", public=True))
    blob = store.document(_NAME)
    if blob is None:
        return None
    public = _verified(keys_dir, blob)
    if not create_private(file, blob):
        return recovery_public(keys_dir, store)
    return public


def _verified(keys_dir: Path, blob: bytes) -> bytes:
    try:
        document = parse(_SCHEMA, blob)
        check_signature(_SCHEMA, document, load_pin(keys_dir))
        return read_public(document, "public")
    except BadDocument as exc:
        raise Denied(
            f"the recovery key is not the one that the registrar signed: {exc}",
            hint="somebody exchanged it; tell the grid's registrar",
        ) from None
