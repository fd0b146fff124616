"""Sealing to one person."""

from __future__ import annotations

import pytest

from medgrid.crypto.hpke import OVERHEAD_BYTES, binding, hpke_open, hpke_seal, key_pair, public_of
from medgrid.errors import IntegrityError

SHUT = "a sealed box does not open: changed, moved, or not ours"


def test_what_is_sealed_opens_for_its_recipient() -> None:
    private, public = key_pair()
    sealed = hpke_seal(public, b"secret", b"what for")
    assert hpke_open(private, sealed, b"what for") == b"secret"
    assert len(sealed) == len(b"secret") + OVERHEAD_BYTES
    assert public_of(private) == public


def test_another_key_or_another_place_opens_nothing() -> None:
    private, public = key_pair()
    sealed = hpke_seal(public, b"secret", b"what for")
    for key, info in ((key_pair()[0], b"what for"), (private, b"what else"), (private, b"")):
        with pytest.raises(IntegrityError) as caught:
            hpke_open(key, sealed, info)
        assert caught.value.message == SHUT


def test_each_changed_byte_is_seen() -> None:
    private, public = key_pair()
    sealed = hpke_seal(public, b"secret", b"")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(IntegrityError):
            hpke_open(private, bytes(changed), b"")
    for part in (b"", sealed[:20], sealed[:-1], sealed + b"\0"):
        with pytest.raises(IntegrityError):
            hpke_open(private, part, b"")


def test_nothing_is_sealed_to_what_is_no_key() -> None:
    for public in (b"", b"short", bytes(32)):
        with pytest.raises(IntegrityError):
            hpke_seal(public, b"secret", b"")


def test_bindings_differ_wherever_their_parts_do() -> None:
    assert binding("wrap", "a", "bc") != binding("wrap", "ab", "c")
    assert binding("wrap", "a", "") != binding("wrap", "a")
    assert binding("wrap", "1,1:2") != binding("wrap", 1, 2)
