"""Key files are those of Crypt4GH's own tools, and open for nobody without the passphrase."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import bcrypt
import pytest
from crypt4gh.keys import c4gh, get_private_key
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from medgrid.crypto.keyfile import BadKeyFile, WrongPassphrase, is_locked, read_key, write_key
from tests.lanes import examples

SECRET = bytes(range(32))
PASSPHRASE = "grün & blau"


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_the_crypt4gh_package_reads_ours(tmp_path: Path, passphrase: str | None) -> None:
    file = tmp_path / "alice.c4gh"
    file.write_bytes(write_key(SECRET, passphrase.encode() if passphrase else None, "alice"))
    assert get_private_key(str(file), lambda: passphrase) == SECRET


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_we_read_those_of_the_crypt4gh_package(tmp_path: Path, passphrase: str | None) -> None:
    file, given = tmp_path / "key", passphrase.encode() if passphrase else None
    c4gh.generate(str(file), str(tmp_path / "key.pub"), given, b"a comment")
    data = file.read_bytes()
    assert is_locked(data) == (passphrase is not None)
    assert read_key(data, given) == get_private_key(str(file), lambda: passphrase)


@pytest.mark.parametrize("kdf", ["bcrypt", "pbkdf2_hmac_sha256"])
def test_other_ways_to_use_a_passphrase(kdf: str) -> None:
    salt, nonce, rounds = bytes(16), bytes(12), 100
    if kdf == "bcrypt":
        key = bcrypt.kdf(b"pass", salt, 32, rounds, ignore_few_rounds=True)
    else:
        key = hashlib.pbkdf2_hmac("sha256", b"pass", salt, rounds, 32)
    box = nonce + ChaCha20Poly1305(key).encrypt(nonce, SECRET, None)
    options = rounds.to_bytes(4, "big") + salt
    data = _file(kdf.encode(), options, b"chacha20_poly1305", box)
    assert read_key(data, b"pass") == SECRET
    with pytest.raises(WrongPassphrase):
        read_key(data, b"past")


def test_two_files_of_one_key_differ_and_show_nothing() -> None:
    first, second = (write_key(SECRET, b"pass") for _ in range(2))
    assert first != second
    for data in (first, second):
        assert SECRET not in base64.b64decode(data.splitlines()[1])


@pytest.mark.parametrize("passphrase", [None, b"", b"Pass", b"pass "])
def test_a_wrong_passphrase(passphrase: bytes | None) -> None:
    with pytest.raises(WrongPassphrase) as caught:
        read_key(write_key(SECRET, b"pass"), passphrase)
    assert "pass" not in caught.value.message.replace("passphrase", "")


def _file(*words: bytes, lacks: int = 0) -> bytes:
    """A key file of such words, whose last bytes are lost."""
    body = b"c4gh-v1" + b"".join(len(word).to_bytes(2, "big") + word for word in words)
    body = body[: len(body) - lacks]
    return b"\n".join(
        [
            b"-----BEGIN CRYPT4GH PRIVATE KEY-----",
            base64.b64encode(body),
            b"-----END CRYPT4GH PRIVATE KEY-----",
        ]
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a Crypt4GH private key"),
        (b"\x00" * 100, "not a Crypt4GH private key"),
        (_file().replace(b"PRIVATE", b"PUBLIC"), "not a Crypt4GH private key"),
        (_file().replace(b"YzRn", b"YzR?"), "not a Crypt4GH private key: no base64"),
        (_file().replace(b"YzRn", b"ZzRn"), "not a Crypt4GH private key of format c4gh-v1"),
        (_file(b"none", b"none"), "a Crypt4GH private key that is cut short"),
        (_file(b"none", b"none", SECRET, lacks=1), "a Crypt4GH private key that is cut short"),
        (_file(b"none", b"none", b"x" * 31), "a key of 31 bytes, expected 32"),
        (_file(b"none", b"rot13", SECRET), "a Crypt4GH private key with an unknown cipher"),
        (
            _file(b"md5", b"x" * 20, b"none", SECRET),
            "a Crypt4GH private key with an unknown way to use its passphrase",
        ),
        (
            _file(b"bcrypt", b"\xff" * 20, b"chacha20_poly1305", b""),
            "a Crypt4GH private key that would take too long to open",
        ),
        (_file(b"scrypt", b"", b"none", b""), "a Crypt4GH private key that is cut short"),
    ],
)
def test_what_is_no_key(data: bytes, message: str) -> None:
    with pytest.raises(BadKeyFile) as caught:
        read_key(data, b"pass")
    assert str(caught.value) == message


@settings(max_examples=examples(200))
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_no_bytes_break_the_reader(words: list[bytes]) -> None:
    data = _file(*words)
    for tried in (data, data[:-1], b"".join(words)):
        with pytest.raises((BadKeyFile, WrongPassphrase)):
            read_key(tried, b"pass")


def test_no_changed_byte_goes_unnoticed() -> None:
    """Wherever the encrypted key is changed, it opens no more or gives the same secret."""
    data = write_key(SECRET, b"pass")
    body = bytearray(base64.b64decode(data.splitlines()[1]))
    for place in range(0, len(body), 5):
        changed = bytearray(body)
        changed[place] ^= 1
        lines = [*data.splitlines()]
        lines[1] = base64.b64encode(changed)
        with pytest.raises((BadKeyFile, WrongPassphrase)):
            read_key(b"\n".join(lines), b"pass")
