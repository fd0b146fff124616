"""Ranges: only what is needed is read, and all of it is verified first."""

from __future__ import annotations

import dataclasses
import io
import os

import pytest

from medgrid.crypto.crypt4gh import Encryptor, RangeReader, new_data_key, read_tags
from medgrid.errors import IntegrityError

KEY = new_data_key()
CONTENT = os.urandom(20 * 65536 + 5)
ENCRYPTOR = Encryptor(KEY)
SEALED = b"".join(ENCRYPTOR([CONTENT]))
BODY = ENCRYPTOR.body()


class Counted(io.BytesIO):
    """A stream that counts what is read from it."""

    read_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        return data


def test_only_nonces_tags_and_the_segments_asked_for_are_read() -> None:
    stream = Counted(SEALED)
    reader = RangeReader(stream, KEY, BODY)
    assert stream.read_bytes == 21 * 28
    assert reader.read(65536 - 1, 2) == CONTENT[65536 - 1 : 65536 + 1]
    assert stream.read_bytes == 21 * 28 + 2 * 65564


def test_tags_that_are_kept_need_not_be_read_again() -> None:
    tags = read_tags(io.BytesIO(SEALED), len(CONTENT))
    assert len(tags) == 21 * 28
    stream = Counted(SEALED)
    assert RangeReader(stream, KEY, BODY, tags=tags).read(len(CONTENT) - 5, 99) == CONTENT[-5:]
    assert stream.read_bytes == 33


@pytest.mark.parametrize("tags", [b"", bytes(21 * 28), bytes(28)])
def test_tags_that_are_not_those_of_the_manifest(tags: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        RangeReader(io.BytesIO(SEALED), KEY, BODY, tags=tags)
    assert caught.value.message == "body: its segments are not those of the manifest"


def test_a_manifest_that_contradicts_itself() -> None:
    tags = read_tags(io.BytesIO(SEALED), len(CONTENT))
    shorter = dataclasses.replace(BODY, size_bytes=65536)
    with pytest.raises(IntegrityError) as caught:
        RangeReader(io.BytesIO(SEALED), KEY, shorter, tags=tags)
    assert caught.value.message == "body: its segments are not as many as its size says"


def test_another_key_is_refused_before_a_byte_is_read() -> None:
    stream = Counted(SEALED)
    with pytest.raises(IntegrityError) as caught:
        RangeReader(stream, new_data_key(), BODY, start="store1: ab/cd")
    assert caught.value.message == "store1: ab/cd: the header holds the key of another body"
    assert stream.read_bytes == 0


def test_a_body_that_changes_while_it_is_open_is_refused() -> None:
    other = Encryptor(KEY)
    changed = b"".join(other([CONTENT]))  # authentic, under the same key
    stream = io.BytesIO(SEALED)
    reader = RangeReader(stream, KEY, BODY)
    assert reader.read(0, 10) == CONTENT[:10]
    stream.seek(65564)
    stream.write(changed[65564 : 2 * 65564])
    assert reader.read(0, 10) == CONTENT[:10]
    with pytest.raises(IntegrityError) as exchanged:
        reader.read(65530, 10)
    assert exchanged.value.message == "body: segment 1 is not that of the manifest"
    stream.truncate(2 * 65564 + 100)
    with pytest.raises(IntegrityError) as cut:
        reader.read(2 * 65536, 10)
    assert cut.value.message == f"body: it ends before byte {3 * 65564}"


def test_a_damaged_segment_is_refused_when_it_is_read() -> None:
    damaged = bytearray(SEALED)
    damaged[3 * 65564 + 100] ^= 1
    reader = RangeReader(io.BytesIO(damaged), KEY, BODY)
    assert reader.read(2 * 65536, 65536) == CONTENT[2 * 65536 : 3 * 65536]
    with pytest.raises(IntegrityError) as caught:
        reader.read(2 * 65536, 65537)
    assert caught.value.message == "body: segment 3 is not authentic"


def test_ranges_before_the_start_and_after_the_end() -> None:
    reader = RangeReader(io.BytesIO(SEALED), KEY, BODY)
    assert reader.read(len(CONTENT), 10) == reader.read(10**12, 1) == reader.read(5, 0) == b""
    for offset, length in ((-1, 1), (0, -1)):
        with pytest.raises(ValueError, match="expected an offset and a length of 0 or more"):
            reader.read(offset, length)
