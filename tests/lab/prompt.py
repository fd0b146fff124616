"""The prompt: this medgrid as a user runs it, in processes of its own."""

from __future__ import annotations

import json
import os
import pty
import secrets
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab.waiting import PATIENCE_S, linger
from tests.lab.warm import WarmCommands

_WARM = WarmCommands()
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of the result."""
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """Cells of the result."""
        return [line.split("\t") for line in self.lines]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The result as JSON Lines."""
        return [json.loads(line) for line in self.lines]


class _Started(subprocess.Popen[str]):
    """A command that was left running; it dies with a test that fails."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: Any
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, error, tb)


@dataclass
class Prompt:
    """Runs medgrid with a grid home of its own and nothing of the user's settings."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "MEDGRID" not in name}
        return {**kept, "PYTHONPATH": str(ROOT), "MEDGRID_HOME": str(self.home), **self.env}

    def command(self, *words: str | Path) -> list[str]:
        return [sys.executable, "-m", "medgrid", *map(str, words)]

    def start(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command with pipes, and leave it running."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return _Started(self.command(*words), env=self.environ(), text=True, **{**pipes, **options})

    def __call__(self, *words: str | Path, stdin: str = "", timeout_s: float = PATIENCE_S) -> Ran:
        """Run a command to its end, with pipes."""
        if self._can_be_warm():
            return Ran(*_WARM.run([*map(str, words)], self.environ(), stdin, timeout_s))
        ran = subprocess.run(
            self.command(*words),
            env=self.environ(),
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout_s,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def _can_be_warm(self) -> bool:
        """Whether nothing here looks at, or wants to change, how Python starts."""
        start = ("LD_", "PYTHON", "COVERAGE", "_MEDGRID")
        return type(self).command is Prompt.command and not any(
            name.startswith(start) for name in self.env
        )

    def ok(self, *words: str | Path, stdin: str = "") -> Ran:
        """Run a command that must end well."""
        ran = self(*words, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran

    def on_terminal(
        self,
        *words: str | Path,
        typed: Sequence[tuple[str, str | Callable[[], str]]] = (),
        env: Mapping[str, str] | None = None,
        interrupt_at: str = "",
    ) -> Ran:
        """Run a command on a terminal of 100 columns; stdout and stderr come as one, in `out`.

        `typed` are (text to wait for, text to type then, or what gives it); `interrupt_at` is a
        text after which Ctrl-C is typed.
        """
        pid, terminal = pty.fork()
        if pid == 0:
            environ = {**self.environ(), "TERM": "xterm", "COLUMNS": "100", **(env or {})}
            os.execve(sys.executable, self.command(*words), environ)  # noqa: S606
        answers = [*typed, *([(interrupt_at, "\x03")] if interrupt_at else [])]
        seen = ""
        try:
            while data := _read(terminal):
                seen += data.decode(errors="replace")
                if answers and answers[0][0] in seen:
                    linger(0.2, "nobody types before the program reads")
                    answer = answers.pop(0)[1]
                    os.write(terminal, (answer if isinstance(answer, str) else answer()).encode())
            if data is None:
                os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        finally:
            os.close(terminal)
        return Ran(os.waitstatus_to_exitcode(status), seen.replace("\r\n", "\n"), "")


def _read(terminal: int) -> bytes | None:
    """What comes next; empty when the other end is closed, None when it never comes."""
    ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
    try:
        return os.read(terminal, 4096) if ready else None
    except OSError:
        return b""


def pytest_sessionfinish() -> None:
    """End what runs commands."""
    _WARM.close()


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    """A prompt whose grid home does not exist yet."""
    return Prompt(tmp_path / "grid")


@pytest.fixture(scope="session")
def _grid_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid home as ``init`` makes it, made once; tests get copies."""
    made = Prompt(tmp_path_factory.mktemp("template") / "grid")
    made.ok("init", "--slots", "2")
    return made.home


@pytest.fixture
def grid_prompt(prompt: Prompt, _grid_template: Path) -> Prompt:
    """A prompt with a grid home, which is no other grid's."""
    if prompt.env:  # its catalog lies elsewhere, perhaps
        prompt.ok("init", "--slots", "2")
        return prompt
    shutil.copytree(_grid_template, prompt.home)
    storage = (prompt.home / "storage").as_uri()
    with closing(sqlite3.connect(prompt.home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE grid SET grid_id = ?", (secrets.token_hex(8),))
        catalog.execute("UPDATE storage_element SET url = ?", (storage,))
    return prompt
