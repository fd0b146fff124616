"""What a test run leaves on the machine: nothing.

An agent outlives its broker for minutes, on purpose: with each test those end that it had. All else
that a run started must be gone when it ends, as must its temporary files, mounts and what agents
keep in memory; what is left is ended, told with the test that left it, and fails the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.surroundings import directory_of_the_run
from tests.lab.waiting import wait_for

__all__ = ["LEFT", "TO_ITS_END", "Process", "end_agents", "leftovers", "processes_of"]

LEFT = 7
"""Exit code of a run to its end that left something, whatever the tests said: no pytest's own."""
TO_ITS_END = (0, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
"""Exit codes of pytest when it did all that it was asked for."""

_EXPECTED = ("home", "pytest-of-")  # of the directory of the run
_GONE_SOON_S = 60.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it stood when it was looked at."""

    pid: int
    words: str
    environ: str
    folder: str
    terminal: str

    @property
    def test(self) -> str:
        """The test that started it, as far as it shows."""
        known = re.search(r"PYTEST_CURRENT_TEST=([^\0]*?)(?: \(\w+\))?(?:\0|$)", self.environ)
        shown = re.findall(r"/(test_\w+?)\d*\b", f"{self.words} {self.environ} {self.folder}")
        return known[1] if known else shown[-1] if shown else "a test"

    def __str__(self) -> str:
        return f"process {self.pid} of {self.test}: {self.words[:200]}"


def _words() -> Iterator[tuple[int, str]]:
    """The number and the command line of each process, which is what each test looks at."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words:  # neither a thread of the kernel nor a process that has ended
                yield int(path.name), words.strip()


def _processes() -> Iterator[Process]:
    for pid, words in _words():
        with contextlib.suppress(OSError):
            path = Path(f"/proc/{pid}")
            environ, folder = "", ""
            with contextlib.suppress(OSError):  # another user's
                environ = (path / "environ").read_bytes().decode(errors="replace")
                folder = str((path / "cwd").readlink())
            yield Process(pid, words, environ, folder, _stat(pid)[4])


def _stat(pid: int) -> list[str]:
    """State, parent, group, session, terminal, ... of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def processes_of(folders: Sequence[Path]) -> list[Process]:
    """Processes that were started for something in `folders`, but for this one and its parents.

    One on another terminal is somebody's who looks, unless its environment is that of a test.
    """
    paths = re.compile(rf"({'|'.join(re.escape(str(one)) for one in folders)})(?![\w.-])")
    inherited = re.compile(rf"(?:^|\0)(?!PWD=|OLDPWD=)\w+=[^\0]*{paths.pattern}")
    own, terminals = _own_and_parents(), ("0", _stat(os.getpid())[4])
    return [
        one
        for one in _processes()
        if one.pid not in own
        and not _is_pythons(one)
        and (
            inherited.search(one.environ)
            or (one.terminal in terminals and paths.search(f"{one.words}\n{one.folder}"))
        )
    ]


def _is_pythons(one: Process) -> bool:
    """Whether Python started a process for this one, with which it ends."""
    if "multiprocessing.resource_tracker" not in one.words:
        return False
    with contextlib.suppress(OSError):
        return _stat(one.pid)[1] == str(os.getpid())
    return True


def _own_and_parents() -> set[int]:
    found, pid = set[int](), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(_stat(pid)[1])
    return found


def end_agents(folder: Path) -> None:
    """End the agents whose directories are below `folder`, and their keepers with their jobs."""
    of_agents = re.compile(rf"\.pyz (\w+) {re.escape(str(folder))}/")

    def all_gone() -> bool:
        """Told again at each look: one may have been starting."""
        left = [(pid, found[1]) for pid, words in _words() if (found := of_agents.search(words))]
        for pid, verb in left:
            for number in (signal.SIGTERM, signal.SIGCONT) if verb == "serve" else ():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        return not left

    wait_for(all_gone, f"the end of the agents below {folder}")


@pytest.fixture(autouse=True)
def _agents_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """End a test's agents after all else that it had."""
    known = "tmp_path" in request.fixturenames
    folder: Path | None = request.getfixturevalue("tmp_path") if known else None
    yield
    if folder is not None:
        end_agents(folder)


def leftovers(temporary: Path, base: Path) -> list[str]:
    """End and remove what a run left, and say what it was.

    Parameters
    ----------
    temporary : Path
        Where it put its temporary files.
    base : Path
        Where the directories of its tests are; they may stay.
    """
    folders = (temporary, base)
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not processes_of(folders), "processes to end", patience_s=_GONE_SOON_S)
    found = []
    for one in processes_of(folders):
        found.append(str(one))
        with contextlib.suppress(OSError):
            os.kill(one.pid, signal.SIGKILL)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place = line.split()[4]
        if place.startswith(tuple(f"{folder}/" for folder in folders)):
            found.append(f"mount {place}")
            subprocess.run(["umount", "--lazy", place], check=False)
    for path in (*_strays(temporary), *_in_memory(base)):
        found.append(f"file {path}")
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return found


def _strays(temporary: Path) -> list[Path]:
    return [one for one in temporary.iterdir() if not one.name.startswith(_EXPECTED)]


def _in_memory(base: Path) -> Iterator[Path]:
    """What the agents of a run left outside their directories."""
    # what goes meanwhile, as another run may remove the directories of older ones, has left nothing
    for journal in (Path(at, "journal") for at, _, names in os.walk(base) if "journal" in names):
        with contextlib.suppress(OSError, ValueError, KeyError), journal.open("rb") as stream:
            agent_id = str(json.loads(stream.readline())["agent_id"])
            prefix = hashlib.sha256(b"medgrid private " + agent_id.encode()).hexdigest()[:16]
            for place in ("/dev/shm", "/tmp", f"/run/user/{os.getuid()}"):
                yield from Path(place).glob(f"{prefix}-*")
            yield from Path("/dev/shm").glob(f"mgtrace-{agent_id}")


_left = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look when all has ended, also the processes that ran tests for this one."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    base: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    config.stash[_left] = leftovers(directory_of_the_run(), base)
    if config.stash[_left] and session.exitstatus in TO_ITS_END:
        session.exitstatus = LEFT


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell what was left."""
    found = config.stash.get(_left, [])
    if found:
        terminalreporter.section("left by the tests", red=True)
        terminalreporter.write_line("\n".join(found))
