"""What others wrote: within bounds it is read, beyond them it is refused with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from medgrid.documents import MAX_BYTES, Unreadable, read_json, read_table, read_yaml


def refused(read: Callable[[bytes], Any], data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(data)
    return str(caught.value)


def strictly(data: bytes) -> Any:
    return read_json(data, strict=True)


@pytest.mark.parametrize("read", [read_json, strictly, read_yaml])
def test_depth_is_bounded(read: Callable[[bytes], Any]) -> None:
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    assert read(str(deep).encode()) == deep
    for depth in (65, 3000, 100_000):
        assert "nested more than 64 deep" in refused(read, b"[" * depth + b"]" * depth)
    assert read(b'["' + b"[" * 100 + b'\\"", "]"]') == ["[" * 100 + '"', "]"]


@pytest.mark.parametrize("read", [read_json, read_yaml, read_table])
def test_size_is_bounded(read: Callable[[bytes], Any]) -> None:
    assert refused(read, b"1" * (MAX_BYTES + 1)) == "larger than 4 MiB"


def test_what_nobody_can_write_down_is_refused() -> None:
    half = "not valid JSON: it has half of a character"
    assert refused(read_json, rb'{"a": ["\ud800"]}') == half
    assert refused(read_json, rb'{"\uDC00x": 1}') == half
    assert read_json(rb'["\ud83d\ude00", "\\ud800"]') == ["\U0001f600", r"\ud800"]


def test_numbers_of_any_length() -> None:
    assert read_json(b"1" * 300) == int("1" * 300)
    assert read_json(b"-" + b"1" * 400) == -math.inf
    assert read_json(b"1" * 5000) == math.inf
    assert read_json(b'{"a": Infinity}') == {"a": math.inf}
    assert refused(strictly, b"1" * 400) == "not valid JSON: 400 digits is no number"
    assert refused(strictly, b"NaN") == "not valid JSON: NaN is no number"
    assert refused(read_yaml, b"a: " + b"1" * 5000).startswith("not valid YAML")
    assert refused(read_yaml, b"a: 2021-02-31").startswith("not valid YAML")


def test_a_key_that_stands_twice() -> None:
    twice = b'{"a": 1, "a": 2}'
    assert read_json(twice) == {"a": 2}
    assert refused(strictly, twice) == "not valid JSON: a key stands twice"
    assert "the key 'a' stands twice" in refused(read_yaml, twice)


def test_a_reason_quotes_no_value() -> None:
    for read, data in (
        (read_json, b'{"catalog": "postgresql://u:hunter2@h" x'),
        (read_yaml, b"a: 1\ncatalog: [hunter2\nb: : hunter2"),
        (read_yaml, b"a: *hunter2"),
        (read_yaml, b"catalog: hunter2: x"),
    ):
        assert "hunter2" not in refused(read, data)


def test_encodings() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        data = '{"a": "é"}'.encode(encoding)
        assert read_json(data) == read_yaml(data) == {"a": "é"}
        assert read_table("a\tb\r\né\t2\r\n".encode(encoding)) == [{"a": "é", "b": "2"}]
    assert refused(read_json, b'"\xe9"') == "not JSON in UTF-8: byte 1 is none"
    assert read_table(b"a\tb\n\xe9\t2\n") == [{"a": "\N{REPLACEMENT CHARACTER}", "b": "2"}]


def test_tables_of_any_shape() -> None:
    assert read_table(b"") == []
    assert read_table(b"a\tb\n") == []
    text = b'a\tb \n1\n\n2\t3\t4\n"x\ty"\t"z\nz"\n'
    assert read_table(text) == [
        {"a": "1", "b": ""},
        {"a": "2", "b": "3"},
        {"a": "x\ty", "b": "z\nz"},
    ]
    long = b"x" * 200_000
    assert read_table(b"a\tb\n" + long + b"\t2\n") == [{"a": long.decode(), "b": "2"}]


def test_a_table_of_empty_cells_is_refused() -> None:
    wide, long = b"a\t" * 1_000_000, b"x\n" * 1_000_000  # a million million cells
    with pytest.raises(Unreadable, match=r"^has more than 1000000 cells$"):
        read_table(wide + b"\n" + long)
