"""Protected launches: what is wanted of one, and what of it may be written down."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Dict, Tuple

from .layout import is_sha256
from .libcrypto import CipherError, load

__all__ = ["LOST_KEYS", "NO_CIPHERS", "check_protected", "is_protected", "without_keys"]

LOST_KEYS = "the worker lost the keys of this attempt before it started"
NO_CIPHERS = "the worker's python has no ciphers for protected data"

_KEY_BYTES = 32
_WRITTEN: Tuple[str, ...] = ("attempt", "slots", "rank")
Launch = Dict[str, Any]


def is_protected(launch: Launch) -> bool:
    """Whether a launch, whole or `without_keys`, is protected."""
    return bool(launch.get("seal_to") or launch.get("protected"))


def without_keys(launch: Launch) -> Launch:
    """What may be written of a launch, and is enough when the rest is lost."""
    if not is_protected(launch):
        return launch
    kept = {name: launch[name] for name in _WRITTEN if name in launch}
    kept["protected"] = True
    return kept


def check_protected(launch: Launch) -> None:
    """Check what makes a launch protected.

    Raises
    ------
    ValueError
        A key is none, or keys come without anybody to seal the results to.
    """
    attempt, seal_to = launch["attempt"], launch.get("seal_to")
    sealed = [one for one in launch.get("inputs", ()) if one.get("key")]
    if sealed and not seal_to:
        raise ValueError("attempt %s has keys, and nobody to seal its results to" % attempt)
    if not seal_to:
        return
    public = _key(seal_to)
    library = load()
    try:
        if library is not None:
            library.shared_secret(bytes(_KEY_BYTES - 1) + b"\x40", public)
    except CipherError:
        public = b""
    if len(public) != _KEY_BYTES:
        raise ValueError("attempt %s: what to seal its results to is no key" % attempt)
    for one in sealed:
        size = one.get("plain_bytes")
        if not isinstance(size, int) or size < 0 or not is_sha256(one.get("tags_sha256")):
            raise ValueError("attempt %s: an input with a key lacks its digest" % attempt)
        if len(_key(one["key"])) != _KEY_BYTES:
            raise ValueError("attempt %s: the key of an input is none" % attempt)


def _key(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return b""
