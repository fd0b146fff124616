"""Pseudonyms are keyed, stable, and tell patients of different issuers apart."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from medgrid.crypto.pseudonym import keyed_digest, load_key, neutral_label, pseudonym
from medgrid.errors import ConfigError

KEY = bytes(range(32))


def test_a_pseudonym_is_stable_and_has_one_form() -> None:
    assert pseudonym(KEY, "PAT-4711") == "P-BPBPNJPZ0P"
    for number in range(200):
        assert re.fullmatch(r"P-[0-9A-HJKMNP-TV-Z]{10}", pseudonym(KEY, str(number)))


def test_key_id_and_issuer_all_count() -> None:
    made = {
        pseudonym(KEY, "1"),
        pseudonym(KEY, "2"),
        pseudonym(KEY, "1", "hospA"),
        pseudonym(KEY, "1", "hospB"),
        pseudonym(bytes(32), "1"),
    }
    assert len(made) == 5


def test_parts_do_not_run_into_each_other() -> None:
    assert keyed_digest(KEY, "p", "ab", "c") != keyed_digest(KEY, "p", "a", "bc")
    assert keyed_digest(KEY, "p", "a") != keyed_digest(KEY, "pa")
    assert neutral_label(KEY, "file", "a") != neutral_label(KEY, "volume", "a")


def test_names_of_any_bytes_can_be_digested() -> None:
    assert len(keyed_digest(KEY, "file", "caf\udce9")) == 32


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    first = load_key(keys, create=True)
    assert len(first) == 32
    assert load_key(keys, create=True) == load_key(keys) == first
    assert (keys / "pseudonym.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in keys.iterdir()] == ["pseudonym.key"]


def test_processes_that_make_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_key(tmp_path / "keys", create=True)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_without_a_key_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_key(tmp_path)
    assert caught.value.message == f"{tmp_path}/pseudonym.key: no such key"


def test_a_key_others_can_read_is_refused(tmp_path: Path) -> None:
    load_key(tmp_path, create=True)
    file = tmp_path / "pseudonym.key"
    file.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        load_key(tmp_path)
    assert caught.value.message == f"{file}: others can read it"
    assert caught.value.hint == f"chmod 600 {file}"


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pseudonym.key"
    file.write_bytes(b"short")
    file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        load_key(tmp_path)
    assert caught.value.message == f"{file}: not a key of 32 bytes"
