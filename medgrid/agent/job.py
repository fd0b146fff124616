"""One attempt, from the claim of its directory to its result; runs inside a keeper."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import processes
from .capture import Capture
from .claiming import claim
from .container import Container
from .layout import Layout
from .limits import Watch
from .notes import Notes
from .outputs import OutputProblem, TooLarge
from .room import Room
from .staging import StageError, changed_inputs

__all__ = ["PREEMPTED", "Job"]

PREEMPTED = "killed for an emergency job"

Result = Dict[str, Any]

_GRACE_S = {"memory": 0.0, "preempted": 0.5}  # between SIGTERM and SIGKILL, by cause
_LONG_GRACE_S = 2.0  # for all others
_REAP_S = 0.01
_LOOK_S = 10.0  # a job that ended is found after so long even when no signal told it
_SHORT_S = 0.03  # of a longer job the start is told, and the process written down
_FULL_BYTES = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Job:
    """The run of one attempt in a directory of its own.

    Parameters
    ----------
    order : dict
        ``attempt``, ``launch`` and what the agent prepared: ``bundle`` (directory), ``venv``
        (directory), ``runtime`` (path of apptainer or podman).
    room : Room
        Where its files lie.
    keeper : dict
        Identity of this process.
    marker : str
        Value of the variable by which all its processes are found.
    base_env : dict
        Variables that every job gets.
    """

    def __init__(
        self,
        layout: Layout,
        order: Dict[str, Any],
        room: Room,
        keeper: Dict[str, Any],
        marker: str,
        base_env: Dict[str, str],
    ) -> None:
        self._layout = layout
        self._order = order
        self._launch: Dict[str, Any] = order["launch"]
        self._room = room
        self._notes: Optional[Notes] = None
        self._keeper = keeper
        self._marker = marker
        self._base_env = base_env
        self._pid = 0
        self._container: Optional[Container] = None
        self._env: Dict[str, str] = {}
        self._captures: List[Capture] = []
        self._verdict: Optional[Dict[str, str]] = None  # why we ended it
        self._kill_at: Optional[float] = None
        self._is_wanted_held = False
        self._held: Optional[List[int]] = None  # pids that stand still

    def claim(self) -> None:
        """Make the attempt's directory, with our identity in it, or find that it is there.

        Raises
        ------
        AlreadyClaimed
            It is there.
        """
        attempt, room = self._order["attempt"], self._room
        self._notes = claim(
            self._layout, attempt, self._keeper, room.folders, self._order.get("spare"), room.needed
        )

    def run(
        self, wait: Callable[[List[int], float], None], moved: Callable[[str, float], None]
    ) -> Result:
        """Stage, start, watch, and gather; the fields of a ``done`` record.

        Parameters
        ----------
        wait : callable
            Waits until one of the descriptors can be read, a signal came, or so many seconds
            passed; may call `end` and `hold`.
        moved : callable
            Told ``started`` (not of a job that soon ends), ``suspended`` or ``resumed``, and when.
        """
        try:
            result = self._run(wait, moved)
            self._room.close_result(result)
            return result
        except BaseException:
            processes.kill_marked(self._marker)
            raise
        finally:
            self._room.leave()

    def _run(
        self, wait: Callable[[List[int], float], None], moved: Callable[[str, float], None]
    ) -> Result:
        begun = time.time()
        try:
            shared = self._room.stage()
        except StageError as exc:
            return _ended(exc.cause, self._room.explain(exc))
        except OSError as exc:
            if exc.errno in _NO_SPACE:
                return _ended("no-space", "the worker's disk is full: inputs do not fit")
            return _ended("stage-in", "an input cannot be put in place: %s" % exc.strerror)
        if self._verdict:
            return _ended(self._verdict["cause"], self._verdict["message"])
        watch = Watch(self._launch.get("limits", {}), [self._room.work, self._room.temporary])
        problem = self._start()
        if problem is not None:
            return problem
        begun = time.time()
        usage = self._watch(wait, watch, begun, moved)
        tails = [capture.finish() for capture in self._captures]
        result = self._judge(usage[0], watch)
        changed = changed_inputs(self._layout, shared)
        if changed:
            result = _ended("stage-in", "an input in the cache was changed while the job ran")
        result.update(
            exit_code=None if usage[0] is None else _exit_code(usage[0]),
            stdout_tail=tails[0],
            stderr_tail=tails[1],
            started_s=begun,
            ended_s=time.time(),
            max_rss_bytes=max(usage[1].ru_maxrss * 1024, watch.peak_bytes),
            cpu_s=round(usage[1].ru_utime + usage[1].ru_stime, 3),
        )
        return result

    def end(self, cause: str, message: str) -> None:
        """Stop the job for `cause`: SIGTERM, a short while, SIGKILL."""
        if self._verdict is None:
            self._verdict = {"cause": cause, "message": message}
            if self._pid:
                processes.kill_group(self._pid, signal.SIGTERM)
            if self._held is not None:  # so that it hears that
                processes.go_on(self._held)
                self._held = None
            grace_s = _GRACE_S.get(cause, _LONG_GRACE_S) if self._pid else 0.0
            self._kill_at = time.monotonic() + grace_s

    def hold(self, wanted: bool) -> None:
        """Let the job stand still, or go on, as soon as its program runs."""
        self._is_wanted_held = wanted

    def store(self, result: Result, durable: bool) -> None:
        """Note the result in the attempt's directory; on a full disk, instead of the files."""
        assert self._notes is not None
        try:
            self._notes.add(durable, result=result)
        except OSError as exc:
            if exc.errno not in _NO_SPACE:
                raise
            self._room.drop_outputs()
            result.update(outputs=[], **_ended("no-space", "the worker's disk is full"))
            self._notes.add(durable, result=result)
        finally:
            self._notes.close()

    def _start(self) -> Optional[Result]:
        argv, env = self._command()
        program: Optional[str] = argv[0]
        if "/" not in argv[0]:
            program = processes.find_program(argv[0], env["PATH"])
        if program is None:
            return _ended("environment", "program %r is not on the worker's PATH" % argv[0])
        self._captures = [
            Capture(os.path.join(self._room.streams, name)) for name in ("stdout", "stderr")
        ]
        os.chdir(self._room.work)
        try:
            self._pid = os.posix_spawn(
                program,
                argv,
                env,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, self._captures[0].writer, 1),
                    (os.POSIX_SPAWN_DUP2, self._captures[1].writer, 2),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGCHLD],
            )
        except OSError as exc:
            for capture in self._captures:
                capture.close_writer()
                capture.finish()
            return _ended(
                "environment", "program %r cannot be started: %s" % (argv[0], exc.strerror)
            )
        for capture in self._captures:
            capture.close_writer()
        return None

    def _command(self) -> Tuple[List[str], Dict[str, str]]:
        bundle = self._order.get("bundle") or ""
        argv = [
            part
            if isinstance(part, str)
            else "".join(piece if isinstance(piece, str) else bundle for piece in part)
            for part in self._launch["argv"]
        ]
        env = dict(self._base_env)
        env.update(HOME=self._room.temporary, TMPDIR=self._room.temporary)
        env["OMP_NUM_THREADS"] = str(self._launch.get("slots", 1))
        venv = self._order.get("venv")
        if venv:
            env["PATH"] = "%s:%s" % (os.path.join(venv, "bin"), env["PATH"])
            env["VIRTUAL_ENV"] = venv
        env.update(self._launch.get("env", {}))
        env[processes.MARKER] = self._marker
        runtime = self._order.get("runtime")
        if runtime:
            binds = {"work": self._room.work, "tmp": self._room.temporary, "bundle": bundle}
            name = "medgrid-" + self._marker.replace("/", "-")
            image = self._launch["environment"]["image"]
            self._container = Container(runtime, image, name, binds, self._room.is_private)
            argv = self._container.argv(argv, env)
            env = self._container.env(env)
        self._env = env
        return argv, env

    def _watch(
        self,
        wait: Callable[[List[int], float], None],
        watch: Watch,
        begun: float,
        moved: Callable[[str, float], None],
    ) -> Any:
        """Until the program and all it left behind have ended; its status and resource usage.

        ``started`` is told after a short while; of a job that ends before, its result tells it.
        """
        streams = {capture.reader: capture for capture in self._captures}
        recorded = False
        short_until = time.monotonic() + _SHORT_S
        while True:
            wait(list(streams), min(self._pause(watch), _LOOK_S if recorded else _SHORT_S))
            for reader, capture in list(streams.items()):
                if not capture.pump():
                    del streams[reader]
            ended = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                break
            is_short = not self._is_wanted_held and time.monotonic() < short_until
            if not (recorded or is_short):  # reading /proc of a short one would wait for its exec
                recorded = True
                moved("started", begun)
                self._record_process()
            if self._verdict is None and self._is_wanted_held is (self._held is None):
                self._switch(watch, moved)
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                processes.kill_group(self._pid)
            elif self._verdict is None:
                breach = watch.check(self._pid)
                if breach is not None:
                    self.end(*breach)
        processes.kill_group(self._pid)
        _, status, usage = os.wait4(self._pid, 0)
        self._reap_stragglers()
        # podman that is ended while it makes the container calls that a success, and leaves it
        if self._container is not None and (status or self._verdict is not None):
            self._container.remove(self._env)
            self._reap_stragglers()
        return status, usage

    def _switch(self, watch: Watch, moved: Callable[[str, float], None]) -> None:
        """Stop all processes of the job, or let them go on."""
        if self._held is not None:
            processes.go_on(self._held)
            self._held = None
            watch.go_on()
            moved("resumed", time.time())
            return
        self._held = processes.stop_below(os.getpid())
        if self._held is None:  # it has processes that we may not stop
            self.end("preempted", PREEMPTED)
            return
        watch.stand_still()
        moved("suspended", time.time())

    def _record_process(self) -> None:
        assert self._notes is not None
        known = processes.identity(self._pid, self._keeper["boot"])
        with contextlib.suppress(OSError):  # the marker finds it too
            self._notes.add(process=known)

    def _pause(self, watch: Watch) -> float:
        if self._kill_at is not None:
            return max(0.01, self._kill_at - time.monotonic())
        return watch.next_s()

    def _reap_stragglers(self) -> None:
        """End what the program left behind: this process has become its parent."""
        while True:
            try:
                if os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                return
            for pid in processes.descendants(os.getpid()):
                processes.kill(pid)
            select.select([], [], [], _REAP_S)

    def _judge(self, status: int, watch: Watch) -> Result:
        if self._verdict is not None:
            return _ended(self._verdict["cause"], self._verdict["message"])
        if self._room.is_gone():
            return _ended("lost", "the job's directory in memory was removed while it ran")
        breach = watch.check_disk()
        if breach is not None:
            return _ended(*breach)
        failed = status != 0
        if any(capture.disk_is_full for capture in self._captures) or (
            failed and self._disk_full()
        ):
            return _ended("no-space", "the worker's disk is full")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return _ended("signal", "killed by signal %d (%s)" % (number, _signal_name(number)))
        if failed:
            return _ended("exit", "exit code %d" % os.WEXITSTATUS(status))
        try:
            outputs = self._room.outputs()
        except OutputProblem as exc:
            cause = "output-size" if isinstance(exc, TooLarge) else "missing-output"
            return _ended(cause, self._room.explain(exc))
        except OSError as exc:
            if exc.errno not in _NO_SPACE:
                raise
            self._room.drop_outputs()
            return _ended("no-space", "the worker's disk is full")
        result = _ended("ok", "")
        result["outputs"] = outputs
        return result

    def _disk_full(self) -> bool:
        found = [os.statvfs(folder) for folder in self._room.folders_to_fill]
        return any(one.f_blocks and one.f_bavail * one.f_frsize < _FULL_BYTES for one in found)


def _ended(cause: str, message: str) -> Result:
    return {"cause": cause, "message": message}


def _exit_code(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
