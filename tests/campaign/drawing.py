"""A run of the campaign as its seed draws it: the grid, the jobs, the faults and their times."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from random import Random

from tests.lab.faults import (
    Crash,
    Cut,
    DamageReplica,
    DropSessions,
    FailCall,
    Fault,
    FillDisk,
    Freeze,
    HideStorage,
    JumpClock,
    KillAgent,
    KillBroker,
    KillKeeper,
    KillPostgres,
    LockCatalog,
    Lossy,
    ReadOnlyCatalog,
    Slow,
)
from tests.lab.shim import Role

__all__ = ["Draw", "JobKind", "Planned", "draw"]

_WINDOW_S = 6.0
_SHORTEST_S, _LONGEST_S = 0.3, 3.0


@dataclass(frozen=True, slots=True)
class JobKind:
    """What one job does; it stands in its input."""

    name: str
    mode: str  # ok, fail, daemon, loud, many
    sleep_s: float
    lines: int  # of output
    code: int  # exit code of ``fail``

    @property
    def text(self) -> str:
        """The input."""
        return f"{self.mode} {self.sleep_s:g} {self.lines} {self.code} {self.name}\n"


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and when: seconds after the jobs were submitted."""

    at_s: float
    lasts_s: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class Draw:
    """All that a run is made of."""

    seed: int
    hosts: int
    postgres: bool
    host_lost_after_s: float
    se: str
    public: tuple[JobKind, ...]
    sealed: tuple[JobKind, ...]
    faults: tuple[Planned, ...]


def draw(seed: int, hosts: int, postgres: bool) -> Draw:
    """Draw a run. The same arguments give the same run.

    Parameters
    ----------
    hosts : int
        How many there are.
    postgres : bool
        Whether there is a server; it is used in every fifth run.
    """
    dice = Random(seed)
    used_hosts = dice.choice([0, hosts, hosts, hosts]) if hosts else 0
    on_postgres = dice.random() < 0.2 and postgres
    jobs = [_job(dice, number) for number in range(dice.randint(20, 36))]
    split = dice.randint(0, len(jobs) // 2)
    faults = sorted(
        (_planned(dice, used_hosts, on_postgres) for _ in range(dice.randint(6, 10))),
        key=lambda planned: planned.at_s,
    )
    return Draw(
        seed=seed,
        hosts=used_hosts,
        postgres=on_postgres,
        host_lost_after_s=dice.choice([2.0, 600.0]) if used_hosts else 600.0,
        se=dice.choice(["local", "second"]),
        public=tuple(jobs[split:]),
        sealed=tuple(jobs[:split]),
        faults=tuple(faults),
    )


def _job(dice: Random, number: int) -> JobKind:
    mode = dice.choices(["ok", "fail", "daemon", "loud", "many"], [10, 2, 2, 1, 2])[0]
    lines = dice.choice([1, 100, 20_000, 200_000]) if dice.random() < 0.7 else 1
    sleep_s = round(dice.uniform(0.0, 1.2), 2)
    return JobKind(f"j{number}", mode, sleep_s, lines, dice.randint(1, 100))


def _planned(dice: Random, hosts: int, postgres: bool) -> Planned:
    return Planned(
        round(dice.uniform(0.2, _WINDOW_S), 2),
        round(dice.uniform(_SHORTEST_S, _LONGEST_S), 2),
        _fault(dice, hosts, postgres),
    )


def _fault(dice: Random, hosts: int, postgres: bool) -> Fault:
    spot = dice.randint(0, hosts)
    host = dice.randint(1, hosts) if hosts else 0
    se = dice.choice(["local", "second"])
    which = dice.randrange(1000)
    anywhere: list[Fault] = [
        KillBroker(),
        KillBroker(),
        KillAgent(spot),
        KillAgent(spot),
        KillKeeper(spot, which),
        Freeze(dice.choice([None, spot])),
        JumpClock(spot, dice.choice([-86400, -3600, 3600, 86400])),
        LockCatalog(),
        ReadOnlyCatalog(),
        HideStorage(se),
        DamageReplica(se, which, dice.random() < 0.5),
        FailCall(0, Role.BROKER, dice.randint(1, 300), _error(dice), dice.random() < 0.3),
        FailCall(
            spot,
            dice.choice([Role.AGENT, Role.KEEPER, Role.AGENT | Role.KEEPER | Role.CARRIER]),
            dice.randint(1, 60),
            _error(dice),
            dice.random() < 0.3,
        ),
    ]
    if postgres:
        anywhere += [KillPostgres(), KillPostgres()]
    if hosts:
        anywhere += [
            DropSessions(host),
            Crash(host),
            Crash(host),
            Cut(host),
            Cut(host),
            Slow(host),
            Lossy(host, dice.choice([10, 30, 60])),
            FillDisk(host, dice.choice([0, 1 << 20])),
        ]
    return dice.choice(anywhere)


def _error(dice: Random) -> int | None:
    return dice.choice([None, errno.EIO, errno.ENOSPC])
