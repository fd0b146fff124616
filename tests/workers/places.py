"""Places on which the contract of workers is tested: here, over SSH, on a host of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgrid.config import Settings
from medgrid.model import Worker
from medgrid.workers import open_link
from medgrid.workers.base import AttemptId, JournalRecord, Launch, WorkerLink
from tests.lab.waiting import wait_for

GRID = "0123456789abcdef"


@dataclass
class Place:
    """A worker, and a way to look at its host behind the agent's back."""

    worker: Worker
    settings: Settings
    root: str
    shell: Callable[[str], str]
    links: list[WorkerLink] = field(default_factory=list)
    submission: int = 1

    def open(self) -> WorkerLink:
        """Open a link; `close` closes it."""
        link = open_link(self.worker, self.settings, GRID)
        self.links.append(link)
        return link

    def attempt(self, number: int = 1, attempt: int = 1) -> AttemptId:
        """Id of an attempt no other test uses."""
        return f"{self.submission}.{number}.{attempt}"

    def state(self) -> dict[str, Any]:
        """What the agent says of its process."""
        found: dict[str, Any] = json.loads(self.shell(f"cat {self.root}/run/state"))
        return found

    def kill_agent(self) -> None:
        """Kill the agent with SIGKILL, nothing else."""
        self.shell(f"kill -9 {self.state()['pid']}")

    def keeper(self, attempt: AttemptId) -> int:
        """Pid of the process that keeps a running attempt."""
        notes = self.shell(f"cat {self.root}/attempts/{attempt}/notes").splitlines()
        return int(json.loads(notes[0])["keeper"]["pid"])

    @property
    def held(self) -> str:
        """Beginning of a shell script that goes on when `let_go` is called."""
        return f"until [ -e {self.root}/go ]; do sleep 0.05; done; "

    def let_go(self) -> None:
        """Let what is held go on."""
        self.shell(f"touch {self.root}/go")

    def processes(self, word: str) -> list[int]:
        """Pids of processes on the host whose command line holds `word`."""
        found = self.shell(f"pgrep -f -- '[{word[0]}]{word[1:]}' || true").split()
        return [int(pid) for pid in found]

    def close(self) -> None:
        """Close the links, end the agent."""
        for link in self.links:
            link.close()
        if not self.links:
            return
        self.shell(f"test ! -e {self.root}/run/socket || kill {self.state()['pid']} || true")


@contextmanager
def agent_here(settings: Settings) -> Iterator[Place]:
    """An agent on this host, in the grid home of `settings`."""
    worker = Worker("here", "local:", "site", slots=2)
    place = Place(worker, settings, str(settings.home / "agent" / "here"), local_shell)
    yield place
    place.close()


def oldest_python() -> str | None:
    """Path of a Python 3.8, the oldest that an agent supports; None when there is none here."""
    candidates = [
        shutil.which("python3.8"),
        *map(str, Path(os.environ.get("PYENV_ROOT", "/")).glob("versions/3.8.*/bin/python3.8")),
    ]
    for one in candidates:
        if one and subprocess.run([one, "-V"], check=False, capture_output=True).returncode == 0:
            return one
    return None


def unique_number() -> str:
    """A number of seconds to sleep, by which a process is told from all others."""
    return str(10**8 + secrets.randbelow(9 * 10**8))


def local_shell(script: str) -> str:
    """Run a shell script on this machine; what it printed."""
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout


def follow_until(
    link: WorkerLink,
    attempts: Sequence[AttemptId],
    event: str = "done",
    offset: int = 0,
) -> dict[AttemptId, JournalRecord]:
    """Follow the journal until each of `attempts` has had `event`; those records."""
    found: dict[AttemptId, JournalRecord] = {}

    def all_there() -> bool:
        nonlocal offset
        for record in link.follow(offset, 1.0):
            offset = record.offset
            if record.event == event and record.attempt in attempts:
                assert record.attempt not in found, "an event happens once"
                found[record.attempt] = record
        return not set(attempts) - set(found)

    wait_for(all_there, lambda: f"{event} of {sorted(set(attempts) - set(found))}")
    return found


def all_records(link: WorkerLink) -> list[JournalRecord]:
    """The whole journal."""
    records: list[JournalRecord] = []
    while more := link.follow(records[-1].offset if records else 0, 0):
        records.extend(more)
    return records


def script(attempt: AttemptId, text: str, **more: Any) -> Launch:
    """Launch of a shell script."""
    return Launch(attempt, ("sh", "-c", text), **more)


def run(link: WorkerLink, launch: Launch) -> JournalRecord:
    """Launch and wait; the ``done`` record."""
    link.launch([launch])
    return follow_until(link, [launch.attempt])[launch.attempt]


def collected(link: WorkerLink, record: JournalRecord) -> list[bytes]:
    """Bytes of all outputs of an attempt."""
    wanted = [(record.attempt, output) for output in record.outputs]
    return [b"".join(chunks) for _, _, chunks in link.collect(wanted)]
