"""What can go wrong with a grid, each as an object: done to an `Arena`, and undone.

`Fault.apply` says what it did, or nothing when there was nothing to do it to. `Fault.heal` may be
called at any time after, also twice; what was only a blow needs no healing.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import sqlite3
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.arena import Arena, Spot
from tests.lab.shim import Role, Shim

__all__ = [
    "Crash",
    "Cut",
    "DamageReplica",
    "DropSessions",
    "FailCall",
    "Fault",
    "FillDisk",
    "Freeze",
    "HideStorage",
    "JumpClock",
    "KillAgent",
    "KillBroker",
    "KillKeeper",
    "KillPostgres",
    "LockCatalog",
    "Lossy",
    "ReadOnlyCatalog",
    "Slow",
    "quietly",
]

_KILL_SESSIONS = """
main=$(cat /run/sshd.pid)
for process in /proc/[0-9]*; do
  read -r name < $process/comm || continue
  case $name in sshd*) [ ${process#/proc/} = "$main" ] || kill -9 ${process#/proc/};; esac
done 2>/dev/null
true
"""


@dataclass(slots=True)
class Fault:
    """One of them."""

    @property
    def kind(self) -> str:
        """What it is called in a log."""
        return type(self).__name__

    def apply(self, arena: Arena) -> str:
        """Do it; what was done, empty when nothing could be."""
        raise NotImplementedError

    def heal(self, arena: Arena) -> None:
        """Undo what lasts."""

    def was_missed(self, arena: Arena) -> bool:
        """Whether nobody felt it, so far."""
        return False


@dataclass(slots=True)
class KillBroker(Fault):
    """``kill -9`` of the broker."""

    def apply(self, arena: Arena) -> str:
        pid = arena.broker
        if pid is None:
            return ""
        arena.spots[0].kill(pid)
        return f"broker {pid}"


@dataclass(slots=True)
class KillAgent(Fault):
    """``kill -9`` of a worker's agent; its jobs and their keepers go on."""

    spot: int

    def apply(self, arena: Arena) -> str:
        spot = arena.spots[self.spot]
        pid = spot.agent() if spot.is_up else None
        if pid is None:
            return ""
        spot.kill(pid)
        return f"agent {pid} of {spot.name}"


@dataclass(slots=True)
class KillKeeper(Fault):
    """``kill -9`` of a process that keeps a job; `which` of them."""

    spot: int
    which: int

    def apply(self, arena: Arena) -> str:
        spot = arena.spots[self.spot]
        keepers = spot.keepers() if spot.is_up else []
        if not keepers:
            return ""
        pid = keepers[self.which % len(keepers)]
        spot.kill(pid)
        return f"keeper {pid} of {spot.name}"


@dataclass(slots=True)
class Freeze(Fault):
    """A broker, or a worker's agent, that is stopped for a while."""

    spot: int | None  # None is the broker
    _pid: int | None = None

    def apply(self, arena: Arena) -> str:
        spot = self._spot(arena)
        self._pid = arena.broker if self.spot is None else spot.agent()
        if self._pid is None or not spot.is_up:
            return ""
        spot.kill(self._pid, signal.SIGSTOP)
        return "the broker" if self.spot is None else f"the agent of {spot.name}"

    def heal(self, arena: Arena) -> None:
        spot = self._spot(arena)
        if self._pid is not None and spot.is_up:
            spot.kill(self._pid, signal.SIGCONT)

    def _spot(self, arena: Arena) -> Spot:
        return arena.spots[self.spot or 0]


@dataclass(slots=True)
class _OnHost(Fault):
    """What is done to a host that is up."""

    spot: int

    def apply(self, arena: Arena) -> str:
        spot = arena.spots[self.spot]
        if spot.host is None or not spot.host.is_up:
            return ""
        self._apply(spot)
        return spot.name

    def _apply(self, spot: Spot) -> None:
        raise NotImplementedError

    def heal(self, arena: Arena) -> None:
        spot = arena.spots[self.spot]
        if spot.host is not None and spot.host.is_up:
            self._heal(spot)

    def _heal(self, spot: Spot) -> None:
        pass


@dataclass(slots=True)
class DropSessions(_OnHost):
    """``kill -9`` of all that sshd started for its connections."""

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.exec(_KILL_SESSIONS)


@dataclass(slots=True)
class Crash(_OnHost):
    """A host without power; healing boots it."""

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.save_trace()
        spot.host.crash()

    def heal(self, arena: Arena) -> None:
        spot = arena.spots[self.spot]
        if spot.host is not None and not spot.host.is_up:
            spot.host.boot()
            spot.shim = Shim.on_host(spot.host)


@dataclass(slots=True)
class Cut(_OnHost):
    """A host without network: no packet, no reset."""

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.cut()

    def _heal(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.heal()


@dataclass(slots=True)
class Slow(_OnHost):
    """A slow network, both ways."""

    rate: str = "2mbit"

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.slow(self.rate)

    def _heal(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.slow("1gbit")


@dataclass(slots=True)
class Lossy(_OnHost):
    """A network that loses what the host sends."""

    percent: int = 30

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.lose(self.percent)

    def _heal(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.lose_nothing()


@dataclass(slots=True)
class FillDisk(_OnHost):
    """A full disk."""

    leave_bytes: int = 0

    def _apply(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.fill(self.leave_bytes)

    def _heal(self, spot: Spot) -> None:
        assert spot.host is not None
        spot.host.exec("rm -f /filler")


@dataclass(slots=True)
class JumpClock(Fault):
    """The wall clock of a host: of the first one broker and prompt have, too."""

    spot: int
    seconds: int

    def apply(self, arena: Arena) -> str:
        spot = arena.spots[self.spot]
        if not spot.is_up:
            return ""
        spot.shim.jump(self.seconds)
        return f"{self.seconds:+d} s on {spot.name}"

    def heal(self, arena: Arena) -> None:
        spot = arena.spots[self.spot]
        if spot.is_up:
            spot.shim.jump(0)


@dataclass(slots=True)
class FailCall(Fault):
    """The `number`-th call of some processes fails, and with `lasts` all that follow.

    `error` None kills the process instead.
    """

    spot: int
    roles: Role
    number: int
    error: int | None = errno.EIO
    lasts: bool = False

    def apply(self, arena: Arena) -> str:
        spot = arena.spots[self.spot]
        if not spot.is_up:
            return ""
        spot.shim.fail(self.roles, self.number, error=self.error, lasts=self.lasts)
        how = errno.errorcode[self.error] if self.error else "SIGKILL"
        which = f"call {self.number}{' and all after it' * self.lasts}"
        return f"{how} at {which} of {self.roles!r} on {spot.name}"

    def heal(self, arena: Arena) -> None:
        spot = arena.spots[self.spot]
        if spot.is_up:
            spot.shim.count_calls(Role(0))

    def was_missed(self, arena: Arena) -> bool:
        return not arena.spots[self.spot].shim.failed


@dataclass(slots=True)
class LockCatalog(Fault):
    """Another process writes in the catalog, and takes its time."""

    _held: Any = None

    def apply(self, arena: Arena) -> str:
        if arena.server is not None:
            import psycopg

            with contextlib.suppress(psycopg.Error):
                self._held = psycopg.connect(
                    host=str(arena.server.sockets), user="medgrid", dbname=arena.database
                )
                self._held.execute("SET lock_timeout = '2s'")
                self._held.execute("LOCK TABLE job, lease IN ACCESS EXCLUSIVE MODE")
                return "job and lease"
            return ""
        self._held = sqlite3.connect(
            arena.prompt.home / "catalog.db", timeout=2, check_same_thread=False
        )
        try:
            self._held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return ""
        return "catalog.db"

    def heal(self, arena: Arena) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


@dataclass(slots=True)
class ReadOnlyCatalog(Fault):
    """Nothing can be written into the catalog."""

    def apply(self, arena: Arena) -> str:
        return self._switch(arena, True)

    def heal(self, arena: Arena) -> None:
        self._switch(arena, False)

    def _switch(self, arena: Arena, on: bool) -> str:
        if arena.server is None:
            arena.shim.freeze_catalog(on)
            return "catalog.db"
        import psycopg

        with contextlib.suppress(psycopg.Error), arena.server.admin() as admin:
            word = "on" if on else "off"
            admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {word}".encode())
            admin.execute("SELECT pg_reload_conf()")
            return "the whole server"
        return ""


@dataclass(slots=True)
class KillPostgres(Fault):
    """A database server that crashes, and is started again."""

    _down: bool = False

    def apply(self, arena: Arena) -> str:
        if arena.server is None:
            return ""
        arena.server.stop(signal.SIGQUIT)
        self._down = True
        return "SIGQUIT"

    def heal(self, arena: Arena) -> None:
        if self._down and arena.server is not None:
            self._down = False
            arena.server.start()


@dataclass(slots=True)
class HideStorage(Fault):
    """A storage element whose directory is not there: a disk that is not mounted."""

    se: str

    def apply(self, arena: Arena) -> str:
        root, away = self._paths(arena)
        if not root.exists():
            return ""
        root.rename(away)
        return self.se

    def heal(self, arena: Arena) -> None:
        root, away = self._paths(arena)
        if away.exists():
            away.rename(root)

    def _paths(self, arena: Arena) -> tuple[Path, Path]:
        root = arena.first if self.se == "local" else arena.second
        return root, root.with_name(f"{root.name}.away")


@dataclass(slots=True)
class DamageReplica(Fault):
    """One copy of an object, of two: shorter than it was, or with a bit flipped."""

    se: str
    which: int
    cut_short: bool
    _saved: tuple[Path, bytes] | None = field(default=None, repr=False)

    def apply(self, arena: Arena) -> str:
        root = arena.first if self.se == "local" else arena.second
        other = arena.second if self.se == "local" else arena.first
        both = sorted(
            path
            for path in root.glob("??/??/*")
            if (other / path.relative_to(root)).exists() and path.stat().st_size
        )
        if not both:
            return ""
        path = both[self.which % len(both)]
        data = path.read_bytes()
        self._saved = path, data
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes(data[:middle] if self.cut_short else flipped)
        return f"{'half of' if self.cut_short else 'a bit of'} {path.name} on {self.se}"

    def heal(self, arena: Arena) -> None:
        if self._saved is None:
            return
        path, data = self._saved
        if not path.parent.exists():  # hidden meanwhile
            root = arena.first if self.se == "local" else arena.second
            path = root.with_name(f"{root.name}.away") / path.relative_to(root)
        if path.parent.exists():
            path.write_bytes(data)
            self._saved = None


def quietly(fault: Fault, arena: Arena) -> str:
    """Heal a fault; what went wrong with that, empty when nothing did."""
    try:
        fault.heal(arena)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{fault.kind} cannot be healed: {error}"
    return ""
