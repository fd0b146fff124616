"""The way of an object: content, body, header, manifest, and back."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from medgrid.crypto.crypt4gh import (
    SEGMENT_BYTES,
    Encryptor,
    Manifest,
    RangeReader,
    body_size,
    decrypt,
    new_data_key,
    open_header,
    seal_header,
)
from medgrid.model import Sha256, new_object_id

EDGES = [0, 1, 27, 28, 29, 65535, 65536, 65537, 65564, 131071, 131072, 131073, 200_000]


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """`data` in pieces of `sizes`, over and over."""
    position = 0
    for size in itertools.cycle(sizes):
        if position >= len(data):
            return
        yield data[position : position + size]
        position += size


def test_an_object_goes_out_and_comes_back() -> None:
    private, signing = X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    content = os.urandom(150_000)
    object_id = new_object_id()

    data_key = new_data_key()
    encryptor = Encryptor(data_key)
    body = b"".join(encryptor([content]))
    header = seal_header(data_key, [private.public_key().public_bytes_raw()])
    written = Manifest.make(object_id, encryptor.body(), "alice", signing.sign).to_bytes()

    manifest = Manifest.from_bytes(written)
    manifest.verify(signing.public_key().public_bytes_raw(), object_id)
    opened = open_header(header, private.private_bytes_raw())
    assert b"".join(decrypt([body], opened, manifest)) == content
    assert content[:64] not in body


@pytest.mark.parametrize("size", EDGES)
def test_sizes_around_the_edges_of_segments(size: int) -> None:
    content = os.urandom(size)
    encryptor = Encryptor(key := new_data_key())
    body = b"".join(encryptor([content]))
    assert len(body) == body_size(size) == encryptor.body_bytes
    assert encryptor.size_bytes == size
    assert encryptor.plain_sha256 == hashlib.sha256(content).hexdigest()
    assert encryptor.body_sha256 == hashlib.sha256(body).hexdigest()
    whole = range(0, len(body), SEGMENT_BYTES + 28)
    segments = [body[begin : begin + SEGMENT_BYTES + 28] for begin in whole]
    tags = b"".join(one[:12] + one[-16:] for one in segments)
    assert encryptor.tags_sha256 == hashlib.sha256(tags).hexdigest()
    assert b"".join(decrypt([body], key, encryptor.body())) == content


@settings(max_examples=60)
@given(
    size=st.one_of(st.sampled_from(EDGES), st.integers(0, 300_000)),
    written=st.lists(st.integers(1, 140_000), min_size=1, max_size=5),
    read=st.lists(st.integers(1, 140_000), min_size=1, max_size=5),
)
def test_how_bytes_are_cut_into_chunks_does_not_matter(
    size: int, written: list[int], read: list[int]
) -> None:
    content = os.urandom(size)
    encryptor = Encryptor(key := new_data_key())
    small = max(1, size // 5000)  # no chunks so small that the test takes for ever
    body = b"".join(encryptor(pieces(content, [max(small, one) for one in written])))
    sealed = pieces(body, [max(small, one) for one in read])
    assert len(body) == body_size(size)
    assert b"".join(decrypt(sealed, key, encryptor.body())) == content


def test_empty_chunks_are_nothing() -> None:
    encryptor = Encryptor(key := new_data_key())
    body = list(encryptor([b"", b"a", b"", b"b", b""]))
    assert [len(segment) for segment in body] == [30]
    assert list(decrypt([b"", body[0], b""], key, encryptor.body())) == [b"ab"]


def test_each_segment_has_its_own_nonce() -> None:
    encryptor = Encryptor(new_data_key())
    segments = list(encryptor([bytes(SEGMENT_BYTES * 20)]))
    assert len({segment[:12] for segment in segments}) == 20
    assert len(set(segments)) == 20


def test_memory_does_not_grow_with_the_object(tmp_path: Path) -> None:
    chunk = bytes(1024 * 1024)
    encryptor = Encryptor(key := new_data_key())
    tracemalloc.start()
    with (tmp_path / "body").open("wb") as target:
        target.writelines(encryptor(itertools.repeat(chunk, 48)))
    with (tmp_path / "body").open("rb") as source:
        read = iter(lambda: source.read(len(chunk)), b"")
        size_bytes = sum(map(len, decrypt(read, key, encryptor.body())))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size_bytes == 48 * len(chunk)
    assert peak_bytes < 4 * len(chunk)


def test_an_encryptor_serves_one_object() -> None:
    encryptor = Encryptor(new_data_key())
    stream = encryptor([bytes(100_000)])
    next(stream)
    for question in ("tags_sha256", "body_sha256", "plain_sha256", "size_bytes"):
        with pytest.raises(RuntimeError) as early:
            getattr(encryptor, question)
        assert str(early.value) == "known only when the whole body was taken"
    with pytest.raises(RuntimeError) as twice:
        encryptor([b"more"])
    assert str(twice.value) == "an encryptor serves one object once"


def test_a_digest_that_was_left_out_comes_from_elsewhere() -> None:
    encryptor = Encryptor(key := new_data_key(), hash_plain=False, hash_body=False)
    body = b"".join(encryptor([b"content"]))
    with pytest.raises(RuntimeError) as plain:
        _ = encryptor.plain_sha256
    assert str(plain.value) == "this digest needs hash_plain"
    with pytest.raises(RuntimeError) as sealed:
        encryptor.body()
    assert str(sealed.value) == "this digest needs hash_body"
    stored = Sha256(hashlib.sha256(body).hexdigest())
    assert b"".join(decrypt([body], key, encryptor.body(stored))) == b"content"


@settings(max_examples=40)
@given(data=st.data(), size=st.one_of(st.sampled_from(EDGES), st.integers(0, 300_000)))
def test_a_range_is_that_range(data: st.DataObject, size: int) -> None:
    content = os.urandom(size)
    encryptor = Encryptor(key := new_data_key())
    reader = RangeReader(io.BytesIO(b"".join(encryptor([content]))), key, encryptor.body())
    for _ in range(5):
        offset = data.draw(st.integers(0, size + 10))
        length = data.draw(st.integers(0, size + 10))
        assert reader.read(offset, length) == content[offset : offset + length]
    assert reader.read(0, size) == content
