"""A whole grid that faults can be done to: prompt, broker, workers, storage, databases."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgrid.agent.notes import read_notes
from medgrid.catalog.leases import BROKER
from medgrid.errors import MedgridError
from medgrid.model import StorageElement, Worker
from tests.lab.field import Field
from tests.lab.hosts import Lab, LabHost
from tests.lab.postgres import PostgresServer
from tests.lab.prompt import Prompt
from tests.lab.shim import Shim
from tests.lab.waiting import PATIENCE_S, wait_for

__all__ = ["Arena", "Spot"]

_RESTART_S = 0.3


@dataclass(slots=True)
class Spot:
    """One worker as its root sees it: files, processes, and its host when it has one of its own."""

    name: str
    home: Path  # the agent's directory
    shim: Shim
    host: LabHost | None = None
    traces: list[str] = field(default_factory=list)  # what was saved before a crash

    @property
    def is_up(self) -> bool:
        """Whether its host has power."""
        return self.host is None or self.host.is_up

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        """Signal a process, as the worker counts them; it may be gone."""
        if self.host is not None:
            self.host.exec(f"kill -{int(number)} {pid} 2>/dev/null || true")
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def agent(self) -> int | None:
        """Pid of the agent, None when it does not live."""
        found = self._json("run/state")
        return int(found["pid"]) if self._lives(found) and found else None

    def keepers(self) -> list[int]:
        """Pids of the processes that keep a job now, as far as they wrote them down."""
        notes = [read_notes(str(self.home / "attempts" / name)) for name in self.attempts()]
        found = [one.get("keeper") for one in notes]
        return sorted({int(one["pid"]) for one in found if one and self._lives(one)})

    def _lives(self, known: dict[str, Any] | None) -> bool:
        """Whether a process is there that was; after a crash its pid may be another's."""
        if not known or not known["pid"] or not self.is_up:
            return False
        proc = (self.host.root if self.host is not None else Path("/")) / "proc"
        try:
            boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
            words = (proc / str(known["pid"]) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return (known["boot"], known["start"]) == (boot, int(words[19]))

    def attempts(self) -> list[str]:
        """Directories of attempts."""
        try:
            return sorted(path.name for path in (self.home / "attempts").iterdir())
        except FileNotFoundError:
            return []

    def agent_id(self) -> str:
        """Id of the journal; empty when there is none."""
        for record in self.journal():
            return str(record["agent_id"])
        return ""

    def journal(self) -> Iterator[dict[str, Any]]:
        """All whole records."""
        try:
            lines = (self.home / "journal").read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return
        for line in lines:
            yield json.loads(line)

    def trace_file(self) -> str:
        """Where jobs note that they were started; not on a disk that may be full."""
        return f"/dev/shm/mgtrace-{self.agent_id()}"

    def save_trace(self) -> None:
        """Remember what jobs noted so far: a crash loses it."""
        self.traces = self.trace()

    def trace(self) -> list[str]:
        """One line for each start of a job: attempt, name of the input."""
        root = self.host.root if self.host is not None else Path("/")
        file = root / self.trace_file().lstrip("/")
        now = file.read_text().splitlines() if self.is_up and file.exists() else []
        return [*self.traces, *(line for line in now if line not in self.traces)]

    def in_memory(self) -> list[str]:
        """Private directories of this agent that are still there."""
        prefix = hashlib.sha256(b"medgrid private " + self.agent_id().encode()).hexdigest()[:16]
        root = self.host.root if self.host is not None else Path("/")
        return [
            str(path)
            for place in ("dev/shm", "tmp", "run/user")
            for path in (root / place).glob(f"{prefix}-*")
        ]

    def marked(self) -> list[str]:
        """Processes of any attempt of this agent."""
        wanted = f"MEDGRID_ATTEMPT={self.agent_id()}/".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (process / "environ").read_bytes():
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                    found.append(f"{process.name} {words.decode(errors='replace')}")
        return found

    def end(self) -> None:
        """Kill the agent and what it started."""
        if not self.is_up:
            return
        for pid in (self.agent(), *self.keepers()):
            if pid:
                self.kill(pid)
        for line in self.marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)

    def _json(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.home / name).read_bytes())
        except (OSError, ValueError):
            return None
        return found


class Arena:
    """A new grid: a local worker, one on each of `hosts`, two storage elements.

    Parameters
    ----------
    directory : Path
        Does not exist yet; `close` removes it.
    server : PostgresServer, optional
        Holds the catalog; the default is SQLite.
    env : dict, optional
        More variables of the prompt.
    """

    def __init__(
        self,
        directory: Path,
        lab: Lab | None = None,
        hosts: tuple[LabHost, ...] = (),
        server: PostgresServer | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        self.server = server
        self.database = server.make_database() if server else ""
        self.shim = Shim(directory / "shim")
        self.prompt = Prompt(directory / "grid", {"PYTHONDONTWRITEBYTECODE": "1", **(env or {})})
        self.prompt.env["MEDGRID_CONNECT_TIMEOUT_S"] = "4"
        self.prompt.env["MEDGRID_KEEPALIVE_S"] = "2"
        if server:
            self.prompt.env["MEDGRID_CATALOG"] = server.url(self.database)
        if lab:
            self.prompt.env["MEDGRID_IDENTITY"] = str(lab.identity)
            self.prompt.env["MEDGRID_KNOWN_HOSTS"] = str(lab.known_hosts)
        self.prompt.ok("init", "--slots", "2")
        self.field = Field(self.prompt, directory)
        self.field.env["MEDGRID_BROKER_IDLE_S"] = "60"
        self.second = directory / "second"
        self.second.mkdir()
        self.field.se(StorageElement("second", f"file://{self.second}", "elsewhere"))
        self.spots = [Spot("local", self.prompt.home / "agent" / "local", self.shim)]
        with self.field.grid() as grid:
            self.grid_id = grid.catalog.grid_id
            self.first = Path(grid.catalog.places.se("local").url.removeprefix("file://"))
        for host in hosts:
            self._add(host)
        self._ending = threading.Event()
        self._broker: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep_broker, daemon=True)

    def _add(self, host: LabHost) -> None:
        assert host.answers(), f"{host.name} is not what a run needs"
        self.field.worker(Worker(host.name, host.url, host.name, slots=2))
        home = host.disk / "home/grid/.medgrid-agent" / self.grid_id / host.name
        self.spots.append(Spot(host.name, home, Shim.on_host(host), host))

    # -- the broker --------------------------------------------------------------------------------

    def start_broker(self) -> None:
        """Run a broker, and another one whenever it ends, as systemd does."""
        self._keeper.start()

    def _keep_broker(self) -> None:
        env = {**self.prompt.environ(), **self.shim.env}
        with (self.directory / "broker.log").open("ab") as log:
            while not self._ending.is_set():
                self._broker = subprocess.Popen(
                    self.prompt.command("broker", "run"),
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
                self._broker.wait()
                self._ending.wait(_RESTART_S)

    @property
    def broker(self) -> int | None:
        """Pid of the broker."""
        return self._broker.pid if self._broker and self._broker.returncode is None else None

    def stop_broker(self) -> None:
        """Let the broker end well, and start no other."""
        self._ending.set()
        if self._keeper.is_alive():
            if self._broker is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._broker.send_signal(signal.SIGCONT)
                    self._broker.terminate()
            self._keeper.join(PATIENCE_S)

    def holder(self) -> str:
        """Who holds the lease, for messages."""
        try:
            with self.field.grid() as grid:
                found = grid.whole.leases.holder(BROKER)
        except MedgridError as error:
            return error.message
        return found.holder if found else "nobody"

    def log(self) -> str:
        """What brokers logged."""
        return (self.directory / "broker.log").read_text(errors="replace")

    # -- the end -----------------------------------------------------------------------------------

    def close(self, keep: bool = False) -> None:
        """End all processes and remove all files; with `keep`, leave those on this machine."""
        self.stop_broker()
        for spot in self.spots:
            with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
                if keep:
                    self._copy(spot)
                spot.end()
                if spot.host is not None:
                    spot.host.exec(f"rm -rf /home/grid/.medgrid-agent {spot.trace_file()}")
                else:
                    Path(spot.trace_file()).unlink(missing_ok=True)
        if self.server is not None:
            self.server.drop_database(self.database)
        if not keep:
            wait_for(self._is_removed, f"{self.directory} to be removed")

    def _is_removed(self) -> bool:
        shutil.rmtree(self.directory, ignore_errors=True)  # who dies may write a last file
        return not self.directory.exists()

    def _copy(self, spot: Spot) -> None:
        folder = self.directory / "kept" / spot.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("journal", "agent.log"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(spot.home / name, folder / name)
        (folder / "trace").write_text("\n".join(spot.trace()))
