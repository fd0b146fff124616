"""Encrypted objects in the GA4GH Crypt4GH format, version 1.0: the door to it.

A storage element holds the *body*; the *header*, which holds the data key, and the signed
*manifest* lie in the key store. Header and body one after the other are a standard Crypt4GH file.

    encryptor = Encryptor(data_key := new_data_key())
    stored = storage.put(pfn, encryptor(chunks))
    header = seal_header(data_key, [compartment_public])
    manifest = Manifest.make(object_id, encryptor.body(), name, sign)

    data_key = open_header(header, compartment_private)
    manifest.verify(signing_public, object_id)
    for chunk in decrypt(chunks, data_key, manifest): ...
"""

from __future__ import annotations

from medgrid.crypto.decrypt import decrypt, decrypt_foreign
from medgrid.crypto.encrypt import Encryptor
from medgrid.crypto.header import HeaderOpener, open_header, read_header, seal_header
from medgrid.crypto.manifest import Manifest
from medgrid.crypto.ranges import RangeReader, read_tags
from medgrid.crypto.segments import SEGMENT_BYTES, Body, body_size, key_id, new_data_key

__all__ = [
    "SEGMENT_BYTES",
    "Body",
    "Encryptor",
    "HeaderOpener",
    "Manifest",
    "RangeReader",
    "body_size",
    "decrypt",
    "decrypt_foreign",
    "key_id",
    "new_data_key",
    "open_header",
    "read_header",
    "read_tags",
    "seal_header",
]
