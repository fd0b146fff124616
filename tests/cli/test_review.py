"""``medgrid review`` at the prompt: words that were held back."""

from __future__ import annotations

from pathlib import Path

from tests.lab.dicoms import write_series
from tests.lab.prompt import Prompt


def test_words_are_listed_released_and_applied(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_series(tmp_path / "in", 1, SeriesDescription="T1 Harmonix Kowalczyk")
    (lfn,) = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial").lines
    words = [["harmonix", "1", "1"], ["kowalczyk", "1", "1"]]
    listed = grid_prompt.ok("review", "--words")
    assert sorted(line.lower().split("\t") for line in listed.lines) == words
    assert grid_prompt.ok("review", "words", lfn).lines == listed.lines
    assert "Harmonix" not in grid_prompt.ok("stat", lfn, f"{lfn}.original").out
    assert grid_prompt.ok("review", "words", "--release", "Harmonix").out == ""
    assert grid_prompt.ok("review", "--words").lines == ["Kowalczyk\t1\t1"]
    assert grid_prompt.ok("review", "--words", "--apply").lines == [lfn]
    assert grid_prompt.ok("query", "SeriesDescription~'*Harmonix*'").lines == [lfn]
    assert grid_prompt.ok("review", "--old").lines == []
    (record,) = [line for line in grid_prompt.ok("audit").lines if "release-words" in line]
    assert "Harmonix" in record


def test_what_makes_no_sense_is_refused(grid_prompt: Prompt) -> None:
    for words, message in (
        (("words", "--release", "two words"), "'two words' is not a word of 2 to 32 letters"),
        (("words", "/x", "--release", "gizmo"), "--release is for the whole grid, not for LFNs"),
        (("old", "--rename"), "--rename goes with --apply"),
        (("--apply",), "--apply goes with --words or --old"),
    ):
        ran = grid_prompt("review", *words)
        assert (ran.code, ran.out) == (2, "")
        assert f"medgrid: error: {message}\n" in ran.err
    ran = grid_prompt("review", "words", "/nothing")
    assert ran.code == 4
