"""Other programs read what we write, and we read what they write.

The `crypt4gh` package is the reference implementation in Python, on libsodium.
"""

from __future__ import annotations

import io
import os

import pytest
from crypt4gh import lib as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from medgrid.crypto.crypt4gh import (
    Encryptor,
    decrypt_foreign,
    new_data_key,
    open_header,
    read_header,
    seal_header,
)
from medgrid.errors import Denied, IntegrityError
from tests.crypto.test_crypt4gh import EDGES
from tests.crypto.test_header import ALICE, BOB, EVE, Pair

SIZES = st.one_of(st.sampled_from(EDGES), st.integers(0, 400_000))
READERS = st.lists(st.sampled_from([ALICE, BOB]), min_size=1, max_size=2, unique=True)


def theirs(content: bytes, readers: list[Pair], writer: Pair = EVE) -> bytes:
    """A file as the reference writes it."""
    out = io.BytesIO()
    keys = [(0, writer.private, reader.public) for reader in readers]
    reference.encrypt(keys, io.BytesIO(content), out)
    return out.getvalue()


def ours(content: bytes, readers: list[Pair], writer: Pair | None = None) -> bytes:
    """A file as we write it."""
    encryptor = Encryptor(data_key := new_data_key())
    header = seal_header(data_key, [reader.public for reader in readers], writer and writer.private)
    return header + b"".join(encryptor([content]))


def read(file: bytes, reader: Pair) -> bytes:
    """Content of a file as we read it."""
    stream = io.BytesIO(file)
    data_key = open_header(read_header(stream), reader.private)
    return b"".join(decrypt_foreign(iter(lambda: stream.read(50_000), b""), data_key))


def they_read(file: bytes, reader: Pair) -> bytes:
    """Content of a file as the reference reads it."""
    out = io.BytesIO()
    reference.decrypt([(0, reader.private, None)], io.BytesIO(file), out)
    return out.getvalue()


@settings(max_examples=50)
@given(size=SIZES, readers=READERS)
def test_we_read_theirs(size: int, readers: list[Pair]) -> None:
    content = os.urandom(size)
    file = theirs(content, readers)
    for reader in readers:
        assert read(file, reader) == content


@settings(max_examples=50)
@given(size=SIZES, readers=READERS, named=st.booleans())
def test_they_read_ours(size: int, readers: list[Pair], named: bool) -> None:
    content = os.urandom(size)
    file = ours(content, readers, EVE if named else None)
    for reader in readers:
        assert they_read(file, reader) == content


def test_they_know_the_writer_we_name() -> None:
    out = io.BytesIO()
    file = ours(b"content", [ALICE], EVE)
    reference.decrypt([(0, ALICE.private, None)], io.BytesIO(file), out, sender_pubkey=EVE.public)
    assert out.getvalue() == b"content"


def test_neither_reads_what_is_for_another() -> None:
    with pytest.raises(Denied):
        read(theirs(b"content", [BOB]), ALICE)
    with pytest.raises(ValueError, match="No supported encryption method"):
        they_read(ours(b"content", [BOB]), ALICE)


def test_a_header_they_re_encrypt_opens() -> None:
    """As a grant does it: the body stays, the header is made anew for somebody else."""
    content = os.urandom(100_000)
    for trim in (True, False):
        out = io.BytesIO()
        reference.reencrypt(
            [(0, ALICE.private, None)],
            [(0, EVE.private, BOB.public)],
            io.BytesIO(ours(content, [ALICE])),
            out,
            trim=trim,
        )
        assert read(out.getvalue(), BOB) == content


def test_their_edit_lists_are_refused() -> None:
    out = io.BytesIO()
    keys = [(0, ALICE.private, ALICE.public)]
    file = theirs(os.urandom(200_000), [ALICE])
    reference.rearrange(keys, io.BytesIO(file), out, offset=70_000, span=50_000)
    assert len(they_read(out.getvalue(), ALICE)) == 50_000
    with pytest.raises(IntegrityError) as caught:
        read(out.getvalue(), ALICE)
    assert caught.value.message == "header: edit lists are not accepted"


def test_a_foreign_body_with_a_damaged_segment_is_refused() -> None:
    file = bytearray(theirs(os.urandom(100_000), [ALICE]))
    file[-1] ^= 1
    with pytest.raises(IntegrityError) as caught:
        read(bytes(file), ALICE)
    assert caught.value.message == "body: segment 1 is not authentic"
