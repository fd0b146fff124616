"""What searches for canaries finds them in every writing: otherwise it would prove nothing."""

from __future__ import annotations

import base64
import bz2
import contextlib
import gzip
import lzma
import os
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.lab.canaries import UID_ROOT, Canaries
from tests.lab.dicoms import pydicom_file
from tests.lab.searching import Search
from tests.lab.watching import Watcher

CANARIES = Canaries()
WORD = CANARIES.word("a name")
DAY = CANARIES.date("a birthday")  # 1931-01-11
UID = CANARIES.uid("a study")
BEGINS = {WORD: CANARIES.mark, DAY: DAY, UID: UID_ROOT}
SEARCH = Search(CANARIES)
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")
CASES = (str, str.upper, str.lower)


def zipped(data: bytes) -> bytes:
    with BytesIO() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/file", data)
        return file.getvalue()


def deflated_dicom(data: bytes) -> bytes:
    ds = pydicom.dcmread(pydicom_file("MR_small.dcm"))
    ds.PatientComments = data.decode("latin-1")
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with BytesIO() as file:
        ds.save_as(file)
        return file.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "zlib, fast": lambda data: zlib.compress(data, 1),
    "zlib, best": lambda data: zlib.compress(data, 9),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
    "deflated DICOM": deflated_dicom,
    "gzip in gzip": lambda data: gzip.compress(os.urandom(99) + gzip.compress(data)),
    "base64 in gzip": lambda data: gzip.compress(base64.b64encode(data)),
}


def around(data: bytes) -> bytes:
    """What is searched for lies amidst other bytes."""
    return b"\xf1\x82 before " + data + b" after \x9d"


def canaries_in(data: bytes) -> set[str]:
    return {leak.canary for leak in SEARCH("bytes", data)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("canary", [WORD, DAY, UID], ids=["word", "date", "uid"])
def test_finds_a_canary_in_every_encoding(
    canary: str, encoding: str, case: Callable[[str], str]
) -> None:
    data = case(canary).encode(encoding)
    for writing in (data, data.hex().encode(), data.hex().upper().encode()):
        assert canaries_in(around(writing)) == {BEGINS[canary]}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_finds_a_canary_in_base64_wherever_it_begins(
    encode: Callable[[bytes], bytes], encoding: str, case: Callable[[str], str]
) -> None:
    for canary in (WORD, UID, DAY):
        for before in range(6):
            for after in range(3):
                data = bytes(range(250, 250 + before)) + case(canary).encode(encoding)
                assert canaries_in(around(encode(data + b"\xfe" * after))) == {BEGINS[canary]}


@pytest.mark.parametrize("how", PACKINGS)
def test_finds_a_canary_in_compressed_streams(how: str) -> None:
    assert canaries_in(around(PACKINGS[how](b"said of " + WORD.encode()))) == {CANARIES.mark}


@pytest.mark.parametrize("how", ["zlib", "gzip", "deflated DICOM"])
def test_finds_a_canary_in_a_stream_that_was_cut_off(how: str) -> None:
    whole = PACKINGS[how](os.urandom(3000).hex().encode() + WORD.encode() + os.urandom(3000))
    assert canaries_in(whole[: len(whole) - 1500]) == {CANARIES.mark}


@pytest.mark.parametrize(
    "text",
    [
        *("1931-01-11", "1931/01/11", "1931.01.11", "11.01.1931", "01/11/1931", "11-JAN-1931"),
        *("January 11, 1931", "19310111101112.000000", "P1931-01-11T10:11", "11011931"),
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_finds_dates_as_people_write_them(text: str, encoding: str) -> None:
    assert canaries_in(around(text.encode(encoding))) == {DAY}


@pytest.mark.parametrize("digits", ["19310111", "11011931"])
def test_takes_no_part_of_a_digest_or_a_uid_for_a_date(digits: str) -> None:
    for text in (f"2.25.1234567{digits}456789012345678", f"1931 {'0a1b2c3d' * 3}{digits}"):
        assert canaries_in(text.encode()) == set()
    assert canaries_in(f"1931 id{digits}101112 5.2.0123456789{digits}01234567".encode()) == {DAY}


def test_finds_nothing_where_nothing_is() -> None:
    for data in (b"", os.urandom(1 << 20), os.urandom(1 << 20).hex().encode()):
        assert SEARCH("bytes", data) == []
        assert SEARCH("bytes", gzip.compress(base64.b64encode(data))) == []
    other = Canaries().word("of another run")
    assert SEARCH("bytes", other.encode()) == []


def test_finds_canaries_in_all_that_a_folder_can_hold(tmp_path: Path) -> None:
    search = Search(CANARIES)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / WORD).touch()
    (tmp_path / f"folder of {WORD}").mkdir()
    (tmp_path / "link").symlink_to(f"/nowhere/{WORD}")
    (tmp_path / "text").write_text(WORD)
    (tmp_path / "attribute").touch()
    os.setxattr(tmp_path / "attribute", "user.comment", WORD.encode())
    with contextlib.closing(sqlite3.connect(tmp_path / "rows.db")) as database:
        database.execute("PRAGMA journal_mode = wal")
        database.execute("CREATE TABLE words (one TEXT)")
        database.execute("INSERT INTO words VALUES (?)", (WORD,))
        database.commit()
        found = search.in_files(tmp_path)
    assert sorted(leak.where.removeprefix(f"{tmp_path}/") for leak in found) == [
        f"a/{WORD} (its name)",
        "attribute (user.comment)",
        f"folder of {WORD} (its name)",
        "link (link)",
        "rows.db (table words)",
        "rows.db-wal (its bytes)",
        "text (its bytes)",
    ]
    assert {leak.canary for leak in found} == {CANARIES.mark}
    assert search.names > {"a", "link", "rows.db", "rows.db-wal", "text", "attribute"}
    assert search.searched_bytes > len(WORD) * 6


def test_sees_what_processes_show_of_themselves() -> None:
    watcher = Watcher(SEARCH)
    watcher.start()
    path = {"PATH": "/usr/bin:/bin"}
    for words, env in (
        (["sh", "-c", "read line", WORD], path),
        (["sh", "-c", "read line"], {**path, "WHOM": WORD.upper()}),
    ):
        with subprocess.Popen(words, env=env, stdin=subprocess.PIPE):
            watcher.look_well()
    watcher.stop()
    assert {leak.where.split()[0] for leak in watcher.found} == {"cmdline", "environ"}
    assert watcher.saw("read line")
