"""Each call that changes something fails once, or kills its process; then all goes on.

A grid with three jobs is made once, and its files put back for each call.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medgrid.errors import MedgridError
from tests.campaign.drawing import JobKind
from tests.campaign.invariants import violations
from tests.campaign.workload import submit
from tests.lab.arena import Arena
from tests.lab.shim import Role
from tests.lab.waiting import PATIENCE_S

__all__ = ["HOW", "Calls", "Trial"]

HOW: dict[str, int | None] = {"SIGKILL": None, "EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_JOBS = (
    JobKind("a", "ok", 0.0, 1, 0),
    JobKind("b", "many", 0.0, 1000, 0),
    JobKind("c", "fail", 0.0, 1, 7),
)
_SEALED = (JobKind("d", "ok", 0.0, 1000, 0),)
_TRIES = 3
_TIDY_S = 60.0


@dataclass(frozen=True, slots=True)
class Trial:
    """The `number`-th call of some processes, and how it fails: a key of `HOW`."""

    role: Role
    number: int
    how: str

    def __str__(self) -> str:
        return f"{self.how} at call {self.number} of {self.role.name}"


class Calls:
    """The grid whose calls fail. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._arena = Arena(directory, env={"MEDGRID_MAX_ATTEMPTS": "5"})
        self._home = self._arena.prompt.home
        self._saved = directory / "saved"
        self._asked = submit(self._arena, _JOBS, _SEALED, "local")
        shutil.copytree(self._home, self._saved, symlinks=True)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *exc: object) -> None:
        self._arena.close()

    def count(self, role: Role) -> int:
        """How many calls there are when all goes well."""
        self._put_back()
        self._arena.shim.count_calls(role)
        self._once()
        return self._arena.shim.count

    def trials(self, roles: Iterable[Role] = tuple(Role)) -> Iterator[Trial]:
        """All trials there are."""
        for role in roles:
            for number in range(1, self.count(role) + 1):
                for how in HOW:
                    yield Trial(role, number, how)

    def try_out(self, trial: Trial) -> list[str]:
        """Let a call fail, go on without failures, and say what is violated then."""
        self._put_back()
        self._arena.shim.fail(trial.role, trial.number, error=HOW[trial.how])
        self._once()
        self._arena.shim.heal()
        for _ in range(_TRIES):
            if self._is_over() and self._is_tidy():
                break
            self._once()
        else:
            if not self._is_over():
                return [self._arena.prompt("status", "1-2", "--count").out, self._arena.log()]
        return list(violations(self._arena, self._asked))

    def log(self) -> str:
        """What the brokers said since the grid was put back."""
        return self._arena.log()

    def _once(self) -> None:
        """Let a broker do what there is to do, if nothing kills it."""
        with (self._arena.directory / "broker.log").open("ab") as log:
            subprocess.run(
                self._arena.prompt.command("broker", "once"),
                env={**self._arena.prompt.environ(), **self._arena.shim.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=PATIENCE_S,
                check=False,
            )

    def _is_over(self) -> bool:
        try:
            with self._arena.field.grid() as grid:
                return not grid.whole.jobs.desk.open_count()
        except MedgridError:
            return False

    def _is_tidy(self) -> bool:
        until_s = time.monotonic() + _TIDY_S
        while time.monotonic() < until_s:
            with self._arena.field.grid() as grid:
                if not grid.vault.lent() and not self._arena.spots[0].attempts():
                    return True
            time.sleep(0.1)
        return False

    def _put_back(self) -> None:
        spot = self._arena.spots[0]
        spot.end()
        Path(spot.trace_file()).unlink(missing_ok=True)
        for _ in range(20):  # a process that was killed may still write
            shutil.rmtree(self._home, ignore_errors=True)
            if not self._home.exists():
                break
            time.sleep(0.05)
        shutil.copytree(self._saved, self._home, symlinks=True)
        (self._arena.directory / "broker.log").write_bytes(b"")
