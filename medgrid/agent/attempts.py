"""The attempts of one agent: accepted, queued, given to keepers, recorded; recovered after a crash.

The journal is the truth. `Attempts` holds in memory what it says, and the work that follows.
"""

from __future__ import annotations

import collections
import os
import selectors
import time
from typing import Any, Deque, Dict, FrozenSet, Iterable, List, Optional, Set, Tuple

from . import libcrypto, processes
from .claiming import AlreadyClaimed, claim
from .container import find_runtime
from .job import PREEMPTED
from .journal import Journal
from .keepers import KeeperHandle, Keepers
from .launches import Launch, checked, needs_of
from .layout import Layout, is_attempt, list_directory
from .notes import read_notes
from .orphans import Orphans
from .prepare import Preparation, Preparations
from .protected import LOST_KEYS, NO_CIPHERS, is_protected, without_keys
from .remains import Remains, lost
from .secrecy import forbid_core_dumps, hide_memory
from .slots import Slots, is_emergency
from .spares import Spares

__all__ = ["Attempts"]

Result = Dict[str, Any]

_MOVES = ("started", "suspended", "resumed")


class Attempts:
    """State of all attempts. All methods are called by the agent's one thread."""

    def __init__(
        self,
        layout: Layout,
        journal: Journal,
        selector: selectors.BaseSelector,
        agent_id: str,
        boot: str,
        base_env: Dict[str, str],
    ) -> None:
        self._layout = layout
        self._journal = journal
        self._selector = selector
        self._boot = boot
        self._path = base_env["PATH"]
        self._known: Dict[str, str] = {}  # attempt -> last event
        self._unfinished: Dict[str, Launch] = {}
        self._needs: Dict[str, FrozenSet[str]] = {}  # of the unfinished: digests
        self._unsure: Dict[str, float] = {}  # since when one has needed what it does not say
        self._ready: Deque[str] = collections.deque()
        self._urgent: Deque[str] = collections.deque()  # the same of emergencies
        self._preparing: Dict[str, List[str]] = {}  # directory being made -> attempts that wait
        self._running: Dict[str, KeeperHandle] = {}
        self._orphans = Orphans(boot)
        self._remains = Remains(layout, agent_id, boot)
        self._slots = Slots()
        self._preempted: Set[str] = set()  # orphans that were told to end for an emergency
        self._started_s: Dict[str, float] = {}
        self._hidden = False
        self._spares = Spares(layout)
        self._preparations = Preparations(layout)
        self._keepers = Keepers(layout, selector, agent_id, boot, base_env, self._heard)

    @property
    def is_idle(self) -> bool:
        """Whether no attempt is unfinished."""
        return not self._unfinished

    @property
    def are_queued(self) -> bool:
        """Whether attempts wait for a slot; emergencies are not counted."""
        return bool(self._ready)

    def known(self) -> Dict[str, str]:
        """Last event of each attempt that is unfinished or not cleaned."""
        names = set(list_directory(self._layout.attempts)).union(self._unfinished)
        return {name: self._known[name] for name in names if name in self._known}

    def allow(self, slots: int, memory_bytes: Optional[int]) -> None:
        """Say how many slots may be filled, and how much memory jobs have together."""
        self._slots.limit = max(1, slots)
        if memory_bytes:
            self._slots.memory_bytes = memory_bytes
        self.dispatch()

    def is_known(self, attempt: str) -> bool:
        """Whether this attempt was ever accepted or cancelled."""
        return attempt in self._known

    def has_ended(self, attempt: str) -> bool:
        """Whether a ``done`` record was taken for this attempt."""
        return self._known.get(attempt) == "done"

    def needed_by(self, attempt: str) -> FrozenSet[str]:
        """Digests of the cached bytes, bundle and environment of an unfinished attempt."""
        return self._needs.get(attempt, frozenset())

    def needed(self) -> Tuple[Set[str], float]:
        """Those of all unfinished attempts; and since when what was used may be needed, too.

        What a protected attempt needs is not written down. One whose keeper outlived an agent may
        still be opening its inputs, until its program runs.
        """
        found: Set[str] = set()
        found.update(*self._needs.values())
        for attempt in list(self._unsure):
            if "process" in read_notes(self._layout.attempt(attempt)):
                del self._unsure[attempt]
        return found, min(self._unsure.values(), default=float("inf"))

    def recover(self, rebooted: bool) -> None:
        """Read the journal, and take up what an earlier agent left."""
        for _, record in self._journal.records():
            event, attempt = record["event"], record.get("attempt", "")
            if event == "accepted":
                self._unfinished[attempt] = record["launch"]
                self._unsure[attempt] = record["time_s"]
            elif event == "started":
                self._started_s[attempt] = record["started_s"]
            elif event == "done":
                for known in (self._unfinished, self._started_s, self._unsure):
                    known.pop(attempt, None)
            if attempt:
                self._known[attempt] = event
        for attempt, launch in list(self._unfinished.items()):
            if not is_protected(launch):
                del self._unsure[attempt]
                self._needs[attempt] = needs_of(launch)
            if os.path.isdir(self._layout.attempt(attempt)):
                self._adopt(attempt)
            elif rebooted:
                self._finish(attempt, lost("the worker's host restarted"))
            elif is_protected(self._unfinished[attempt]):
                self._bury(attempt)
            else:
                self._enqueue(attempt)
        self._remains.sweep()
        self.tick()

    def accept(self, launches: Iterable[Launch]) -> None:
        """Take attempts durably, then start what there is room for; known ones are left alone.

        Raises
        ------
        ValueError
            One is malformed; none is taken.
        OSError
            The journal cannot be written; none is taken.
        """
        named = {checked(launch)["attempt"]: launch for launch in launches}
        new = [launch for attempt, launch in named.items() if attempt not in self._known]
        now = time.time()
        for launch in new:
            attempt = launch["attempt"]
            record = {"attempt": attempt, "event": "accepted", "time_s": now}
            record["launch"] = without_keys(launch)
            if is_protected(launch):
                self._hide()
            self._journal.append(record)
            self._known[attempt] = "accepted"
            self._unfinished[attempt] = launch
            self._needs[attempt] = needs_of(launch)
        try:
            self._journal.commit()
        except OSError:
            self._journal.withdraw(len(new))
            for launch in new:
                attempt = launch["attempt"]
                del self._known[attempt], self._unfinished[attempt], self._needs[attempt]
            raise
        for launch in new:
            self._enqueue(launch["attempt"])
        self.dispatch()

    def cancel(self, attempts: Iterable[str]) -> None:
        """End attempts, or record those not known so that they can never start."""
        for attempt in attempts:
            if not is_attempt(attempt):
                raise ValueError("%r is not an attempt" % attempt)
            if attempt in self._running:
                self._running[attempt].tell("cancel")
            elif attempt in self._orphans:
                self._orphans.cancel(attempt)
            elif not self.has_ended(attempt):
                self._finish(
                    attempt, {"cause": "cancelled", "message": "cancelled before it started"}
                )

    def clean(self, attempts: Iterable[str]) -> None:
        """Discard the directories of ended attempts."""
        for attempt in attempts:
            if self.has_ended(attempt) and is_attempt(attempt):
                path = self._layout.attempt(attempt)
                if not self._spares.offer(path):
                    self._layout.discard(path)

    def dispatch(self) -> None:
        """Give ready attempts to keepers while there are slots: emergencies, then the suspended."""
        while self._urgent:
            launch = self._unfinished.get(self._urgent[0])
            if launch is not None and not self._slots.has_room(launch):
                for attempt, kill in self._slots.make_room(launch, self._used_bytes):
                    self._stop(attempt, kill)
                if not self._slots.has_room(launch):
                    return  # nothing else starts before it
            attempt = self._urgent.popleft()
            if launch is not None:  # else it was cancelled while it waited
                self._try_start(attempt, launch)
        for attempt in self._slots.to_resume():
            self._go_on(attempt)
        while self._ready:
            launch = self._unfinished.get(self._ready[0])
            if launch is not None and not self._slots.has_room(launch):
                return
            attempt = self._ready.popleft()
            if launch is not None:
                self._try_start(attempt, launch)

    def tick(self) -> float:
        """Look after keepers of earlier agents; seconds until the next look."""
        gone = self._orphans.take_gone()
        for attempt in gone:
            self._slots.give_back(attempt)
            self._conclude(attempt)
        if gone:
            self.dispatch()
        return self._orphans.next_look_s()

    def retire_keepers(self) -> None:
        """Let keepers without a job go."""
        self._keepers.retire()

    def discard_spares(self) -> None:
        """Delete the directories that wait to be used again."""
        self._spares.discard()

    # What happens to one attempt, in order of its life.

    def _enqueue(self, attempt: str) -> None:
        launch = self._unfinished[attempt]
        missing = self._preparations.missing(launch)
        if not missing:
            (self._urgent if is_emergency(launch) else self._ready).append(attempt)
            return
        path = missing[0]
        if path not in self._preparing:
            try:
                preparation = self._preparations.start(path, launch)
            except OSError as exc:
                self._finish(attempt, lost("nothing can be prepared: %s" % exc.strerror))
                return
            self._preparing[path] = []
            self._selector.register(
                preparation.reader,
                selectors.EVENT_READ,
                lambda _: self._prepared(preparation),
            )
        self._preparing[path].append(attempt)

    def _prepared(self, preparation: Preparation) -> None:
        reader = preparation.reader
        over, failure = preparation.finish()
        if not over:
            return
        self._selector.unregister(reader)
        for attempt in self._preparing.pop(preparation.key):
            if attempt not in self._unfinished:
                continue
            if failure is not None:
                self._finish(attempt, {"cause": failure[0], "message": failure[1]})
            else:
                self._enqueue(attempt)
        self.dispatch()

    def _try_start(self, attempt: str, launch: Launch) -> None:
        try:
            self._start(attempt, launch)
        except OSError as exc:  # no process or descriptor to be had
            self._finish(attempt, lost("no keeper can be started: %s" % exc.strerror))

    def _start(self, attempt: str, launch: Launch) -> None:
        order: Dict[str, Any] = {"attempt": attempt, "launch": launch}
        environment = launch.get("environment") or {}
        if launch.get("bundle"):
            order["bundle"] = self._layout.bundle(launch["bundle"]["sha256"])
        if environment.get("kind") == "python":
            order["venv"] = self._layout.environment(environment["digest"])
        problem = NO_CIPHERS if is_protected(launch) and libcrypto.load() is None else None
        problem = problem or self._preflight(environment, order)
        if problem is not None:
            self._finish(attempt, {"cause": "environment", "message": problem})
            return
        if not is_protected(launch):
            order["spare"] = self._spares.take()
        self._running[attempt] = self._keepers.give(order)
        self._slots.take(attempt, launch)
        self._unfinished[attempt] = without_keys(launch)

    def _preflight(self, environment: Dict[str, Any], order: Dict[str, Any]) -> Optional[str]:
        programs = environment.get("programs", ())
        absent = [name for name in programs if not processes.find_program(name, self._path)]
        if absent:
            return "not on the worker's PATH: %s" % ", ".join(absent)
        if environment.get("kind") == "container":
            order["runtime"] = find_runtime(self._path, environment["image"])
            if order["runtime"] is None:
                return "the worker has no container runtime (apptainer, podman) for this image"
        return None

    def _heard(self, attempt: str, message: Optional[Dict[str, Any]]) -> None:
        """What the keeper of `attempt` told; None when it died."""
        if message is not None and message["event"] in _MOVES:
            self._moved(attempt, message["event"], message["time_s"])
            return
        del self._running[attempt]
        self._slots.give_back(attempt)
        if message is None:
            self._conclude(attempt)
        elif message["event"] == "claimed":
            self._adopt(attempt)
        else:
            self._finish(attempt, message["result"])
        self.dispatch()

    def _moved(self, attempt: str, event: str, time_s: float) -> None:
        if event == "started":
            self._started_s[attempt] = time_s
            self._slots.started(attempt, time_s)
            self._record(attempt, event, time_s=time_s, started_s=time_s)
            return
        self._record(attempt, event, time_s=time_s)
        if event == "suspended":
            self._slots.suspended(attempt)
            self.dispatch()

    # Emergencies

    def _used_bytes(self, attempt: str) -> int:
        running = self._running.get(attempt)
        pid = running.pid if running is not None else self._orphans.pid(attempt)
        return processes.resident_bytes(processes.descendants(pid))

    def _stop(self, attempt: str, kill: bool) -> None:
        """Take an attempt's slots for an emergency; its keeper tells when they are free."""
        if attempt in self._running:
            self._running[attempt].tell("preempt" if kill else "suspend")
        elif kill:
            self._preempted.add(attempt)
            self._orphans.cancel(attempt)
        else:  # it has nobody to tell
            self._orphans.suspend(attempt)
            self._moved(attempt, "suspended", time.time())

    def _go_on(self, attempt: str) -> None:
        self._slots.resumed(attempt)
        if attempt in self._running:
            self._running[attempt].tell("resume")
        else:
            self._orphans.resume(attempt)
            self._moved(attempt, "resumed", time.time())

    def _bury(self, attempt: str) -> None:
        """End an attempt whose keys are lost, unless a keeper that had them was quicker."""
        nobody = {"pid": 0, "start": 0, "boot": self._boot}
        try:
            claim(self._layout, attempt, nobody, ()).close()
        except AlreadyClaimed:
            self._adopt(attempt)
        else:
            self._finish(attempt, lost(LOST_KEYS))

    def _hide(self) -> None:
        """Keep the keys in this process's memory to itself, from now on."""
        if not self._hidden:
            self._hidden = True
            forbid_core_dumps()
            hide_memory()

    def _adopt(self, attempt: str) -> None:
        """Watch an attempt that a keeper of an earlier agent claimed."""
        keeper = read_notes(self._layout.attempt(attempt)).get("keeper") or {}
        if self._orphans.adopt(attempt, keeper):
            self._slots.take(attempt, self._unfinished[attempt], self._started_s.get(attempt))
            if self._known.get(attempt) == "suspended":  # for an emergency of an earlier agent
                self._go_on(attempt)
            else:  # its suspension may not have come to be written down
                self._orphans.resume(attempt)
        else:
            self._conclude(attempt)

    def _conclude(self, attempt: str) -> None:
        """Finish an attempt whose keeper is gone, by its result if there is one."""
        self._finish(attempt, self._remains.result(attempt, self._unfinished[attempt]))

    def _finish(self, attempt: str, result: Result) -> None:
        if attempt in self._preempted:
            self._preempted.discard(attempt)
            if result["cause"] == "cancelled":
                result = dict(result, cause="preempted", message=PREEMPTED)
        self._unfinished.pop(attempt, None)
        self._started_s.pop(attempt, None)
        self._needs.pop(attempt, None)
        self._unsure.pop(attempt, None)
        self._record(attempt, "done", **result)

    def _record(self, attempt: str, event: str, **fields: Any) -> None:
        record = {"attempt": attempt, "event": event, "time_s": time.time()}
        record.update(fields)
        self._journal.append(record)
        self._known[attempt] = event
