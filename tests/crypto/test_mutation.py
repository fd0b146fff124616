"""Bodies, headers and manifests that somebody changed, cut, exchanged or rolled back.

The adversary has every disk: may change and mix bodies, headers and manifests at will, and seal
headers to anybody, as public keys are public. Each way of reading refuses all of that.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from medgrid.crypto.crypt4gh import (
    Encryptor,
    Manifest,
    RangeReader,
    body_size,
    decrypt,
    new_data_key,
    open_header,
    seal_header,
)
from medgrid.errors import Denied, ExitCode, IntegrityError
from medgrid.model import ObjectId
from tests.crypto.test_header import ALICE, EVE

SEALED_BYTES = 65564
ALICE_SIGNING, EVE_SIGNING = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
FIRST, SECOND = ObjectId("1" * 32), ObjectId("2" * 32)


@dataclass(frozen=True)
class Lying:
    """What lies on disks: all of it within the adversary's reach."""

    body: bytes
    header: bytes
    manifest: bytes


@dataclass(frozen=True)
class Written:
    """An object as written, and what its writer knows."""

    lying: Lying
    key: bytes
    content: bytes


def write(
    content: bytes,
    object_id: ObjectId = FIRST,
    signing: Ed25519PrivateKey = ALICE_SIGNING,
    key: bytes | None = None,
) -> Written:
    encryptor = Encryptor(key := key or new_data_key())
    body = b"".join(encryptor([content]))
    manifest = Manifest.make(object_id, encryptor.body(), "alice", signing.sign)
    header = seal_header(key, [ALICE.public])
    return Written(Lying(body, header, manifest.to_bytes()), key, content)


def _open(lying: Lying, object_id: ObjectId) -> tuple[bytes, Manifest]:
    manifest = Manifest.from_bytes(lying.manifest)
    manifest.verify(ALICE_SIGNING.public_key().public_bytes_raw(), object_id)
    return open_header(lying.header, ALICE.private), manifest


def read_whole(lying: Lying, object_id: ObjectId = FIRST) -> bytes:
    """Alice reads the whole object."""
    key, manifest = _open(lying, object_id)
    stream = io.BytesIO(lying.body)
    return b"".join(decrypt(iter(lambda: stream.read(100_000), b""), key, manifest))


def read_ranges(lying: Lying, object_id: ObjectId = FIRST) -> bytes:
    """Alice reads piece by piece; not a byte comes when anything is wrong with nonces or tags."""
    key, manifest = _open(lying, object_id)
    reader = RangeReader(io.BytesIO(lying.body), key, manifest)
    starts = range(0, manifest.size_bytes, 50_000)
    return b"".join(reader.read(start, 50_000) for start in starts)


READERS = pytest.mark.parametrize("read", [read_whole, read_ranges])
Read = Callable[..., bytes]

CONTENT = os.urandom(3 * 65536 + 1000)
GOOD = write(CONTENT)


def refused(read: Read, lying: Lying, object_id: ObjectId = FIRST) -> str:
    with pytest.raises(IntegrityError) as caught:
        read(lying, object_id)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    return caught.value.message


def with_body(body: bytes, written: Written = GOOD) -> Lying:
    return replace(written.lying, body=body)


def segments(body: bytes) -> list[bytes]:
    return [body[start : start + SEALED_BYTES] for start in range(0, len(body), SEALED_BYTES)]


@READERS
def test_what_nobody_changed_is_read(read: Read) -> None:
    assert read(GOOD.lying) == CONTENT
    assert read(write(b"").lying) == b""


@READERS
@pytest.mark.parametrize(
    "left", [0, 1, 27, 28, 29, 65563, 65564, 65565, 65592, 2 * 65564, 3 * 65564, 3 * 65564 + 28, -1]
)
def test_truncated_bodies(read: Read, left: int) -> None:
    body = GOOD.lying.body[:left]
    message = refused(read, with_body(body))
    damaged = f"body: segment {len(body) // SEALED_BYTES}"  # the cut segment shows first
    size = f"body: expected {len(GOOD.lying.body)} bytes, found {len(body)} bytes"
    assert message == size or (read is read_whole and message.startswith(damaged))


@READERS
@pytest.mark.parametrize("more", [b"\0", bytes(28), bytes(29), GOOD.lying.body[:SEALED_BYTES]])
def test_extended_bodies(read: Read, more: bytes) -> None:
    refused(read, with_body(GOOD.lying.body + more))


@READERS
def test_bodies_extended_by_who_has_the_key(read: Read) -> None:
    """All segments are authentic: their number and order are not."""
    content = os.urandom(2 * 65536)
    good = write(content)
    cipher, nonce = ChaCha20Poly1305(good.key), os.urandom(12)
    for more in (b"", b"more", bytes(65536)):
        segment = nonce + cipher.encrypt(nonce, more, None)
        refused(read, with_body(good.lying.body + segment, good))
        refused(read, with_body(segment + good.lying.body, good))
        refused(read, with_body(good.lying.body[:SEALED_BYTES] + segment, good))


@READERS
def test_reordered_doubled_and_left_out_segments(read: Read) -> None:
    content = os.urandom(4 * 65536)
    good = write(content)
    parts = segments(good.lying.body)
    for order in itertools.permutations(range(4)):
        body = b"".join(parts[number] for number in order)
        if order == (0, 1, 2, 3):
            assert read(with_body(body, good)) == content
            continue
        assert refused(read, with_body(body, good)) == (
            "body: its segments are not those of the manifest"
        )
    for numbers in ([0, 1, 2, 2], [0, 0, 1, 2], [3, 3, 3, 3]):
        refused(read, with_body(b"".join(parts[number] for number in numbers), good))
    for numbers in ([0, 1, 2], [0, 2, 3], [1, 2, 3], [0, 1, 2, 3, 3], [0, 1, 1, 2, 3]):
        message = refused(read, with_body(b"".join(parts[number] for number in numbers), good))
        found = "more" if read is read_whole and len(numbers) > 4 else None
        found = found or f"{len(numbers) * SEALED_BYTES} bytes"
        assert message == f"body: expected {4 * SEALED_BYTES} bytes, found {found}"


@READERS
def test_segments_of_another_body(read: Read) -> None:
    foreign = segments(write(CONTENT).lying.body)
    same_key = segments(write(CONTENT, key=GOOD.key).lying.body)
    own = segments(GOOD.lying.body)
    for number in range(len(own)):
        for other in (foreign, same_key):
            body = b"".join([*own[:number], other[number], *own[number + 1 :]])
            refused(read, with_body(body))
            refused(read, with_body(b"".join(own[:number] + other[number:])))


@READERS
@given(data=st.data())
def test_one_bit_changed_anywhere_in_the_body(read: Read, data: st.DataObject) -> None:
    good = SMALL
    bit = data.draw(st.integers(0, 8 * len(good.lying.body) - 1))
    body = bytearray(good.lying.body)
    body[bit // 8] ^= 1 << bit % 8
    refused(read, with_body(bytes(body), good))


SMALL = write(os.urandom(70_000))


@READERS
def test_no_mix_of_old_new_and_foreign_parts_is_read(read: Read) -> None:
    """Rolled back, exchanged, forged: of 5 x 5 x 5 mixtures none but the whole ones is read."""
    size = 70_000
    content = os.urandom(size)
    sources = {
        "new": write(content),
        "old": write(content),  # the same content before its keys were changed
        "same key": write(os.urandom(size)),
        "another": write(os.urandom(size), SECOND),
        "forged": write(os.urandom(size), signing=EVE_SIGNING),
    }
    sources["same key"] = write(os.urandom(size), key=sources["new"].key)
    for body, header, manifest in itertools.product(sources, repeat=3):
        lying = Lying(
            sources[body].lying.body,
            sources[header].lying.header,
            sources[manifest].lying.manifest,
        )
        honest = manifest in ("new", "old", "same key")
        same_key = sources[header].key == sources[manifest].key
        if honest and body == manifest and same_key:
            assert read(lying) == sources[body].content
        else:
            refused(read, lying)


@READERS
def test_an_object_in_place_of_another(read: Read) -> None:
    assert read(GOOD.lying, FIRST) == CONTENT
    assert refused(read, GOOD.lying, SECOND) == (
        f"object {SECOND}: the manifest is that of {FIRST}"
    )


def test_a_body_rolled_back_with_header_and_manifest_shows_by_its_digest() -> None:
    """An older writing of an object verifies: who knows the current digest compares it."""
    old, new = write(CONTENT), write(CONTENT)
    manifests = [Manifest.from_bytes(one.lying.manifest) for one in (old, new)]
    assert read_whole(old.lying) == read_whole(new.lying)
    assert manifests[0].body_sha256 != manifests[1].body_sha256
    assert manifests[0].key_id != manifests[1].key_id


@READERS
def test_a_header_for_somebody_else_is_denied(read: Read) -> None:
    lying = replace(GOOD.lying, header=seal_header(GOOD.key, [EVE.public]))
    with pytest.raises(Denied) as caught:
        read(lying)
    assert caught.value.message == "the header is not addressed to this key"
    assert caught.value.exit_code == ExitCode.DENIED


@READERS
def test_a_header_that_an_adversary_sealed(read: Read) -> None:
    """Anybody can seal any key to Alice, and a body under it: the manifest's key id says no."""
    forged = write(CONTENT)
    lying = replace(GOOD.lying, header=forged.lying.header, body=forged.lying.body)
    assert refused(read, lying) == "body: the header holds the key of another body"
    both = seal_header(GOOD.key, [ALICE.public])[16:] + forged.lying.header[16:]
    lying = replace(GOOD.lying, header=b"crypt4gh\1\0\0\0\2\0\0\0" + both)
    assert refused(read, lying) == "header: expected one data key, found several"


@READERS
@given(data=st.data())
def test_one_bit_changed_anywhere_in_header_or_manifest(read: Read, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(["header", "manifest"]))
    changed = bytearray(getattr(SMALL.lying, part))
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((IntegrityError, Denied)):
        read(replace(SMALL.lying, **{part: bytes(changed)}))


@READERS
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537])
def test_small_bodies_cut_and_extended(read: Read, size: int) -> None:
    good = write(os.urandom(size))
    assert read(good.lying) == good.content
    body = good.lying.body
    for changed in (body[:-1], body[:-28], body[:28], body + b"\0", body + bytes(28), body + body):
        if changed != body:
            refused(read, with_body(changed, good))


def test_an_endless_body_is_left_early() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield GOOD.lying.body
        for taken in range(1_000_000):  # noqa: B007
            yield GOOD.lying.body[:SEALED_BYTES]

    with pytest.raises(IntegrityError):
        list(decrypt(endless(), GOOD.key, Manifest.from_bytes(GOOD.lying.manifest)))
    assert taken < 3


def test_nothing_comes_from_a_damaged_segment() -> None:
    """What was given before it is a beginning of the content, and the error comes in its place."""
    body = bytearray(GOOD.lying.body)
    body[2 * SEALED_BYTES + 500] ^= 1
    given = []
    with pytest.raises(IntegrityError) as caught:
        for chunk in decrypt([bytes(body)], GOOD.key, Manifest.from_bytes(GOOD.lying.manifest)):
            given.append(chunk)  # noqa: PERF402
    assert caught.value.message == "body: segment 2 is not authentic"
    assert b"".join(given) == CONTENT[: 2 * 65536]


def forge(key: bytes, segment: bytes) -> bytes:
    """Another segment with the same nonce and tag, made by somebody who has the key.

    Poly1305 is the polynomial sum(block[i] * r**(n - i)) modulo p: a change of one block is
    undone by a change of the next.
    """
    prime = 2**130 - 5
    nonce, cipher, tag = segment[:12], bytearray(segment[12:-16]), segment[-16:]
    stream = Cipher(algorithms.ChaCha20(key, bytes(4) + nonce), None).encryptor()
    r = int.from_bytes(stream.update(bytes(16)), "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    one, two = (int.from_bytes(cipher[start : start + 16], "little") for start in (0, 16))
    for difference in range(1, 1000):
        undone = (two - difference * r) % prime
        if undone < 2**128 and one + difference < 2**128:
            cipher[:32] = (one + difference).to_bytes(16, "little") + undone.to_bytes(16, "little")
            return nonce + bytes(cipher) + tag
    raise AssertionError("no forgery found")


def test_who_has_the_key_and_the_disk_can_forge_tags_but_not_the_digest() -> None:
    """Why whole reads check the digest of the body too, and what ranges do not promise."""
    forged = forge(GOOD.key, GOOD.lying.body[:SEALED_BYTES]) + GOOD.lying.body[SEALED_BYTES:]
    body = Manifest.from_bytes(GOOD.lying.manifest).body
    assert len(forged) == body_size(body.size_bytes)
    with pytest.raises(IntegrityError) as caught:
        read_whole(with_body(forged))
    assert caught.value.message.startswith(f"body: expected digest {body.body_sha256}, found ")
    assert read_ranges(with_body(forged))[65536:] == CONTENT[65536:]
    assert read_ranges(with_body(forged))[:32] != CONTENT[:32]
