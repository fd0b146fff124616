"""Headers: who opens them, and what hostile ones meet."""

from __future__ import annotations

import hashlib
import io
import os
import struct
from typing import BinaryIO, NamedTuple, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from medgrid.crypto.crypt4gh import (
    HeaderOpener,
    new_data_key,
    open_header,
    read_header,
    seal_header,
)
from medgrid.crypto.header import HEADER_BYTES_MAX
from medgrid.errors import Denied, ExitCode, IntegrityError

PACKET_BYTES = 108
KEY = bytes(range(32))


class Pair(NamedTuple):
    private: bytes
    public: bytes


def pair() -> Pair:
    private = X25519PrivateKey.generate()
    return Pair(private.private_bytes_raw(), private.public_key().public_bytes_raw())


ALICE, BOB, EVE = pair(), pair(), pair()


def packet(content: bytes, reader: bytes = ALICE.public, method: int = 0) -> bytes:
    """A packet with any content, made from the specification and not by the code under test."""
    writer = X25519PrivateKey.generate()
    public = writer.public_key().public_bytes_raw()
    secret = writer.exchange(X25519PublicKey.from_public_bytes(reader))
    shared = hashlib.blake2b(secret + reader + public).digest()[:32]
    nonce = os.urandom(12)
    sealed = public + nonce + ChaCha20Poly1305(shared).encrypt(nonce, content, None)
    return struct.pack("<II", 8 + len(sealed), method) + sealed


def header(*packets: bytes, count: int | None = None, version: int = 1) -> bytes:
    number = len(packets) if count is None else count
    return b"crypt4gh" + struct.pack("<II", version, number) + b"".join(packets)


def data_key(key: bytes = KEY, kind: int = 0, method: int = 0) -> bytes:
    return struct.pack("<II", kind, method) + key


def edit_list(*lengths: int) -> bytes:
    return struct.pack(f"<II{len(lengths)}Q", 1, len(lengths), *lengths)


def refused(data: bytes, private: bytes = ALICE.private) -> str:
    """Message with which a header is refused as damaged."""
    with pytest.raises(IntegrityError) as caught:
        open_header(data, private)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    return caught.value.message


def denied(data: bytes, private: bytes = ALICE.private) -> str:
    """Message with which a header is refused as somebody else's."""
    with pytest.raises(Denied) as caught:
        open_header(data, private)
    assert caught.value.exit_code == ExitCode.DENIED
    return caught.value.message


def test_each_recipient_opens_it_and_nobody_else() -> None:
    key = new_data_key()
    sealed = seal_header(key, [ALICE.public, BOB.public])
    assert len(sealed) == 16 + 2 * PACKET_BYTES
    assert key not in sealed
    assert open_header(sealed, ALICE.private) == open_header(sealed, BOB.private) == key
    assert denied(sealed, EVE.private) == "the header is not addressed to this key"


def test_it_is_what_the_specification_says() -> None:
    assert open_header(header(packet(data_key())), ALICE.private) == KEY


def test_one_opener_serves_many_headers() -> None:
    opener = HeaderOpener(ALICE.private)
    keys = [new_data_key() for _ in range(10)]
    assert [opener.open(seal_header(key, [ALICE.public])) for key in keys] == keys


def test_a_recipient_named_twice_gets_one_packet() -> None:
    assert len(seal_header(KEY, [BOB.public, ALICE.public, BOB.public])) == 16 + 2 * PACKET_BYTES


def test_two_headers_of_one_key_have_nothing_in_common() -> None:
    one, two = (seal_header(KEY, [ALICE.public]) for _ in range(2))
    assert one[:24] == two[:24]
    assert one[24:56] != two[24:56]
    assert one[56:] != two[56:]


def test_a_writer_who_wants_to_be_known_is() -> None:
    sealed = seal_header(KEY, [ALICE.public], BOB.private)
    assert sealed[24:56] == BOB.public
    assert open_header(sealed, ALICE.private) == KEY


@pytest.mark.parametrize("recipients", [[], [bytes([1, i % 256, i // 256]) for i in range(257)]])
def test_too_few_and_too_many_recipients(recipients: list[bytes]) -> None:
    with pytest.raises(ValueError, match="expected a key of 32 bytes and 1 to 256 recipients"):
        seal_header(KEY, recipients)


@pytest.mark.parametrize("public", [b"", bytes(31), bytes(32), b"\1" + bytes(31)])
def test_a_recipient_that_is_no_key(public: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        seal_header(KEY, [ALICE.public, public])
    assert caught.value.message == "a recipient's public key is not usable"


def test_packets_of_others_are_passed_over() -> None:
    others = [
        packet(data_key(bytes(32)), BOB.public),
        packet(edit_list(3, 5), BOB.public),
        packet(data_key(bytes(32)), ALICE.public, method=1),  # a method we do not know
        struct.pack("<II", 8, 0),  # too short for what its method needs
        struct.pack("<II", 8 + 40, 0) + BOB.public + bytes(8),
        struct.pack("<II", 8 + 60, 0) + bytes(60),  # writer's key of low order
        struct.pack("<II", 8 + 500, 77) + bytes(500),
    ]
    mine = packet(data_key())
    assert open_header(header(*others, mine), ALICE.private) == KEY
    assert open_header(header(mine, *others), ALICE.private) == KEY
    assert denied(header(*others)) == "the header is not addressed to this key"


def test_exactly_one_data_key() -> None:
    several = header(packet(data_key()), packet(data_key(bytes(32))))
    assert refused(several) == "header: expected one data key, found several"
    assert open_header(header(packet(data_key()), packet(data_key())), ALICE.private) == KEY


def test_edit_lists_are_refused() -> None:
    message = "header: edit lists are not accepted"
    assert refused(header(packet(data_key()), packet(edit_list(10, 20)))) == message
    assert refused(header(packet(edit_list()), packet(data_key()))) == message
    assert refused(header(packet(edit_list(1) + bytes(24)))) == message  # as long as a data key


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header: a packet of 0 bytes holds no data key"),
        (b"\0\0\0", "header: a packet of 3 bytes holds no data key"),
        (data_key(bytes(31)), "header: a packet of 39 bytes holds no data key"),
        (data_key(bytes(33)), "header: a packet of 41 bytes holds no data key"),
        (data_key(kind=2), "header: packet type 2 is not known"),
        (data_key(method=1), "header: data encryption method 1 is not known"),
    ],
)
def test_what_is_addressed_to_us_must_be_understood(content: bytes, message: str) -> None:
    assert refused(header(packet(content))) == message
    assert refused(header(packet(data_key()), packet(content))) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "header: it ends too early"),
        (
            header(packet(data_key()), bytes(65536)),
            "header: expected at most 65536 bytes, found 65660",
        ),
        (b"crypt4gh", "header: it ends too early"),
        (b"Crypt4GH" + header(packet(data_key()))[8:], "header: not Crypt4GH"),
        (header(version=2), "header: expected Crypt4GH version 1, found 2"),
        (header(), "header: expected 1 to 256 packets, found 0"),
        (header(count=257), "header: expected 1 to 256 packets, found 257"),
        (header(count=2**32 - 1), "header: expected 1 to 256 packets, found 4294967295"),
        (header(count=1), "header: it ends too early"),
        (header(packet(data_key()), count=2), "header: it ends too early"),
        (header(b"\0\0\0\0", count=1), "header: expected a packet of 8 to 4 bytes, found 0"),
        (header(bytes(8)), "header: expected a packet of 8 to 8 bytes, found 0"),
        (header(b"\7" + bytes(7)), "header: expected a packet of 8 to 8 bytes, found 7"),
        (
            header(b"\xff\xff\xff\xff" + bytes(104)),
            "header: expected a packet of 8 to 108 bytes, found 4294967295",
        ),
        (header(packet(data_key())) + b"\0", "header: 1 bytes follow its last packet"),
        (
            header(packet(data_key()), packet(data_key()), count=1),
            "header: 108 bytes follow its last packet",
        ),
    ],
)
def test_a_frame_that_is_not_sound_is_refused(data: bytes, message: str) -> None:
    assert refused(data) == message


SEALED = seal_header(KEY, [BOB.public, ALICE.public])


@given(size=st.integers(0, len(SEALED) - 1))
def test_a_header_cut_anywhere_is_refused(size: int) -> None:
    refused(SEALED[:size])


@given(bit=st.integers(0, 8 * len(SEALED) - 1))
def test_a_header_with_one_bit_changed_gives_no_other_key(bit: int) -> None:
    changed = bytearray(SEALED)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        opened = open_header(bytes(changed), ALICE.private)
    except (Denied, IntegrityError):
        return
    assert opened == KEY  # the bit was in Bob's packet, or the one that X25519 ignores


@given(data=st.binary(max_size=600), framed=st.booleans())
def test_no_bytes_at_all_make_it_fall_over(data: bytes, framed: bool) -> None:
    with pytest.raises((Denied, IntegrityError)):
        open_header(header(data, count=1) if framed else data, ALICE.private)


def test_a_whole_file_is_header_and_body() -> None:
    sealed = seal_header(KEY, [ALICE.public, BOB.public])
    stream = io.BytesIO(sealed + b"body")
    assert read_header(stream) == sealed
    assert stream.read() == b"body"


class Drops(io.RawIOBase):
    """A stream that gives one byte a read, counted; it ends never."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.position += 1
        return self.data[self.position - 1 : self.position] or b"\xff"


def test_a_header_may_come_in_drops() -> None:
    assert read_header(cast(BinaryIO, Drops(SEALED))) == SEALED


@pytest.mark.parametrize(
    "data",
    [
        b"not crypt4gh",
        header(count=2**31),
        header(packet(data_key())[:-1]),
        header(struct.pack("<II", 2**32 - 1, 0)),
        header(*[struct.pack("<II", 4096, 0) + bytes(4088)] * 20),
        header(struct.pack("<II", 3, 0)),
    ],
)
def test_a_hostile_file_is_refused_early(data: bytes) -> None:
    drops = Drops(data)
    try:
        sealed = read_header(cast(BinaryIO, drops))
    except IntegrityError:
        pass
    else:
        denied(sealed)
    assert drops.position <= HEADER_BYTES_MAX
    with pytest.raises(IntegrityError):
        read_header(io.BytesIO(data))
