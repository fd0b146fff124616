"""Merkle trees: hashes of RFC 9162, against the definition and against known values."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    check_consistency,
    check_inclusion,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from medgrid.errors import IntegrityError

# the entries and the root that the certificate-transparency implementations test with
ENTRIES = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def leaves(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(size)]


def defined(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, as it stands there."""
    if not hashes:
        return sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return sha256(b"\x01" + defined(hashes[:half]) + defined(hashes[half:])).digest()


def test_known_roots() -> None:
    hashes = [leaf_hash(bytes.fromhex(entry)) for entry in ENTRIES]
    assert {size: root_of(hashes[:size]).hex() for size in ROOTS} == ROOTS
    assert root_of([]) == EMPTY_ROOT == sha256().digest()


@given(st.integers(0, 70))
def test_roots_are_those_of_the_definition(size: int) -> None:
    assert root_of(leaves(size)) == defined(leaves(size))


@given(st.lists(st.integers(0, 9), max_size=8))
def test_a_frontier_grows_in_any_steps(steps: list[int]) -> None:
    all_leaves = leaves(sum(steps))
    frontier, done = Frontier(), 0
    for step in steps:
        frontier = Frontier.from_bytes(frontier.size, frontier.to_bytes())
        frontier.extend(all_leaves[done : done + step])
        done += step
        assert frontier.root() == defined(all_leaves[:done])


def test_a_frontier_of_another_size_is_none() -> None:
    with pytest.raises(ValueError, match="a log of 3 has not 1 peaks"):
        Frontier(3, [bytes(32)])
    with pytest.raises(ValueError, match="a log of 1 has not 1 peaks"):
        Frontier(1, [bytes(31)])


@given(st.data())
def test_inclusion(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    all_leaves = leaves(size)
    root, proof = root_of(all_leaves), inclusion_proof(all_leaves, index)
    check_inclusion(all_leaves[index], index, size, proof, root)
    other = data.draw(st.integers(-1, size))
    wrong = [
        (leaf_hash(b"other"), index, size, proof, root),
        (all_leaves[index], index, size, proof, leaf_hash(b"other")),
        (all_leaves[index], index, size, [*proof, root], root),
        (all_leaves[index], size, size, proof, root),
    ]
    if other != index:
        wrong.append((all_leaves[index], other, size, proof, root))
    if proof:
        wrong.append((all_leaves[index], index, size, proof[:-1], root))
    for values in wrong:
        with pytest.raises(IntegrityError):
            check_inclusion(*values)


@given(st.data())
def test_consistency(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    first = data.draw(st.integers(1, size))
    all_leaves = leaves(size)
    roots = root_of(all_leaves[:first]), root_of(all_leaves)
    proof = consistency_proof(all_leaves, first)
    check_consistency(first, roots[0], size, roots[1], proof)
    changed = [leaf_hash(b"other"), *all_leaves[1:]]
    wrong = [
        (first, root_of(changed[:first]), size, roots[1], proof),
        (first, roots[0], size, root_of(changed), proof),
        (first, roots[0], size, roots[1], [*proof, roots[0]]),
        (first, roots[0], size + 1, roots[1], proof[:-1]),
    ]
    for values in wrong:
        with pytest.raises(IntegrityError):
            check_consistency(*values)


def test_there_are_proofs_of_what_is_there_alone() -> None:
    with pytest.raises(ValueError, match="no record 3 among 3"):
        inclusion_proof(leaves(3), 3)
    with pytest.raises(ValueError, match="no log of 4 in one of 3"):
        consistency_proof(leaves(3), 4)
