"""Merkle trees over an append-only log (RFC 9162 section 2.1): roots, proofs, and their checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

from medgrid.errors import IntegrityError

__all__ = [
    "EMPTY_ROOT",
    "Frontier",
    "check_consistency",
    "check_inclusion",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "root_of",
]

EMPTY_ROOT = sha256(b"").digest()
"""Root of the log that has no record."""

_HASH_BYTES = 32


def leaf_hash(data: bytes) -> bytes:
    """Hash of one record."""
    return sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """Roots of the largest full subtrees of a log, all that is needed to append to it.

    Parameters
    ----------
    size : int
        Number of records.
    peaks : sequence of bytes
        One root for each bit that is set in `size`, the largest subtree first.

    Raises
    ------
    ValueError
        The number of roots is wrong.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks) or any(len(peak) != _HASH_BYTES for peak in peaks):
            raise ValueError(f"a log of {size} has not {len(peaks)} peaks")
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what `to_bytes` wrote."""
        return cls(size, [data[at : at + _HASH_BYTES] for at in range(0, len(data), _HASH_BYTES)])

    def to_bytes(self) -> bytes:
        """The roots, one after the other."""
        return b"".join(self.peaks)

    def copy(self) -> Frontier:
        """A frontier of its own, of the same log."""
        return Frontier(self.size, self.peaks)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append records, given by their leaf hashes."""
        peaks, size = self.peaks, self.size
        for leaf in leaves:
            found, bits = leaf, size
            while bits & 1:
                found = sha256(b"\x01" + peaks.pop() + found).digest()
                bits >>= 1
            peaks.append(found)
            size += 1
        self.size = size

    def root(self) -> bytes:
        """Root of the whole log."""
        if not self.peaks:
            return EMPTY_ROOT
        found = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            found = _node(peak, found)
        return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Root of a log, given all its leaf hashes."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Proof that record `index` is in the log (RFC 9162 section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"no record {index} among {len(leaves)}")
    proof = []
    while len(leaves) > 1:
        half = _split(len(leaves))
        if index < half:
            proof.append(root_of(leaves[half:]))
            leaves = leaves[:half]
        else:
            proof.append(root_of(leaves[:half]))
            leaves, index = leaves[half:], index - half
    return proof[::-1]


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check an inclusion proof (RFC 9162 section 2.1.3.2).

    Raises
    ------
    IntegrityError
        The record is not at this place of the log with this root.
    """
    good = 0 <= index < size
    number, last, found = index, size - 1, leaf
    for step in proof if good else ():
        if last == 0:
            good = False
            break
        if number & 1 or number == last:
            found = _node(step, found)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            found = _node(found, step)
        number, last = number >> 1, last >> 1
    if not good or last != 0 or found != root:
        raise IntegrityError(f"record {index} is not in the log of {size} records")


def consistency_proof(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """Proof that the log begins with its first `first` records (RFC 9162 section 2.1.4.1)."""
    if not 0 < first <= len(leaves):
        raise ValueError(f"no log of {first} in one of {len(leaves)}")
    proof = []
    whole = True
    while first != len(leaves):
        half = _split(len(leaves))
        if first <= half:
            proof.append(root_of(leaves[half:]))
            leaves = leaves[:half]
        else:
            proof.append(root_of(leaves[:half]))
            leaves, first, whole = leaves[half:], first - half, False
    if not whole:
        proof.append(root_of(leaves))
    return proof[::-1]


def check_consistency(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check a consistency proof (RFC 9162 section 2.1.4.2).

    Raises
    ------
    IntegrityError
        The longer log does not begin with the shorter one.
    """
    if not _is_consistent(first, first_root, second, second_root, list(proof)):
        raise IntegrityError(f"the log of {second} records does not continue that of {first}")


def _is_consistent(
    first: int, first_root: bytes, second: int, second_root: bytes, proof: list[bytes]
) -> bool:
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    if first & (first - 1) == 0:
        proof.insert(0, first_root)
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = proof[0]
    for step in proof[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = _node(step, old), _node(step, new)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            new = _node(new, step)
        number, last = number >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """Largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1
