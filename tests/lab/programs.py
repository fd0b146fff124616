"""Programs that run for long: each ends with what it started, however its caller ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

__all__ = ["ROOT", "run_python"]

ROOT = Path(__file__).resolve().parents[2]
_TIDY_S = 60


def run_python(words: Sequence[str], log: Path, limit_s: float | None = None) -> int:
    """Run Python in the checkout, in a session of its own.

    When the time is out, or this process is told to end (SIGINT, SIGTERM, SIGHUP), the program gets
    SIGINT and a minute to take apart what it made; then its whole process group is killed.

    Parameters
    ----------
    words : sequence of str
        What follows ``python``.
    log : Path
        Gets what it prints.
    limit_s : float, optional
        So long it may take.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    subprocess.TimeoutExpired
        The time was out.
    KeyboardInterrupt
        This process was told to end.
    """
    with log.open("wb") as out, _interruptible():
        child = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            return child.wait(limit_s)
        finally:
            _end(child)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """All that tells this process to end raises; SIGINT too where a shell had it ignored."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = [(number, signal.signal(number, signal.default_int_handler)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_TIDY_S)
    finally:  # whoever cannot wait says it again
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
