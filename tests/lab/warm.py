"""Commands in processes of their own, without the start of a Python for each.

A server process has all of medgrid imported; for each command it forks, and the child becomes what
``python -m medgrid`` would be: its own process with the caller's streams, directory, environment
and umask, which ends by its own exit code. That saves four fifths of what a short command costs.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
_REQUEST_BYTES = 1 << 20


class WarmCommands:
    """The server, started at the first command; it ends with this process, or when told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours: socket.socket | None = None
        self._pid = 0
        self._process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End the server; the next command starts another."""
        if self._ours is not None and self._process is not None and self._pid == os.getpid():
            self._ours.close()
            self._process.wait()
            self._ours = None

    def run(
        self, words: Sequence[str], env: Mapping[str, str], stdin: str, timeout_s: float
    ) -> tuple[int, str, str]:
        """Run a command to its end; exit code (negative for a signal), stdout, stderr.

        Raises
        ------
        subprocess.TimeoutExpired
            It took longer, and was killed.
        """
        pipes = [os.pipe() for _ in range(3)]
        ours, theirs = socket.socketpair()
        (stdin_end, stdin_w), (stdout_r, stdout_end), (stderr_r, stderr_end) = pipes
        request = json.dumps([list(words), dict(env), str(Path.cwd()), _umask()])
        given = [stdin_end, stdout_end, stderr_end, theirs.fileno()]
        try:
            with self._lock:
                socket.send_fds(self._server(), [request.encode()], given)
        finally:
            theirs.close()
            for end in given[:3]:
                os.close(end)
        out, err = _Reader(stdout_r), _Reader(stderr_r)
        writer = threading.Thread(target=_feed, args=(stdin_w, stdin.encode()), daemon=True)
        writer.start()
        with ours:
            ours.settimeout(timeout_s)
            with ours.makefile("r") as answers:
                pid = int(answers.readline())
                try:
                    code = int(answers.readline())
                    for reader in (out, err):
                        reader.join(timeout_s)
                        if reader.is_alive():
                            raise TimeoutError
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(list(words), timeout_s) from None
        return code, out.text, err.text

    def _server(self) -> socket.socket:
        if self._ours is None or self._pid != os.getpid():  # a fork of ours starts its own
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._pid = os.getpid()
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.warm", str(number)],
                pass_fds=[number],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                cwd="/",
            )
            theirs.close()
        return self._ours


class _Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, end: int) -> None:
        super().__init__(daemon=True)
        self._end = end
        self.text = ""
        self.start()

    def run(self) -> None:
        with os.fdopen(self._end, "rb") as stream:
            self.text = stream.read().decode()


def _feed(end: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(end, "wb") as stream:
        stream.write(data)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


# -- the server ----------------------------------------------------------------------------------


def serve(requests: socket.socket) -> None:
    """Fork for each request, until whoever asks has gone."""
    _import_all()
    gc.collect()
    gc.freeze()  # children share what is here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children of this process
    while True:
        data, given, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 4)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(data, given)
        for end in given:
            os.close(end)


def _attend(data: bytes, given: Sequence[int]) -> NoReturn:
    """Start the command, tell its process id and then how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            _become_medgrid(data, given)
        finally:
            os._exit(70)
    for end in given[:3]:
        os.close(end)
    with contextlib.suppress(OSError):  # whoever asked may have gone
        os.write(given[3], f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(given[3], f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become_medgrid(data: bytes, given: Sequence[int]) -> NoReturn:
    """Be the process that ``python -m medgrid`` is."""
    from medgrid.cli.main import entry

    words, env, directory, umask = json.loads(data)
    for number, end in enumerate(given[:3]):
        os.dup2(end, number)
    os.closerange(3, max(given) + 1)
    os.umask(umask)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(env)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8")  # type: ignore[misc]
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    entry(words)


def _import_all() -> None:
    import medgrid

    for found in pkgutil.walk_packages(medgrid.__path__, "medgrid."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            with contextlib.suppress(ImportError):  # a driver that is not installed
                importlib.import_module(found.name)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as theirs:
        serve(theirs)
