"""A search of files, databases and memory file systems for all writings of canaries."""

from __future__ import annotations

import base64
import bz2
import contextlib
import itertools
import lzma
import os
import re
import sqlite3
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.lab.canaries import UID_ROOT, Canaries, written_dates

__all__ = ["Leak", "Search"]

_INFLATED_MOST = 64 << 20
_DEPTH = 3
_PACKED = re.compile(
    rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]|PK\x03\x04|BZh[1-9]1AY|\xfd7zXZ\x00|DICM\x02\x00\x00\x00UL"
)
_FEW = 12  # digits that stand in a digest, or a number as long, by chance
_DIGEST = 30  # characters: more than scanners put into one part of a UID
_HEX = b"0123456789abcdef"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Leak(NamedTuple):
    """A canary that was found: where, which, and in which writing."""

    where: str
    canary: str
    writing: str


class Search:
    """Searches bytes for canaries: as they are, in UTF-16, hexadecimal, base64, compressed.

    Attributes
    ----------
    names : set of str
        Names of all files that were searched, without their folders.
    searched_bytes : int
    """

    def __init__(self, canaries: Canaries) -> None:
        self._folded: dict[bytes, tuple[str, str]] = {}
        self._exact: dict[bytes, tuple[str, str]] = {}
        self.names: set[str] = set()
        self.searched_bytes = 0
        uids = {one for one in canaries.numbers if one.startswith(UID_ROOT)}
        for begin in (canaries.mark, UID_ROOT, *(canaries.numbers.keys() - uids)):
            self._add(begin)
        self._dates = {
            day: [text.lower().encode() for text in written_dates(day)] for day in canaries.dates
        }

    def _add(self, begin: str) -> None:
        for kind in ("utf-8", "utf-16-le", "utf-16-be"):
            self._folded[begin.encode(kind)] = (begin, kind)
            for form in dict.fromkeys((begin, begin.upper(), begin.title())):
                data = form.encode(kind)
                self._folded[data.hex().encode()] = (begin, f"{kind}, hex")
                for shift in range(3):
                    code = _unchanging_base64(data, shift)
                    self._exact[code] = (begin, f"{kind}, base64+{shift}")
                    self._exact[code.translate(_URL_SAFE)] = (begin, f"{kind}, base64+{shift}")

    def __call__(self, where: str, data: bytes, depth: int = 0) -> list[Leak]:
        """Every canary in `data`, in all that is packed within it, too.

        Of a word or UID only the letters and digits are told that all of them begin with.
        """
        found = [Leak(where, *what) for code, what in self._exact.items() if code in data]
        folded = data.lower()
        found += [
            Leak(where, *what) for code, what in self._folded.items() if _stands(code, folded)
        ]
        digits = folded.replace(b"\0", b"")  # of UTF-16, its letters alone
        for day, forms in self._dates.items():
            if day[:4].encode() in digits and any(_stands(form, digits) for form in forms):
                found.append(Leak(where, day, "date"))
        if depth < _DEPTH:
            for at, unpacked in _unpacked(data):
                found += self(f"{where} (packed at {at})", unpacked, depth + 1)
        return found

    def in_files(self, top: Path) -> list[Leak]:
        """Every canary in what lies below `top`: names, contents, rows of databases."""
        found: list[Leak] = []
        for path, what, data in _all_below(top):
            self.names.add(path.name)
            self.searched_bytes += len(data)
            found += self(f"{path} ({what})", data)
        return found


def _stands(code: bytes, data: bytes) -> bool:
    """Whether `data` has it; eight digits within a digest or a UID are there by chance."""
    if code not in data or len(code) > _FEW or not code.isdigit():
        return code in data
    for match in re.finditer(code, data):
        before = data[max(match.start() - _DIGEST, 0) : match.start()]
        after = data[match.end() : match.end() + _DIGEST]
        others = len(before.rstrip(_HEX)) + len(after.lstrip(_HEX))
        if len(code) + len(before) + len(after) - others < _DIGEST:
            return True
    return False


def _unchanging_base64(secret: bytes, shift: int) -> bytes:
    """The part of a base64 text that is the same whatever stands around `secret`.

    `secret` begins `shift` bytes after a multiple of three.
    """
    code = base64.b64encode(bytes(shift) + secret)
    return code[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]


def _unpacked(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each compressed stream in `data` begins, and what it holds, as far as it is whole."""
    for match in _PACKED.finditer(data):
        with contextlib.suppress(zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
            out = _unpack(match[0], data, match.start())
            if len(out) >= 8:
                yield match.start(), out


def _unpack(magic: bytes, data: bytes, at: int) -> bytes:
    if magic.startswith(b"DICM"):  # a deflated data set follows the group of file meta elements
        return _inflated(-15, data, at + 16 + int.from_bytes(data[at + 12 : at + 16], "little"))
    if magic.startswith(b"PK"):
        name, extra = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (26, 28))
        return _inflated(-15, data, at + 30 + name + extra)
    if magic.startswith(b"BZ"):
        return bz2.BZ2Decompressor().decompress(data[at:], _INFLATED_MOST)
    if magic.startswith(b"\xfd"):
        return lzma.LZMADecompressor().decompress(data[at:], _INFLATED_MOST)
    return _inflated(31 if magic.startswith(b"\x1f") else 15, data, at)


def _inflated(bits: int, data: bytes, at: int) -> bytes:
    """What comes of a stream that may break off at any place."""
    stream, out = zlib.decompressobj(bits), bytearray()
    for begin in range(at, len(data), 256):
        try:
            out += stream.decompress(data[begin : begin + 256], _INFLATED_MOST)
        except zlib.error:
            break
        if stream.eof or len(out) >= _INFLATED_MOST:
            break
    return bytes(out)


def _all_below(top: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Names, extended attributes and bytes of all there is; rows of SQLite databases besides."""
    if top.is_file():
        yield from _one(top, b"")
        return
    for folder, folders, files in os.walk(top, onerror=_complain):
        for path in (Path(folder, name) for name in (*folders, *files)):
            with contextlib.suppress(FileNotFoundError):  # it was moved or removed meanwhile
                yield from _one(path, os.fsencode(path.relative_to(top)))


def _complain(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _one(path: Path, name: bytes) -> Iterator[tuple[Path, str, bytes]]:
    yield path, "its name", name
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        yield path, "link", os.fsencode(path.readlink())
    for key in os.listxattr(path, follow_symlinks=False):
        yield path, key, os.getxattr(path, key, follow_symlinks=False)
    if stat.S_ISREG(mode):
        data = path.read_bytes()
        yield path, "its bytes", data
        if data.startswith(b"SQLite format 3\0"):
            for table, values in _rows(path):
                yield path, f"table {table}", values


def _rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """All values of a database, which its pages may hold in pieces."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for table in (name.decode() for (name,) in names):
            values = itertools.chain.from_iterable(database.execute(f'SELECT * FROM "{table}"'))
            texts = (one if isinstance(one, bytes) else str(one).encode() for one in values)
            yield table, b"\n".join(texts)
