"""Connections of an SFTP storage element: one for each who uses it at the same time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from medgrid.config import Settings
from medgrid.errors import MedgridError, Unreachable
from medgrid.model import StorageElement
from medgrid.transport.process import RemoteProcess
from medgrid.transport.sftp import SftpSession
from medgrid.transport.ssh import SshConnection, connect

__all__ = ["HELLO", "Lane", "Lanes"]

HELLO = b"medgrid\n"
"""First line out of every remote program: a shell ran it, and its file is there."""

_KEPT_IDLE = 4
_PATIENCE_S = 300.0


class Lane:
    """One connection with one SFTP channel, for one thread at a time."""

    def __init__(self, element: StorageElement, settings: Settings) -> None:
        self._connection: SshConnection = connect(
            element.url, settings, element.options, subject=f"se check {element.name}"
        )
        try:
            client = self._connection.sftp()
            self.sftp: SftpSession = SftpSession(client, str(self._connection.address))
        except BaseException:
            self._connection.close()
            raise

    @property
    def is_active(self) -> bool:
        """Whether the connection still stands, as far as is known here."""
        return self._connection.is_active

    def run(self, script: str, argument: str) -> RemoteProcess | None:
        """Start a shell script that reads `argument` from its first line of stdin.

        None when the host starts no programs, or the script did not say `HELLO`.
        """
        try:
            process = self._connection.exec(f"exec sh -c '{script}'")
        except MedgridError:
            if not self.is_active:
                raise
            return None
        try:
            process.settimeout(_PATIENCE_S)
            with contextlib.suppress(Unreachable):  # it may be gone before it has read
                process.stdin.write(argument.encode() + b"\n")
                process.stdin.close()
            if process.stdout.readline(len(HELLO)) == HELLO:
                return process
        except BaseException:
            process.close()
            raise
        process.close()
        return None

    def close(self) -> None:
        """Close the connection."""
        self.sftp.close()
        self._connection.close()


class Lanes:
    """Lanes to one storage element: idle ones are used again, more are made when all are busy."""

    def __init__(self, element: StorageElement, settings: Settings) -> None:
        self._element = element
        self._settings = settings
        self._idle: list[Lane] = []
        self._lock = threading.Lock()

    @contextmanager
    def take(self) -> Iterator[Lane]:
        """Give a lane; one that an error may have left half-way is not used again."""
        lane = self._idle_lane() or Lane(self._element, self._settings)
        try:
            yield lane
        except BaseException as exc:
            if isinstance(exc, Unreachable) or not isinstance(exc, Exception):
                lane.close()
            raise
        finally:
            self._give_back(lane)

    def close(self) -> None:
        """Close idle lanes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()

    def _idle_lane(self) -> Lane | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                lane = self._idle.pop()
            if lane.is_active:
                return lane
            lane.close()

    def _give_back(self, lane: Lane) -> None:
        with self._lock:
            if lane.is_active and len(self._idle) < _KEPT_IDLE:
                self._idle.append(lane)
                return
        lane.close()
