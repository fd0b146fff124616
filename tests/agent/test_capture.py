"""What jobs print is kept within bounds: the start, the end, and how much is left out between."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medgrid.agent import capture
from medgrid.agent.capture import Capture

HEAD, TAIL = 1000, 100


@pytest.fixture
def stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Capture:
    monkeypatch.setattr(capture, "HEAD_BYTES", HEAD)
    monkeypatch.setattr(capture, "TAIL_BYTES", TAIL)
    return Capture(str(tmp_path / "stdout"))


def words(size_bytes: int) -> bytes:
    """So many bytes, no two places of which look alike."""
    return b"".join(b"%d " % number for number in range(size_bytes))[:size_bytes]


def say(stream: Capture, text: bytes) -> str:
    """Print all of `text`, and end; what `finish` gives."""
    os.set_blocking(stream.writer, False)
    while text:
        try:
            text = text[os.write(stream.writer, text) :]
        except BlockingIOError:
            assert stream.pump(), "its writer is open"
    stream.close_writer()
    return stream.finish()


@pytest.mark.parametrize(
    ("size_bytes", "left_out"),
    [(1, 0), (HEAD, 0), (HEAD + 1, 0), (HEAD + TAIL, 0), (HEAD + TAIL + 1, 1), (500_000, 498_900)],
)
def test_the_start_and_the_end_are_kept(
    stream: Capture, tmp_path: Path, size_bytes: int, left_out: int
) -> None:
    text = words(size_bytes)
    shown = say(stream, text)
    note = b"\n[medgrid: %d bytes left out]\n" % left_out
    expected = text[:HEAD] + note + text[-TAIL:] if left_out else text
    assert (tmp_path / "stdout").read_bytes() == expected
    assert text.decode().endswith(shown)
    assert len(shown) >= min(size_bytes, TAIL)


def test_what_is_still_in_the_pipe_when_a_job_is_killed_is_kept(
    stream: Capture, tmp_path: Path
) -> None:
    os.write(stream.writer, words(900))
    assert stream.pump()
    os.write(stream.writer, b"last words")
    stream.close_writer()
    assert stream.finish().endswith("last words")
    assert (tmp_path / "stdout").read_bytes().endswith(b"last words")


def test_a_job_that_prints_without_end_keeps_nobody(
    stream: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "read", lambda descriptor, size: bytes(size))
    assert stream.pump()


def test_a_stream_without_a_byte_makes_no_file(stream: Capture, tmp_path: Path) -> None:
    assert say(stream, b"") == ""
    assert list(tmp_path.iterdir()) == []


def test_a_job_goes_on_when_its_words_cannot_be_written(stream: Capture, tmp_path: Path) -> None:
    (tmp_path / "stdout").mkdir()
    assert say(stream, words(500_000)).endswith(words(500_000)[-TAIL:].decode())
    assert stream.disk_is_full
