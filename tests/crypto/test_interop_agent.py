"""The agent on a worker has its own Crypt4GH, without packages: both read what the other writes."""

from __future__ import annotations

import io
import os

import pytest

from medgrid.agent import crypt4gh as agent
from medgrid.agent import libcrypto
from medgrid.crypto.crypt4gh import (
    Body,
    Encryptor,
    body_size,
    decrypt,
    key_id,
    new_data_key,
    open_header,
)
from medgrid.model import Sha256
from tests.crypto.test_crypt4gh import EDGES
from tests.crypto.test_header import ALICE

SIZES = [*EDGES, 16 * 65536, 16 * 65536 + 1]


@pytest.fixture(scope="module")
def library() -> libcrypto.Libcrypto:
    loaded = libcrypto.load()
    if loaded is None:
        pytest.skip("this Python's ssl module shows no libcrypto")
    return loaded


@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_it_writes(library: libcrypto.Libcrypto, size: int) -> None:
    content, key = os.urandom(size), new_data_key()
    out = io.BytesIO()
    told = agent.seal(library, key, io.BytesIO(content).readinto, out.write, size)
    header = agent.seal_header(library, key, ALICE.public)
    expected = Body(
        told["size_bytes"], Sha256(told["sha256"]), Sha256(told["tags_sha256"]), key_id(key)
    )
    opened = open_header(header, ALICE.private)
    assert b"".join(decrypt([out.getvalue()], opened, expected)) == content
    assert told["body_bytes"] == body_size(size) == agent.body_size(size)


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_what_we_write(library: libcrypto.Libcrypto, size: int) -> None:
    content = os.urandom(size)
    encryptor = Encryptor(key := new_data_key())
    body = b"".join(encryptor([content]))
    reader = agent.Opener(
        library, key, io.BytesIO(body), len(body), size, encryptor.body().tags_sha256
    )
    assert reader.read() == content
    reader.close_checked()
