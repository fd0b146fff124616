"""ChaCha20-Poly1305 and X25519 of the OpenSSL library that this Python uses (>= 1.1.1), by ctypes.

The standard library has neither. `load` says whether the host has them: a Python that was built
without a shared libcrypto, on a host without one, has none.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import os
from typing import Any, Optional

__all__ = ["CipherError", "Cipher", "Libcrypto", "NONCE_BYTES", "TAG_BYTES", "load"]

NONCE_BYTES = 12
TAG_BYTES = 16

_GET_TAG, _SET_TAG = 0x10, 0x11  # EVP_CTRL_AEAD_*, openssl/evp.h
_X25519 = 1034  # NID_X25519, openssl/obj_mac.h
_KEY_BYTES = 32


class CipherError(Exception):
    """Bytes are not what this key sealed, or a key is none; the text quotes neither."""


@functools.lru_cache(maxsize=None)
def load() -> Optional["Libcrypto"]:
    """The library, None when this host has none that works."""
    for find in (_loaded_path, lambda: ctypes.util.find_library("crypto")):
        path = find()
        if path is not None:
            try:
                library = Libcrypto(ctypes.CDLL(path))
                if library.works():
                    return library
            except (OSError, AttributeError, CipherError):  # too old, or it forbids these
                continue
    return None


def _loaded_path() -> Optional[str]:
    """File of the libcrypto in this process: a second one could be of another version."""
    hashlib.new("sha256")  # loads it
    try:
        with open("/proc/self/maps") as stream:
            for line in stream:
                path = line.rstrip("\n").partition("/")[2]
                if os.path.basename(path).startswith("libcrypto"):
                    return "/" + path
    except OSError:
        pass
    return None


class Libcrypto:
    """The functions of one loaded library."""

    def __init__(self, library: Any) -> None:
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        written = ctypes.POINTER(number)

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.cipher = function("EVP_chacha20_poly1305", pointer)
        self.new = function("EVP_CIPHER_CTX_new", pointer)
        self.free = function("EVP_CIPHER_CTX_free", None, pointer)
        self.init = function(
            "EVP_CipherInit_ex", number, pointer, pointer, pointer, text, text, number
        )
        self.update = function(
            "EVP_CipherUpdate", number, pointer, pointer, written, pointer, number
        )
        self.final = function("EVP_CipherFinal_ex", number, pointer, pointer, written)
        self.control = function("EVP_CIPHER_CTX_ctrl", number, pointer, number, number, pointer)
        size = ctypes.POINTER(ctypes.c_size_t)
        raw = (pointer, number, pointer, text, ctypes.c_size_t)
        self._private = function("EVP_PKEY_new_raw_private_key", raw[0], *raw[1:])
        self._public = function("EVP_PKEY_new_raw_public_key", raw[0], *raw[1:])
        self._raw_public = function("EVP_PKEY_get_raw_public_key", number, pointer, pointer, size)
        self._free_key = function("EVP_PKEY_free", None, pointer)
        self._agreement = function("EVP_PKEY_CTX_new", pointer, pointer, pointer)
        self._free_agreement = function("EVP_PKEY_CTX_free", None, pointer)
        self._derive_init = function("EVP_PKEY_derive_init", number, pointer)
        self._set_peer = function("EVP_PKEY_derive_set_peer", number, pointer, pointer)
        self._derive = function("EVP_PKEY_derive", number, pointer, pointer, size)

    def public_key(self, private: bytes) -> bytes:
        """X25519 public key of a private one (RFC 7748), both 32 bytes."""
        key = self._key(self._private, private)
        try:
            out, size = ctypes.create_string_buffer(_KEY_BYTES), ctypes.c_size_t(_KEY_BYTES)
            _must(self._raw_public(key, out, ctypes.byref(size)), "a private key is none")
            return out.raw
        finally:
            self._free_key(key)

    def shared_secret(self, private: bytes, public: bytes) -> bytes:
        """X25519 of a private and somebody's public key, 32 bytes.

        Raises
        ------
        CipherError
            `public` is no key, or one of the few that make every secret the same.
        """
        ours, theirs = self._key(self._private, private), self._key(self._public, public)
        agreement = self._agreement(ours, None)
        try:
            out, size = ctypes.create_string_buffer(_KEY_BYTES), ctypes.c_size_t(_KEY_BYTES)
            done = (
                self._derive_init(agreement) == 1
                and self._set_peer(agreement, theirs) == 1
                and self._derive(agreement, out, ctypes.byref(size)) == 1
            )
            _must(int(done and any(out.raw)), "a public key is none")
            return out.raw
        finally:
            self._free_agreement(agreement)
            self._free_key(ours)
            self._free_key(theirs)

    def works(self) -> bool:
        """Whether the test vectors of RFC 8439 (2.8.2) and RFC 7748 (5.2) come out."""
        key, nonce = bytes(range(0x80, 0xA0)), bytes.fromhex("070000004041424344454647")
        text = (
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the"
            b" future, sunscreen would be it."
        )
        purpose = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
        sealed = Cipher(self, key, True).message(nonce, text, purpose)
        nine = b"\x09" + bytes(31)
        agreed = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
        return (
            sealed[-TAG_BYTES:].hex() == "1ae10b594f09e26a7e902ecbd0600691"
            and self.shared_secret(nine, nine).hex() == agreed
        )

    def _key(self, make: Any, raw: bytes) -> Any:
        key = make(_X25519, None, raw, len(raw)) if len(raw) == _KEY_BYTES else None
        _must(int(bool(key)), "a key is none")
        return key


class Cipher:
    """ChaCha20-Poly1305 (RFC 8439) under one key, one direction.

    Parameters
    ----------
    encrypt : bool
        Whether it seals or opens.
    """

    def __init__(self, library: Libcrypto, key: bytes, encrypt: bool) -> None:
        if len(key) != _KEY_BYTES:
            raise CipherError("a data key is none")
        self._library = library
        self._encrypt = encrypt
        self._written = ctypes.c_int()
        self._out = ctypes.byref(self._written)
        self._context = library.new()
        _must(
            library.init(self._context, library.cipher(), None, key, None, int(encrypt)),
            "this host's libcrypto has no ChaCha20-Poly1305",
        )

    def __del__(self) -> None:
        context, self._context = getattr(self, "_context", None), None
        if context:
            self._library.free(context)

    def seal_at(self, nonce: bytes, source: int, size: int, target: int) -> None:
        """Encrypt `size` bytes at address `source` to `target`, followed by their tag."""
        library, context = self._library, self._context
        done = (
            library.init(context, None, None, None, nonce, -1) == 1
            and library.update(context, target, self._out, source, size) == 1
            and library.final(context, target + size, self._out) == 1
            and library.control(context, _GET_TAG, TAG_BYTES, target + size) == 1
        )
        _must(int(done), "bytes cannot be encrypted")

    def open_at(self, nonce: bytes, source: int, size: int, target: int) -> None:
        """Decrypt `size` bytes at address `source`, which their tag follows, to `target`.

        Raises
        ------
        CipherError
            The tag is another; what lies at `target` is worth nothing.
        """
        library, context = self._library, self._context
        done = (
            library.init(context, None, None, None, nonce, -1) == 1
            and library.control(context, _SET_TAG, TAG_BYTES, source + size) == 1
            and library.update(context, target, self._out, source, size) == 1
            and library.final(context, target + size, self._out) == 1
        )
        _must(int(done), "bytes were changed, or sealed with another key")

    def message(self, nonce: bytes, text: bytes, purpose: bytes) -> bytes:
        """Ciphertext and tag of a short text with associated data `purpose`."""
        library, context = self._library, self._context
        out = ctypes.create_string_buffer(len(text) + TAG_BYTES)
        target = ctypes.addressof(out)
        done = (
            library.init(context, None, None, None, nonce, -1) == 1
            and library.update(context, None, self._out, purpose, len(purpose)) == 1
            and library.update(context, target, self._out, text, len(text)) == 1
            and library.final(context, target + len(text), self._out) == 1
            and library.control(context, _GET_TAG, TAG_BYTES, target + len(text)) == 1
        )
        _must(int(done), "bytes cannot be encrypted")
        return out.raw


def _must(done: int, message: str) -> None:
    if done != 1:
        raise CipherError(message)
