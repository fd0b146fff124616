"""The notes of an attempt: whole lines, whatever happens while one is written."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from medgrid.agent.notes import NOTES, Notes, read_notes
from tests.lab.durable import calls_of, too_early

KEEPER = {"pid": 12, "start": 345, "boot": "b"}


def test_what_is_noted_is_read(tmp_path: Path) -> None:
    assert read_notes(str(tmp_path)) == {}
    notes = Notes(str(tmp_path), tmp_path.name)
    assert read_notes(str(tmp_path)) == {}
    notes.add(keeper=KEEPER)
    assert read_notes(str(tmp_path)) == {"keeper": KEEPER}
    notes.add(durable=True, result={"cause": "ok"})
    notes.close()
    assert read_notes(str(tmp_path)) == {"keeper": KEEPER, "result": {"cause": "ok"}}
    assert (tmp_path / NOTES).stat().st_mode & 0o777 == 0o600


_NOTE = """
import sys
from medgrid.agent.notes import Notes
notes = Notes(sys.argv[1], "1.1.1")
for durable in (False, True):
    notes.add(durable=durable, result={"cause": "ok"})
    open(f"{sys.argv[2]}{durable}", "x")
"""


def test_on_request_it_is_on_the_disk(tmp_path: Path) -> None:
    told = tmp_path / "told"
    calls = calls_of(tmp_path, _NOTE, tmp_path, told)
    found = too_early(calls, str(tmp_path / NOTES), lambda call: call.path.startswith(str(told)))
    assert [is_early for _, is_early in found] == [True, False]


def test_of_two_results_the_last_counts(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path), tmp_path.name)
    notes.add(result={"cause": "ok"})
    notes.add(result={"cause": "no-space"})
    assert read_notes(str(tmp_path)) == {"result": {"cause": "no-space"}}


def test_a_torn_last_line_says_nothing(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path), tmp_path.name)
    notes.add(keeper=KEEPER)
    whole = (tmp_path / NOTES).stat().st_size
    notes.add(result={"cause": "ok"})
    size = (tmp_path / NOTES).stat().st_size
    for cut in range(size - 1, whole - 1, -1):
        os.truncate(tmp_path / NOTES, cut)
        assert read_notes(str(tmp_path)) == {"keeper": KEEPER}


def test_zeros_that_a_crash_left_say_nothing(tmp_path: Path) -> None:
    Notes(str(tmp_path), tmp_path.name).add(keeper=KEEPER)
    with (tmp_path / NOTES).open("ab") as stream:
        stream.write(bytes(30) + b"\n")
    assert read_notes(str(tmp_path)) == {"keeper": KEEPER}


def test_lines_of_another_attempt_that_a_crash_brought_back_say_nothing(tmp_path: Path) -> None:
    Notes(str(tmp_path), "1.1.1").add(keeper=KEEPER)
    with (tmp_path / NOTES).open("ab") as stream:
        stream.write(b'{"result": {"cause": "ok"}, "attempt": "1.1.1"}\n')
    assert read_notes(str(tmp_path)) == {}


def test_the_first_note_takes_the_place_of_all_of_another_attempt(tmp_path: Path) -> None:
    before = Notes(str(tmp_path), "1.1.1")
    before.add(keeper=KEEPER)
    before.add(result={"stdout_tail": "of another" * 100})
    Notes(str(tmp_path), tmp_path.name).add(keeper=KEEPER)
    assert read_notes(str(tmp_path)) == {"keeper": KEEPER}
    assert b"of another" not in (tmp_path / NOTES).read_bytes()


def test_a_note_that_has_no_room_leaves_the_others(tmp_path: Path) -> None:
    notes = Notes(str(tmp_path), tmp_path.name)
    notes.add(keeper=KEEPER)
    size = (tmp_path / NOTES).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(OSError, match=r"No space left|File too large"):
            notes.add(result={"stdout_tail": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / NOTES).stat().st_size == size
    notes.add(result={"cause": "no-space"})
    assert read_notes(str(tmp_path)) == {"keeper": KEEPER, "result": {"cause": "no-space"}}
