"""Lists of LFNs and ids from anywhere, and what is asked of people."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from medgrid.cli.params import SIZE, Session, read_words
from medgrid.errors import UsageError


def test_words_files_and_stdin_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ids"
    file.write_text("# yesterday's\n42.1\r\n\n42.2\n with spaces \n")
    more = tmp_path / "more"
    more.write_text("43\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("/c\n/d"))
    found = read_words(["/a", "-", "/b"], (str(file), str(more)), "LFNs")
    assert found == ["/a", "/c", "/d", "/b", "42.1", "42.2", " with spaces ", "43"]


def test_input_file_can_be_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("/c\n"))
    assert read_words([], ("-",), "LFNs") == ["/c"]


def test_a_named_list_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "ids").write_text("")
    assert read_words([], (str(tmp_path / "ids"),), "job ids") == []


def test_nothing_named_is_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        read_words([], (), "job ids")
    assert caught.value.message == "no job ids given"
    assert caught.value.hint == "name them, or give '-i FILE', or '-' to read stdin"
    assert read_words([], (), "job ids", required=False) == []


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none: cannot be read: No such file or directory"):
        read_words([], (str(tmp_path / "none"),), "job ids")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="binary: cannot be read: not text"):
        read_words([], (str(tmp_path / "binary"),), "job ids")


def test_sizes() -> None:
    assert SIZE.convert("16G", None, None) == 16 * 1024**3
    assert SIZE.convert(5, None, None) == 5
    with pytest.raises(click.BadParameter, match="'-1' is no amount of bytes such as 512M or 16G"):
        SIZE.convert("-1", None, None)


def test_confirm_without_anybody_to_ask() -> None:
    session = Session(home=None, as_json=False, interactive=True, quiet=False, debug=False)
    session.confirm("remove all?", yes=True)

    @click.command()
    def command() -> None:
        session.confirm("remove all?")

    ran = CliRunner().invoke(command)
    assert isinstance(ran.exception, UsageError)
    assert ran.exception.message == "remove all? cannot be asked here"
