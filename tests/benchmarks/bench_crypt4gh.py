"""Encryption and decryption beside the bare cipher over the same segments, in one thread.

Run: python -m tests.benchmarks.bench_crypt4gh [--megabytes N] [--count N]
The cipher is ChaCha20Poly1305.encrypt_into and decrypt_into; with it tags are checked and digested.
Digests of the body and of the content cost extra, and are shown so.

Time is processor time, as other programs run too; the rounds of each are taken in turn, and the
median of the ratios of neighbours counts.
"""

from __future__ import annotations

import hashlib
import os
import statistics
from collections import deque
from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.crypt4gh import (
    SEGMENT_BYTES,
    Encryptor,
    HeaderOpener,
    decrypt,
    new_data_key,
    open_header,
    seal_header,
)
from tests.benchmarks.figures import Figure, Row, command, processor_s

ENCRYPT = Figure("Crypt4GH to the bare cipher, tags digested: encrypt", at_least=0.85)
DECRYPT = Figure("Crypt4GH to the bare cipher, tags checked and digested: decrypt", at_least=0.85)
OPEN = Figure("Crypt4GH headers opened, one core", "/s", at_least=10_000)
FIGURES = (ENCRYPT, DECRYPT, OPEN)
QUICK = {"megabytes": 4, "count": 200}
ROUNDS = 9
CHUNK_BYTES = 1024 * 1024  # as the storage room reads
SEALED_BYTES = SEGMENT_BYTES + 28


def compare(what: str, size_bytes: int, bare: Callable[[], object], ours: Runs) -> float:
    """Print speeds of `ours` and their ratios to `bare`; give the first ratio."""
    bare_s: list[float] = []
    ours_s: dict[str, list[float]] = {name: [] for name in ours}
    for _ in range(ROUNDS):
        bare_s.append(processor_s(bare))
        for name, action in ours.items():
            ours_s[name].append(processor_s(action))
    print(f"{what}, bare cipher: {size_bytes / statistics.median(bare_s) / 1e6:.0f} MB/s")
    found = []
    for name, times_s in ours_s.items():
        found.append(
            statistics.median(base / mine for base, mine in zip(bare_s, times_s, strict=True))
        )
        speed = size_bytes / statistics.median(times_s) / 1e6
        print(f"{what}, {name}: {speed:.0f} MB/s, ratio {found[-1]:.2f}")
    return found[0]


Runs = dict[str, Callable[[], object]]


def exhaust(chunks: object) -> None:
    """Take all of an iterator and keep nothing."""
    deque(chunks, maxlen=0)  # type: ignore[call-overload]


def bodies(megabytes: int) -> Iterator[Row]:
    """Both directions, over chunks of random bytes."""
    key = new_data_key()
    cipher = ChaCha20Poly1305(key)
    chunks = [os.urandom(CHUNK_BYTES) for _ in range(megabytes)]
    size_bytes = megabytes * CHUNK_BYTES
    encryptor = Encryptor(key)
    body = b"".join(encryptor(chunks))
    known = encryptor.body()
    sealed = [body[begin : begin + CHUNK_BYTES] for begin in range(0, len(body), CHUNK_BYTES)]

    def bare_encrypt() -> None:
        room, nonce = bytearray(SEGMENT_BYTES + 16), os.urandom(12)
        for chunk in chunks:
            view = memoryview(chunk)
            for begin in range(0, CHUNK_BYTES, SEGMENT_BYTES):
                cipher.encrypt_into(nonce, view[begin : begin + SEGMENT_BYTES], None, room)

    def bare_decrypt() -> None:
        room, view = bytearray(SEGMENT_BYTES), memoryview(body)
        for begin in range(0, len(body), SEALED_BYTES):
            nonce, rest = view[begin : begin + 12], view[begin + 12 : begin + SEALED_BYTES]
            cipher.decrypt_into(nonce, rest, None, room)

    def encrypt(hash_plain: bool, hash_body: bool) -> Callable[[], None]:
        return lambda: exhaust(Encryptor(key, hash_plain=hash_plain, hash_body=hash_body)(chunks))

    ratio = compare(
        "encrypt",
        size_bytes,
        bare_encrypt,
        {
            "tags digested": encrypt(False, False),
            "and the body (storage does that)": encrypt(False, True),
            "and body and content": encrypt(True, True),
        },
    )
    yield ENCRYPT.row(ratio)
    ratio = compare(
        "decrypt",
        size_bytes,
        bare_decrypt,
        {
            "tags checked and digested": lambda: exhaust(
                decrypt(sealed, key, known, hash_body=False)
            ),
            "and the body": lambda: exhaust(decrypt(sealed, key, known)),
        },
    )
    yield DECRYPT.row(ratio)
    hashing_s = processor_s(lambda: hashlib.sha256(body))
    print(f"SHA-256 alone: {len(body) / hashing_s / 1e6:.0f} MB/s")


def headers(count: int) -> Iterator[Row]:
    """Seal and open many headers."""
    private = X25519PrivateKey.generate()
    public, secret = private.public_key().public_bytes_raw(), private.private_bytes_raw()
    keys = [new_data_key() for _ in range(count)]
    sealed: list[bytes] = []
    took_s = processor_s(lambda: sealed.extend(seal_header(key, [public]) for key in keys))
    print(f"seal {count} headers: {took_s:.2f} s")
    opened: list[bytes] = []
    took_s = processor_s(lambda: opened.extend(open_header(one, secret) for one in sealed))
    print(f"open {count} headers: {took_s:.2f} s")
    opener = HeaderOpener(secret)
    took_s = processor_s(lambda: opened.extend(map(opener.open, sealed)))
    if opened != keys + keys:
        raise SystemExit("the headers gave other keys")
    yield OPEN.row(count / took_s)


def measure(megabytes: int = 256, count: int = 10_000) -> Iterator[Row]:
    """Measure bodies and headers."""
    yield from bodies(megabytes)
    yield from headers(count)


if __name__ == "__main__":
    command(measure, __doc__)
