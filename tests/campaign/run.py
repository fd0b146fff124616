"""One run: a new grid, its jobs, faults at drawn times, and what is true in the end."""

from __future__ import annotations

import contextlib
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from medgrid.errors import MedgridError
from tests.campaign.drawing import Draw, Planned
from tests.campaign.invariants import violations
from tests.campaign.workload import submit
from tests.lab.arena import Arena
from tests.lab.faults import quietly
from tests.lab.hosts import Lab
from tests.lab.postgres import PostgresServer

__all__ = ["Outcome", "run"]

_END_S = 900.0
_TIDY_S = 60.0


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    seed: int
    faults: int = 0  # that were done
    took_s: float = 0.0
    log: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Clock:
    """Writes down when what was done."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._began_s = time.monotonic()

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began_s

    def say(self, text: str) -> None:
        self._outcome.log.append(f"{self.now_s:7.2f} {text}")


def run(drawn: Draw, directory: Path, lab: Lab | None, server: PostgresServer | None) -> Outcome:
    """Do a run in a directory that does not exist; it is kept when something was violated."""
    outcome = Outcome(drawn.seed)
    began_s = time.monotonic()
    hosts = tuple(lab.host(number, "300m") for number in range(1, drawn.hosts + 1)) if lab else ()
    env = {
        "MEDGRID_MAX_ATTEMPTS": "12",
        "MEDGRID_HOST_LOST_AFTER_S": f"{drawn.host_lost_after_s:g}",
    }
    arena = Arena(directory, lab, hosts, server if drawn.postgres else None, env)
    try:
        asked = submit(arena, drawn.public, drawn.sealed, drawn.se)
        arena.start_broker()
        clock = _Clock(outcome)
        _do(drawn.faults, arena, clock, outcome)
        if _ended(arena, clock, outcome):
            _settle(arena)
            outcome.violations += violations(arena, asked)
        text = arena.log()
        outcome.notes += sorted({line for line in text.splitlines() if "unexpected" in line})
        for spot in arena.spots:
            with contextlib.suppress(FileNotFoundError):
                _, found, trace = (spot.home / "agent.log").read_text().rpartition("Traceback")
                if found:
                    outcome.notes.append(f"{spot.name}: a traceback in the agent's log: {trace}")
    finally:
        log = directory / "faults.log"
        log.write_text("\n".join((*outcome.log, *outcome.violations, "")))
        arena.close(keep=bool(outcome.violations))
        if lab is not None:
            lab.restore()
        outcome.took_s = time.monotonic() - began_s
    return outcome


def _do(planned: tuple[Planned, ...], arena: Arena, clock: _Clock, outcome: Outcome) -> None:
    """Do all faults at their times, and heal them at theirs."""
    did: set[int] = set()
    todo = [(one.at_s, 0, number) for number, one in enumerate(planned)]
    todo += [(one.at_s + one.lasts_s, 1, number) for number, one in enumerate(planned)]
    for at_s, healing, number in sorted(todo):
        time.sleep(max(0.0, at_s - clock.now_s))
        fault = planned[number].fault
        if healing:
            if number in did and fault.was_missed(arena):
                outcome.faults -= 1
                clock.say(f"{fault.kind}: nobody came to it")
            quietly(fault, arena)
            continue
        try:
            done = fault.apply(arena)
        except (OSError, subprocess.CalledProcessError) as error:
            done = ""
            clock.say(f"{fault.kind} could not be done: {error}")
        if done:
            outcome.faults += 1
            did.add(number)
            clock.say(f"{fault.kind}: {done}, for {planned[number].lasts_s:g} s")
    for one in planned:
        problem = quietly(one.fault, arena)
        if problem:
            outcome.violations.append(problem)
    clock.say("all is healed")


def _ended(arena: Arena, clock: _Clock, outcome: Outcome) -> bool:
    """Wait until all jobs have ended, as an administrator who looks after the workers."""
    until_s = time.monotonic() + _END_S
    while time.monotonic() < until_s:
        for spot in arena.spots:  # else it may be out for an hour
            with contextlib.suppress(MedgridError), arena.field.grid() as grid:
                if grid.whole.health.all().get(spot.name):
                    grid.whole.health.forget(spot.name)
        ran = arena.prompt("status", "--wait", "--timeout", "5")
        if ran.code in (0, 8):
            clock.say("all jobs have ended")
            return True
    found = arena.prompt("status", "--count").out
    outcome.violations.append(
        f"not all jobs ended within {_END_S:g} s; the lease is held by {arena.holder()}\n{found}"
    )
    return False


def _settle(arena: Arena) -> None:
    """Wait until workers are tidy; a broker may leave one that it waits for to the next."""
    if not _is_tidy(arena):
        arena.stop_broker()
        arena.prompt.ok("broker", "once")
        _is_tidy(arena)
    arena.stop_broker()


def _is_tidy(arena: Arena) -> bool:
    until_s = time.monotonic() + _TIDY_S
    while time.monotonic() < until_s:
        if not any(spot.attempts() for spot in arena.spots):
            with arena.field.grid() as grid:
                if not grid.vault.lent():
                    return True
        time.sleep(0.2)
    return False
