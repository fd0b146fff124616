"""The worker's Crypt4GH: the `crypt4gh` package reads it, and it reads what the package writes."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

import medgrid.agent
from medgrid.agent import crypt4gh, libcrypto
from medgrid.agent.libcrypto import Cipher, CipherError, Libcrypto

LOADED = libcrypto.load()
assert LOADED is not None, "this host has a libcrypto"
LIBRARY: Libcrypto = LOADED

SEALED_BYTES = crypt4gh.SEGMENT_BYTES + 28
SIZES = [0, 1, 65535, 65536, 65537, 16 * 65536, 16 * 65536 + 1, 40 * 65536 - 7]


def sealed(content: bytes, key: bytes) -> tuple[bytes, dict[str, object]]:
    parts: list[bytes] = []
    about = crypt4gh.seal(
        LIBRARY,
        key,
        io.BytesIO(content).readinto,
        lambda view: parts.append(bytes(view)),
        len(content) // 2,
    )
    return b"".join(parts), about


def opened(body: bytes, key: bytes, plain_bytes: int, tags_sha256: object) -> bytes:
    opener = crypt4gh.Opener(
        LIBRARY, key, io.BytesIO(body), len(body), plain_bytes, str(tags_sha256)
    )
    content = opener.read()
    opener.close_checked()
    assert content is not None
    return content


def keys() -> tuple[bytes, bytes]:
    private = os.urandom(32)
    return private, LIBRARY.public_key(private)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
@settings(max_examples=50)
def test_the_agreement_is_x25519(one: bytes, other: bytes) -> None:
    theirs = X25519PrivateKey.from_private_bytes(other).public_key().public_bytes_raw()
    assert LIBRARY.public_key(other) == theirs
    expected = X25519PrivateKey.from_private_bytes(one).exchange(
        X25519PublicKey.from_public_bytes(theirs)
    )
    assert LIBRARY.shared_secret(one, theirs) == expected


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"short", bytes(33)])
def test_public_keys_that_are_none(public: bytes) -> None:
    with pytest.raises(CipherError, match=r"^a (public )?key is none$"):
        LIBRARY.shared_secret(os.urandom(32), public)


@given(st.binary(max_size=200), st.binary(max_size=40))
@settings(max_examples=50)
def test_a_message_is_chacha20_poly1305(text: bytes, purpose: bytes) -> None:
    key, nonce = os.urandom(32), os.urandom(12)
    assert Cipher(LIBRARY, key, True).message(nonce, text, purpose) == ChaCha20Poly1305(
        key
    ).encrypt(nonce, text, purpose)


@pytest.mark.parametrize("size", SIZES)
def test_a_body_there_and_back(size: int) -> None:
    content, key = os.urandom(size), os.urandom(32)
    body, about = sealed(content, key)
    segments = [body[start : start + SEALED_BYTES] for start in range(0, len(body), SEALED_BYTES)]
    tags = b"".join(segment[:12] + segment[-16:] for segment in segments)
    assert about == {
        "size_bytes": size,
        "digest": hashlib.sha256(content).digest(),
        "body_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "tags_sha256": hashlib.sha256(tags).hexdigest(),
    }
    assert len(body) == crypt4gh.body_size(size)
    assert len({segment[:12] for segment in segments}) == len(segments)
    plain = b"".join(
        ChaCha20Poly1305(key).decrypt(segment[:12], segment[12:], None) for segment in segments
    )
    assert plain == content
    assert opened(body, key, size, about["tags_sha256"]) == content


@pytest.mark.parametrize("size", SIZES)
def test_the_crypt4gh_package_reads_it(size: int) -> None:
    lib = pytest.importorskip("crypt4gh.lib")
    private, public = keys()
    content = os.urandom(size)
    target = io.BytesIO()
    lib.decrypt(
        [(0, private, None)], io.BytesIO(crypt4gh.seal_small(LIBRARY, public, content)), target
    )
    assert target.getvalue() == content


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_what_the_crypt4gh_package_writes(size: int) -> None:
    lib = pytest.importorskip("crypt4gh.lib")
    header = pytest.importorskip("crypt4gh.header")
    private, public = keys()
    content, written = os.urandom(size), io.BytesIO()
    lib.encrypt([(0, os.urandom(32), public)], io.BytesIO(content), written)
    written.seek(0)
    data_keys, edits = header.deconstruct(written, [(0, private, None)])
    assert edits is None
    body = written.read()
    tags = hashlib.sha256()
    for start in range(0, len(body), SEALED_BYTES):
        segment = body[start : start + SEALED_BYTES]
        tags.update(segment[:12] + segment[-16:])
    assert opened(body, bytes(data_keys[0]), size, tags.hexdigest()) == content


def test_broken_bodies_are_refused() -> None:
    key, size = os.urandom(32), 3 * 65536 + 100
    body, about = sealed(os.urandom(size), key)
    other, _ = sealed(os.urandom(size), key)
    tags = str(about["tags_sha256"])
    parts = [body[start : start + SEALED_BYTES] for start in range(0, len(body), SEALED_BYTES)]
    spliced = b"".join([parts[0], other[SEALED_BYTES : 2 * SEALED_BYTES], *parts[2:]])
    for broken, message in [
        (body[:-1], "bytes are missing, or too many"),
        (body + b"\0", "bytes are missing, or too many"),
        (body[:-SEALED_BYTES], "bytes are missing, or too many"),
        (b"".join([parts[1], parts[0], *parts[2:]]), "in another order"),
        (spliced, "in another order"),
        (body[:70000] + bytes([body[70000] ^ 1]) + body[70001:], "bytes were changed"),
        (other, "in another order"),
    ]:
        with pytest.raises(CipherError, match=message):
            opened(broken, key, size, tags)
    with pytest.raises(CipherError, match="bytes were changed, or sealed with another key"):
        opened(body, os.urandom(32), size, tags)
    with pytest.raises(CipherError, match="bytes are missing, or too many"):
        opened(body, key, size - 1, tags)
    with pytest.raises(CipherError, match="a data key is none"):
        opened(body, b"short", size, tags)


@given(st.data())
@settings(max_examples=40)
def test_no_flipped_bit_passes(data: st.DataObject) -> None:
    key, content = b"k" * 32, b"x" * 70000
    body, about = sealed(content, key)
    place = data.draw(st.integers(0, len(body) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    changed = body[:place] + bytes([body[place] ^ bit]) + body[place + 1 :]
    with pytest.raises(CipherError):
        opened(changed, key, len(content), about["tags_sha256"])


def test_the_library_is_the_one_that_python_uses() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util, types\n"
        "from medgrid.agent import libcrypto\n"
        "before = libcrypto._loaded_path()\n"
        "assert before and libcrypto.load() is not None\n"
        "assert {l.split()[-1] for l in open('/proc/self/maps') if 'libcrypto' in l} == {before}\n"
        "print('fine')\n"
    )
    top = Path(medgrid.agent.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(top)], check=True, capture_output=True, text=True
    )
    assert done.stdout == "fine\n"


def test_a_host_without_libcrypto_has_no_ciphers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcrypto, "_loaded_path", lambda: "/nonexistent/libcrypto.so")
    monkeypatch.setattr("ctypes.util.find_library", lambda _: "libm.so.6")
    libcrypto.load.cache_clear()
    try:
        assert libcrypto.load() is None
    finally:
        libcrypto.load.cache_clear()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_none(size: int) -> None:
    private, public = keys()
    for ask in (
        partial(LIBRARY.public_key, bytes(size)),
        partial(LIBRARY.shared_secret, private, bytes(size)),
        partial(LIBRARY.shared_secret, bytes(size), public),
    ):
        with pytest.raises(CipherError) as caught:
            ask()
        assert str(caught.value) == "a key is none"
