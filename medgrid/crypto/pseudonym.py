"""Pseudonyms: what stands for a patient outside the original images.

A pseudonym is keyed: without the grid's key nobody can test whether it belongs to a known patient
id. The same id from the same issuer gives the same pseudonym everywhere in one grid; another grid
gives another one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from medgrid.config import private_dir
from medgrid.crypto.private_file import create_private, read_private
from medgrid.errors import ConfigError

__all__ = ["file_key", "keyed_digest", "load_key", "neutral_label", "pseudonym"]

_KEY_FILE = "pseudonym.key"
_KEY_BYTES = 32
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LABEL_CHARS = 10


def load_key(keys_dir: Path, *, create: bool = False) -> bytes:
    """Read the grid's pseudonym key, 32 bytes.

    Parameters
    ----------
    keys_dir : Path
        Directory of the grid's secrets.
    create : bool
        Draw a key when there is none; of two processes that do so at once one wins.

    Raises
    ------
    ConfigError
        There is no key, it is not one, or others than its owner can read it.
    """
    file = keys_dir / _KEY_FILE
    if create and not file.exists():
        private_dir(keys_dir)
        create_private(file, secrets.token_bytes(_KEY_BYTES))
    if not file.exists():
        raise ConfigError(
            f"{file}: no such key", hint="make the grid with 'medgrid init', or restore the key"
        )
    key = read_private(file, "key")
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{file}: not a key of {_KEY_BYTES} bytes", hint="restore the key")
    return key


def keyed_digest(key: bytes, purpose: str, *parts: str | bytes) -> bytes:
    """HMAC-SHA256 over `purpose` and `parts`, 32 bytes; no two lists of parts read the same."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in (purpose, *parts):
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        mac.update(len(data).to_bytes(8, "big"))
        mac.update(data)
    return mac.digest()


def neutral_label(key: bytes, purpose: str, *parts: str | bytes) -> str:
    """Ten Crockford base-32 characters (50 bits) of `keyed_digest`."""
    number = int.from_bytes(keyed_digest(key, purpose, *parts)[:8], "big") >> 14
    return "".join(_CROCKFORD[number >> 5 * place & 31] for place in reversed(range(_LABEL_CHARS)))


def pseudonym(key: bytes, patient_id: str, issuer: str = "") -> str:
    """Pseudonym of a patient, such as ``P-7F3KQ2M9XA``.

    Parameters
    ----------
    key : bytes
        The grid's key.
    patient_id : str
        The id as its issuer writes it, without padding.
    issuer : str
        Who gave the id; the same id from two issuers is two patients.
    """
    return "P-" + neutral_label(key, "patient", issuer, patient_id)


def file_key(key: bytes, path: str) -> str:
    """What a file that was imported is known by in the catalog: 32 hexadecimal digits.

    Parameters
    ----------
    key : bytes
        The grid's key.
    path : str
        Its real path, which may name a patient.
    """
    return keyed_digest(key, "file", path)[:16].hex()
