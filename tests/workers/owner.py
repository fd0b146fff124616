"""Who has protected jobs run: seals their inputs, opens what comes back."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.crypto.crypt4gh import (
    Encryptor,
    body_size,
    decrypt,
    key_id,
    new_data_key,
    open_header,
)
from medgrid.crypto.decrypt import decrypt_foreign
from medgrid.crypto.segments import Body
from medgrid.workers.base import (
    DIGEST_PURPOSE,
    InputFile,
    JournalRecord,
    Launch,
    OutputFile,
    WorkerLink,
)
from tests.workers.places import script
from tests.workers.test_contract import stage_item

HEADER_BYTES = 124


class Owner:
    """A key pair, and what it seals and opens.

    Attributes
    ----------
    keys : list of bytes
        Data keys it drew.
    """

    def __init__(self) -> None:
        self.private = os.urandom(32)
        self.public = (
            X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()
        )
        self.keys: list[bytes] = []

    def seal(
        self, content: bytes, path: str, key: bytes | None = None, **more: Any
    ) -> tuple[InputFile, bytes]:
        """An input of a launch, and its body."""
        key = key or new_data_key()
        self.keys.append(key)
        encryptor = Encryptor(key)
        body = b"".join(encryptor([content]))
        found = InputFile(
            encryptor.body_sha256,
            len(body),
            path,
            key=key,
            plain_bytes=len(content),
            tags_sha256=encryptor.tags_sha256,
            **more,
        )
        return found, body

    def give(self, link: WorkerLink, content: bytes, path: str, **more: Any) -> InputFile:
        """The same, staged."""
        found, body = self.seal(content, path, **more)
        link.stage([stage_item(body)])
        return found

    def script(self, attempt: str, text: str, **more: Any) -> Launch:
        """Protected launch of a shell script."""
        return script(attempt, text, seal_to=self.public, **more)

    def collect(self, link: WorkerLink, record: JournalRecord) -> list[bytes]:
        """Contents of all outputs; everything that is said of them is checked."""
        wanted = [(record.attempt, one) for one in record.outputs]
        return [self.open(one, b"".join(chunks)) for _, one, chunks in link.collect(wanted)]

    def open(self, output: OutputFile, body: bytes) -> bytes:
        """Content of an output."""
        assert len(output.header) == HEADER_BYTES
        assert output.tags_sha256 is not None
        assert len(body) == output.body_bytes == body_size(output.size_bytes)
        key = open_header(output.header, self.private)
        expected = Body(output.size_bytes, output.sha256, output.tags_sha256, key_id(key))
        content = b"".join(decrypt([body], key, expected))
        digest = ChaCha20Poly1305(key).decrypt(
            output.sealed_digest[:12], output.sealed_digest[12:], DIGEST_PURPOSE
        )
        assert digest == hashlib.sha256(content).digest()
        return content

    def told(self, record: JournalRecord) -> dict[str, Any]:
        """What the record does not say in clear."""
        assert (record.stdout_tail, record.stderr_tail) == ("", "")
        if not record.sealed_tails:
            return {}
        header, body = record.sealed_tails[:HEADER_BYTES], record.sealed_tails[HEADER_BYTES:]
        key = open_header(header, self.private)
        found: dict[str, Any] = json.loads(b"".join(decrypt_foreign([body], key)))
        return found
