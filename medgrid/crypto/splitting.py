"""Secrets in several key stores: a key for each write, split so that some of the stores make it.

What is secret is encrypted under a key that is drawn for a batch, the rows of one write. Every
store has the same encrypted rows, and one share of the batch's key (Shamir's scheme as SLIP-39 has
it, with a digest). Fewer stores than the threshold say nothing about the key. Shares have
generations: when a lost store is made again all get new ones, and what was lost helps nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from medgrid.crypto.hpke import binding
from medgrid.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

__all__ = ["BATCH_BYTES", "Batch", "batch_of", "join", "newest_shares", "open_split", "split"]

BATCH_BYTES = 16
_NONCE_BYTES = 12
_KEY_BYTES = 32
_MAGIC = b"medgrid split 1\n"


def split(key: bytes, threshold: int, places: int) -> list[bytes]:
    """Split a key of 32 bytes into one share for each place.

    Parameters
    ----------
    key : bytes, 32
    threshold : int
        How many shares make it again, from 2 on.
    places : int
        How many there are, up to 16.
    """
    from shamir_mnemonic.shamir import EncryptedMasterSecret, split_ems

    secret = EncryptedMasterSecret(
        identifier=0, extendable=True, iteration_exponent=0, ciphertext=key
    )
    (shares,) = split_ems(1, [(threshold, places)], secret)
    return [bytes([share.index]) + share.value for share in shares]


def join(shares: Iterable[bytes], threshold: int) -> bytes:
    """Make a key again from `threshold` of its shares.

    Raises
    ------
    IntegrityError
        They are too few, damaged, or not of one key.
    """
    from shamir_mnemonic.shamir import ShareGroup, recover_ems
    from shamir_mnemonic.share import Share
    from shamir_mnemonic.utils import MnemonicError

    group = ShareGroup()
    try:
        for share in list(dict.fromkeys(shares))[:threshold]:
            group.add(Share(0, True, 0, 0, 1, 1, share[0], threshold, share[1:]))
        key: bytes = recover_ems({0: group}).ciphertext
    except (MnemonicError, ValueError, IndexError):
        raise IntegrityError("the shares in the key stores do not make a key") from None
    return key


def newest_shares(generations: Mapping[int, Sequence[bytes]], threshold: int) -> Sequence[bytes]:
    """Shares of the newest generation of which there are enough; none when there is none."""
    for _, shares in sorted(generations.items(), reverse=True):
        if len(shares) >= threshold:
            return shares
    return ()


@dataclass(frozen=True, slots=True)
class Batch:
    """A key for the rows of one write, by a random id."""

    id: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Batch({self.id.hex()})"

    @classmethod
    def draw(cls) -> Batch:
        """A new one."""
        return cls(secrets.token_bytes(BATCH_BYTES), secrets.token_bytes(_KEY_BYTES))

    def seal(self, plain: bytes, *place: str | int) -> bytes:
        """Encrypt what stands at a place, such as a table and the row's key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = _cipher(self.key).encrypt(nonce, plain, _info(self.id, place))
        return _MAGIC + self.id + nonce + sealed


def batch_of(sealed: bytes) -> bytes:
    """Id of the batch that something was sealed in.

    Raises
    ------
    IntegrityError
        It was not sealed in one.
    """
    if not sealed.startswith(_MAGIC) or len(sealed) < len(_MAGIC) + BATCH_BYTES + _NONCE_BYTES:
        raise IntegrityError("a secret in the key stores is damaged")
    return sealed[len(_MAGIC) :][:BATCH_BYTES]


def open_split(keys: Mapping[bytes, bytes], sealed: bytes, *place: str | int) -> bytes:
    """Decrypt what stands at a place.

    Parameters
    ----------
    keys : mapping
        Keys of batches by id.

    Raises
    ------
    IntegrityError
        It was changed, or stood elsewhere.
    """
    from cryptography.exceptions import InvalidTag

    batch = batch_of(sealed)
    rest = sealed[len(_MAGIC) + BATCH_BYTES :]
    try:
        return _cipher(keys[batch]).decrypt(
            rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], _info(batch, place)
        )
    except (InvalidTag, KeyError, ValueError):
        raise IntegrityError("a secret in the key stores is damaged or exchanged") from None


@lru_cache(maxsize=64)
def _cipher(key: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key)


def _info(batch: bytes, place: tuple[str | int, ...]) -> bytes:
    return binding("split", batch, *place)
