"""One thread per worker: connects, stages, launches, reads the journal, brings outputs home."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from queue import Queue

from medgrid.broker.backoff import pause
from medgrid.broker.collecting import Collector
from medgrid.broker.messages import (
    Cancel,
    Clean,
    Command,
    Drop,
    Failed,
    Follow,
    Given,
    Inbox,
    LinkDown,
    LinkUp,
    Records,
    Report,
    Stop,
    Work,
)
from medgrid.broker.staging import SourceError, Stager
from medgrid.catalog.job_moves import AttemptEnd
from medgrid.errors import IntegrityError, MedgridError, Unreachable
from medgrid.model import Cause, Sha256, StorageElement, Worker
from medgrid.workers.base import AttemptId, JournalRecord, Launch, Listening, StageItem, WorkerLink

__all__ = ["Driver"]

_LISTEN_S = 5.0  # a worker that is silent for longer is asked again: does it still answer?
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_BATCH = 256  # launches in one message
_FIRST = 64  # the same to a worker that has nothing to do meanwhile
_BATCH_INPUTS = 10_000  # of all of them, as the agent bounds a message
_COMMANDS = _BATCH  # obeyed before the worker is listened to again
_BATCH_BYTES = 64 * 1024 * 1024  # staged before the journal is looked at again


@dataclass(slots=True)
class _Conversation:
    """What belongs to one connection."""

    link: WorkerLink
    inbox: Inbox
    offset: int = 0
    live: dict[AttemptId, StorageElement] = field(default_factory=dict)
    staged: set[Sha256] = field(default_factory=set)  # most of it is still there
    listening: Listening | None = None


class Driver(threading.Thread):
    """Talks to one worker and tells the main thread; it never touches the catalog."""

    def __init__(
        self,
        worker: Worker,
        open_link: Callable[[], WorkerLink],
        stager: Stager,
        collector: Collector,
        reports: Queue[tuple[Driver, Report]],
    ) -> None:
        super().__init__(name=f"driver-{worker.name}", daemon=True)
        self._worker = worker
        self._open_link = open_link
        self._stager = stager
        self._collector = collector
        self._reports = reports
        self._ended = threading.Event()
        self._inbox: Inbox | None = None

    def stop(self) -> None:
        """Ask the thread to end soon; the worker's jobs go on."""
        self._ended.set()
        inbox = self._inbox
        if inbox is not None:
            inbox.put(Stop())

    def run(self) -> None:
        """Hold one conversation after the other, until `stop`."""
        pause_s, tries = 0.0, 0
        while not self._ended.wait(pause_s):
            tries += 1
            try:
                link = self._open_link()
            except MedgridError as exc:
                self._tell(LinkDown(self._worker.name, exc.message))
                pause_s = pause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, tries)
                continue
            except Exception as exc:  # the broker and the other workers go on
                self._tell(LinkDown(self._worker.name, f"unexpected {type(exc).__name__}"))
                pause_s = _LONGEST_PAUSE_S
                continue
            began_s = time.monotonic()
            try:
                self._converse(link)
            except Unreachable:
                pass  # the next connection shows whether it was a moment or an outage
            except Exception as exc:
                self._tell(LinkDown(self._worker.name, _text(exc)))
            finally:
                link.close()
            pause_s = pause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, tries)
            if time.monotonic() - began_s > _FIRST_PAUSE_S:
                pause_s, tries = 0.0, 0

    def _tell(self, report: Report) -> None:
        self._reports.put((self, report))

    def _converse(self, link: WorkerLink) -> None:
        talk = _Conversation(link, Inbox())
        self._inbox = talk.inbox
        self._tell(LinkUp(self._worker.name, link.info, talk.inbox))
        commands = self._first_commands(talk)
        while not self._ended.is_set():
            self._obey(talk, commands)
            self._hear(talk)
            commands = talk.inbox.take(_COMMANDS)
            if not commands and not self._ended.is_set():
                talk.inbox.wait(_LISTEN_S)
                commands = talk.inbox.take(_COMMANDS)
        while commands:
            self._obey(talk, commands)
            commands = talk.inbox.take(_COMMANDS)

    def _first_commands(self, talk: _Conversation) -> list[Command]:
        """`Follow`, and after it what was sent before it.

        Until it is known which attempts live here, reading the journal would pass over the ends
        of those without bringing their outputs home.
        """
        found: list[Command] = []
        while not self._ended.is_set():
            found += talk.inbox.take(_COMMANDS)
            for follow in found:
                if isinstance(follow, Follow):
                    return [follow, *(one for one in found if one is not follow)]
            talk.inbox.wait(_LISTEN_S)
        return found

    def _obey(self, talk: _Conversation, commands: Sequence[Command]) -> None:
        works: list[Work] = []
        for command in commands:
            if isinstance(command, Work):
                if not self._ended.is_set():  # else the next broker launches it
                    works.append(command)
                continue
            # an attempt must have reached the agent before it is cancelled there
            self._launch(talk, works)
            works = []
            if isinstance(command, Follow):
                talk.offset = command.offset
                talk.live.update(command.live)
            elif isinstance(command, Cancel):
                talk.link.cancel(command.attempts)
            elif isinstance(command, Clean):
                talk.link.clean(command.attempts)
            elif isinstance(command, Drop):
                self._collector.drop(command.outputs)
        if works:
            self._launch(talk, works)

    # -- launching ---------------------------------------------------------------------------------

    def _launch(self, talk: _Conversation, works: Sequence[Work]) -> None:
        waiting = deque(works)
        most = _BATCH if talk.live else _FIRST
        # known from now on: an earlier broker may have launched one of them already
        talk.live.update((work.attempt, work.se) for work in works)
        while waiting:
            launches: list[Launch] = []
            needs: dict[AttemptId, set[Sha256]] = {}
            items: dict[Sha256, StageItem] = {}
            size_bytes = count = 0
            while (
                waiting
                and len(launches) < most
                and size_bytes < _BATCH_BYTES
                and count < _BATCH_INPUTS
            ):
                work = waiting.popleft()
                try:
                    launch, wanted = self._stager.prepare(work, talk.link.info.python_tags)
                except MedgridError as exc:
                    # a package index that does not answer says nothing against the worker
                    away = isinstance(exc, Unreachable)
                    cause = Cause.STAGE_IN if away else Cause.ENVIRONMENT
                    end = AttemptEnd(cause, message=exc.message, of_storage=away, is_away=away)
                    self._fail(talk, work.attempt, end)
                    continue
                launches.append(launch)
                count += len(launch.inputs)
                needs[work.attempt] = {item.sha256 for item in wanted}
                for item in wanted:
                    if item.sha256 not in items:
                        items[item.sha256] = item
                        size_bytes += 0 if item.sha256 in talk.staged else item.size_bytes
            bad = self._stage(talk, items)
            good = []
            for launch in launches:
                problems = [bad[one] for one in needs[launch.attempt] if one in bad]
                if problems:
                    self._fail(talk, launch.attempt, problems[0])
                else:
                    good.append(launch)
            if good:
                talk.link.launch(good)
                attempts = tuple(launch.attempt for launch in good)
                self._tell(Given(self._worker.name, attempts))
            most = _BATCH
            if waiting:
                self._hear(talk)

    def _stage(
        self, talk: _Conversation, items: dict[Sha256, StageItem]
    ) -> dict[Sha256, AttemptEnd]:
        """Put bytes on the worker; return those that could not be, with the reason."""
        from medgrid.workers.errors import NoSpace

        bad: dict[Sha256, AttemptEnd] = {}
        wanted = dict(items)
        while wanted:
            try:
                talk.link.stage(wanted.values())
            except SourceError as exc:
                bad[exc.sha256] = AttemptEnd(
                    Cause.STAGE_IN, message=exc.message, of_storage=True, is_away=exc.is_away
                )
                if wanted.pop(exc.sha256, None) is None:
                    raise
                continue
            except NoSpace as exc:
                bad.update(dict.fromkeys(wanted, AttemptEnd(Cause.NO_SPACE, message=exc.message)))
                break
            except IntegrityError as exc:
                if len(wanted) > 1:  # find the one: each by itself
                    for sha256, item in wanted.items():
                        bad.update(self._stage(talk, {sha256: item}))
                    break
                ((sha256, item),) = wanted.items()
                if item.path is not None:  # what lies there is not what lies here, perhaps
                    wanted[sha256] = replace(item, path=None)
                    continue
                if self._stager.has_another(sha256):
                    continue
                bad[sha256] = AttemptEnd(Cause.STAGE_IN, message=exc.message, of_storage=True)
                break
            talk.staged.update(wanted)
            break
        return bad

    def _fail(self, talk: _Conversation, attempt: AttemptId, end: AttemptEnd) -> None:
        talk.live.pop(attempt, None)
        self._tell(Failed(self._worker.name, attempt, end))

    # -- results -----------------------------------------------------------------------------------

    def _hear(self, talk: _Conversation) -> None:
        """Take what the worker told since, and ask for more, which also shows that it is there."""
        while True:
            if talk.listening is not None:
                if not talk.listening.is_over:
                    return
                listening, talk.listening = talk.listening, None
                self._take(talk, listening.records())
            if self._ended.is_set():
                return
            talk.listening = talk.link.listen(talk.offset, _LISTEN_S, talk.inbox.ring)

    def _take(self, talk: _Conversation, records: Sequence[JournalRecord]) -> None:
        """Bring home what has ended, and report."""
        if not records:
            return
        done = [
            (record, talk.live[record.attempt])
            for record in records
            if record.event == "done" and record.attempt in talk.live
        ]
        outputs, failed = self._collector.collect(talk.link, done)
        talk.offset = records[-1].offset
        for record in records:
            if record.event in ("done", "refused"):
                talk.live.pop(record.attempt, None)
        self._tell(Records(self._worker.name, talk.offset, tuple(records), outputs, failed))


def _text(exc: Exception) -> str:
    return exc.message if isinstance(exc, MedgridError) else f"unexpected {type(exc).__name__}"
