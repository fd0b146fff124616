"""Manifests: what is signed, and that nothing else passes."""

from __future__ import annotations

import dataclasses
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from medgrid.crypto.crypt4gh import Body, Manifest
from medgrid.errors import ExitCode, IntegrityError
from medgrid.model import ObjectId, Sha256

SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNING.public_key().public_bytes_raw()
OBJECT = ObjectId("00ff" * 8)
BODY = Body(70_000, Sha256("a1" * 32), Sha256("b2" * 32), Sha256("c3" * 32))
MANIFEST = Manifest.make(OBJECT, BODY, "alice", SIGNING.sign)
WRITTEN = MANIFEST.to_bytes()


def test_it_comes_back_as_it_was() -> None:
    read = Manifest.from_bytes(WRITTEN)
    assert read == MANIFEST
    assert read.body == BODY
    read.verify(PUBLIC, OBJECT)


def test_its_bytes_are_canonical() -> None:
    """Signatures that lie in key stores depend on these very bytes."""
    signed = (
        '{"body_sha256":"' + "a1" * 32 + '","format":"medgrid manifest 1","key_id":"' + "c3" * 32
        + '","object_id":"' + "00ff" * 8
        + '",%s"signer":"alice","size_bytes":70000,"tags_sha256":"' + "b2" * 32 + '"}'
    )  # fmt: skip
    assert MANIFEST.signed_bytes() == b"medgrid manifest\0" + (signed % "").encode()
    signature = f'"signature":"{MANIFEST.signature.hex()}",'
    assert signed % signature == WRITTEN.decode()
    SIGNING.public_key().verify(MANIFEST.signature, MANIFEST.signed_bytes())


def test_that_of_another_object_is_refused() -> None:
    with pytest.raises(IntegrityError) as caught:
        MANIFEST.verify(PUBLIC, ObjectId("11" * 16))
    assert caught.value.message == f"object {'11' * 16}: the manifest is that of {OBJECT}"
    assert caught.value.exit_code == ExitCode.INTEGRITY


@pytest.mark.parametrize(
    "public",
    [Ed25519PrivateKey.generate().public_key().public_bytes_raw(), b"", bytes(32)],
    ids=["another", "none", "zeros"],
)
def test_that_of_another_signer_is_refused(public: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        MANIFEST.verify(public, OBJECT)
    assert caught.value.message == f"object {OBJECT}: the manifest was not signed by 'alice'"


@pytest.mark.parametrize(
    "change",
    [
        {"size_bytes": 69_999},
        {"body_sha256": "a2" * 32},
        {"tags_sha256": "b3" * 32},
        {"key_id": "c4" * 32},
        {"signer": "bob"},
        {"signature": bytes(64)},
        {"signature": b""},
    ],
)
def test_every_field_is_signed(change: dict[str, object]) -> None:
    changed = dataclasses.replace(MANIFEST, **change)  # type: ignore[arg-type]
    with pytest.raises(IntegrityError) as caught:
        changed.verify(PUBLIC, OBJECT)
    assert caught.value.message == (
        f"object {OBJECT}: the manifest was not signed by {changed.signer!r}"
    )


def test_a_signature_of_the_same_json_elsewhere_does_not_fit() -> None:
    bare = MANIFEST.signed_bytes().partition(b"\0")[2]
    with pytest.raises(IntegrityError):
        dataclasses.replace(MANIFEST, signature=SIGNING.sign(bare)).verify(PUBLIC, OBJECT)


def variant(**changes: object) -> bytes:
    fields = {**json.loads(WRITTEN), **changes}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"7",
        b"\xff",
        WRITTEN + b"\n",
        b" " + WRITTEN,
        WRITTEN.replace(b":", b": "),
        WRITTEN[:-1] + b',"size_bytes":1}',
        WRITTEN.replace(b'"alice"', b'"\\u0061lice"'),
        json.dumps(json.loads(WRITTEN), sort_keys=False).encode(),
        variant(more=1),
        variant(format="medgrid manifest 2"),
        variant(size_bytes=-1),
        variant(size_bytes=True),
        variant(size_bytes=1.0),
        variant(size_bytes="1"),
        variant(size_bytes=2**63),
        variant(signer=""),
        variant(signer="a" * 256),
        variant(signer="a\nb"),
        variant(signer=None),
        variant(object_id="00FF" * 8),
        variant(object_id="00ff" * 7),
        variant(body_sha256="a1" * 31),
        variant(tags_sha256=None),
        variant(key_id=["c3" * 32]),
        variant(signature="00" * 63),
        b'{"size_bytes":' + b"9" * 4000 + b"}",
        b"[" * 4000,
        b"[" * 1_000_000,
        variant(more="x" * 5000),
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        Manifest.from_bytes(data)
    assert caught.value.message == "not a manifest, or a damaged one"


@given(bit=st.integers(0, 8 * len(WRITTEN) - 1))
def test_one_with_one_bit_changed_is_refused(bit: int) -> None:
    changed = bytearray(WRITTEN)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(bytes(changed)).verify(PUBLIC, OBJECT)


@given(
    size=st.integers(0, 2**63 - 1),
    signer=st.text(st.characters(codec="utf-8"), min_size=1, max_size=255).filter(str.isprintable),
)
def test_whatever_is_written_can_be_read(size: int, signer: str) -> None:
    body = dataclasses.replace(BODY, size_bytes=size)
    manifest = Manifest.make(OBJECT, body, signer, SIGNING.sign)
    read = Manifest.from_bytes(manifest.to_bytes())
    assert read == manifest
    read.verify(PUBLIC, OBJECT)
