"""One remote process on one SSH channel: its streams and its exit status."""

from __future__ import annotations

import contextlib
import io
import threading
from types import TracebackType
from typing import BinaryIO, Self, cast

import paramiko

from medgrid.errors import Unreachable

__all__ = ["BROKEN", "RemoteProcess"]

_BUFFER_BYTES = 256 * 1024
_STDERR_KEPT_BYTES = 64 * 1024
_PACKET_BYTES = 32 * 1024 - 64  # of data in one packet, with paramiko's allowance for its head
# what paramiko raises on a broken connection; reading sends too, to open the window again
BROKEN = (OSError, EOFError, paramiko.SSHException)


class RemoteProcess:
    """A command started by `SshConnection.exec`. Use as a context manager, or call `close`.

    `stdin` is unbuffered (close it to send the end of file), `stdout` is buffered. Standard error
    is read all the while by a thread, so that a chatty process never blocks; `stderr` gives its
    last 64 KiB. An end of `stdout` does not mean success: `wait` says.
    """

    def __init__(self, channel: paramiko.Channel, label: str) -> None:
        self._channel = channel
        self._label = label
        self.stdin: BinaryIO = cast(BinaryIO, _Writer(channel, label))
        self.stdout = io.BufferedReader(_Reader(channel, label), _BUFFER_BYTES)
        self._stderr = bytearray()
        self._drain = threading.Thread(target=self._read_stderr, name="ssh-stderr", daemon=True)
        self._drain.start()

    @property
    def stderr(self) -> bytes:
        """What the process wrote to standard error so far, the last 64 KiB."""
        return bytes(self._stderr)

    def settimeout(self, timeout_s: float | None) -> None:
        """Let reads and writes raise `Unreachable` after so long without progress."""
        self._channel.settimeout(timeout_s)

    def wait(self, timeout_s: float | None = None) -> int:
        """Exit status, after the process has ended; output not read yet is thrown away.

        Raises
        ------
        Unreachable
            The connection broke before the status came, or `timeout_s` passed.
        """
        self._channel.settimeout(timeout_s)
        while self.stdout.read(_BUFFER_BYTES):
            pass
        if not self._channel.status_event.wait(timeout_s):
            raise Unreachable(f"{self._label}: no answer within {timeout_s:g} s")
        self._drain.join(timeout_s)
        status = self._channel.recv_exit_status()
        if status < 0:
            raise Unreachable(f"{self._label}: the connection was lost")
        return status

    def close(self) -> None:
        """Close the channel; the remote process sees its streams end."""
        with contextlib.suppress(*BROKEN):  # gone already
            self._channel.close()

    def _read_stderr(self) -> None:
        while True:
            try:
                chunk = self._channel.recv_stderr(_BUFFER_BYTES)
            except TimeoutError:
                continue
            except BROKEN:
                return
            if not chunk:
                return
            self._stderr += chunk
            del self._stderr[:-_STDERR_KEPT_BYTES]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


class _Reader(io.RawIOBase):
    def __init__(self, channel: paramiko.Channel, label: str) -> None:
        self._channel = channel
        self._label = label

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._channel.recv(len(buffer))
        except TimeoutError as exc:
            raise Unreachable(f"{self._label}: stopped answering") from exc
        except BROKEN as exc:
            raise Unreachable(f"{self._label}: the connection was lost") from exc
        buffer[: len(data)] = data
        return len(data)


class _Writer(io.RawIOBase):
    def __init__(self, channel: paramiko.Channel, label: str) -> None:
        self._channel = channel
        self._label = label

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            with memoryview(data) as view:  # paramiko copies all that is left for each packet
                for start in range(0, len(view), _PACKET_BYTES):
                    self._channel.sendall(bytes(view[start : start + _PACKET_BYTES]))
        except TimeoutError as exc:
            raise Unreachable(f"{self._label}: stopped taking data") from exc
        except BROKEN as exc:
            raise Unreachable(f"{self._label}: the connection was lost") from exc
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            with contextlib.suppress(*BROKEN):  # gone already
                self._channel.shutdown_write()
