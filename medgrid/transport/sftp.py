"""SFTP in the words of an operating system: what OpenSSH's extensions add, and honest errors."""

from __future__ import annotations

import contextlib
import errno
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paramiko
from paramiko.sftp import CMD_EXTENDED

from medgrid.errors import Unreachable

__all__ = ["FileSystem", "SftpError", "SftpSession"]

_BLOCK_BYTES = 32 * 1024  # what every server takes in one request
_BATCH_BLOCKS = 64
_PATIENCE_S = 300.0  # a server may flush a large file for long
_NEARLY_FULL_BYTES = 1024 * 1024


class SftpError(OSError):
    """The server refuses a request; `errno` is None when it only says ``Failure``."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What a server says of the file system under a directory."""

    free_bytes: int
    read_only: bool


class SftpSession:
    """One SFTP channel, for one thread at a time.

    Methods raise `SftpError` when the server refuses, `Unreachable` when the connection broke.
    """

    def __init__(self, client: paramiko.SFTPClient, label: str) -> None:
        self._client: Any = client
        self._label = label
        channel: Any = client.get_channel()
        channel.settimeout(_PATIENCE_S)

    def write_new(self, path: str, chunks: Iterable[bytes]) -> int:
        """Write a file that must not exist (mode 0600) and flush it to disk; its size after.

        Errors of `chunks` come through.
        """
        with self._errors(path):
            # 'x': fail when it exists; nothing is written before the mode is set
            file = self._client.open(path, "wbx", bufsize=0)
        with self._closing(file):
            with self._errors(path):
                file.chmod(0o600)
            return self._write(file, path, chunks)

    def add(self, path: str, offset: int, chunks: Iterable[bytes]) -> int:
        """Write on from `offset` of a file that is there, and flush it to disk; its size after.

        Errors of `chunks` come through.
        """
        with self._errors(path):
            file = self._client.open(path, "r+b", bufsize=0)
        with self._closing(file):
            with self._errors(path):
                file.seek(offset)
            return self._write(file, path, chunks)

    def _write(self, file: Any, path: str, chunks: Iterable[bytes]) -> int:
        with self._errors(path):
            file.set_pipelined(True)
        held = b""
        for chunk in chunks:
            if chunk:
                with self._errors(path):
                    if held:
                        file.write(held)
                held = chunk
        with self._errors(path):
            # not pipelined: this write reads the answers to all before it
            file.set_pipelined(False)
            if held:
                file.write(held)
            self._fsync(file)
            return int(file.stat().st_size)

    @staticmethod
    @contextmanager
    def _closing(file: Any) -> Iterator[None]:
        """Close a file at the end; when the connection broke it is closed already."""
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                file.close()

    def read(self, path: str, offset: int = 0) -> Iterator[bytes]:
        """Bytes of a file from `offset`, many requests at a time."""
        with self._errors(path):
            file = self._client.open(path, "rb", bufsize=0)
        try:
            with self._errors(path):
                size_bytes = int(file.stat().st_size)
            while offset < size_bytes:
                starts = range(offset, size_bytes, _BLOCK_BYTES)[:_BATCH_BLOCKS]
                wanted = [(start, min(_BLOCK_BYTES, size_bytes - start)) for start in starts]
                with self._errors(path):
                    data = b"".join(file.readv(wanted))
                if not data:
                    return
                offset += len(data)
                yield data
        finally:
            with contextlib.suppress(Exception):
                file.close()

    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        """Attributes of a file, of a symbolic link itself."""
        with self._errors(path):
            found: paramiko.SFTPAttributes = self._client.lstat(path)
            return found

    def entries(self, path: str) -> list[paramiko.SFTPAttributes]:
        """Attributes of what a directory holds, each with its `filename`."""
        with self._errors(path):
            return list(self._client.listdir_attr(path))

    def make_dir(self, path: str) -> None:
        """Make a directory (mode 0700) unless it is there, and flush the one above it."""
        try:
            with self._errors(path):
                self._client.mkdir(path, 0o700)
        except SftpError as exc:
            if exc.errno == errno.ENOENT or not self.is_dir(path):
                raise
        else:
            self._flush_above(path)

    def is_dir(self, path: str) -> bool:
        """Whether `path` leads to a directory."""
        try:
            with self._errors(path):
                mode = self._client.stat(path).st_mode or 0
        except SftpError:
            return False
        return stat.S_ISDIR(mode)

    def remove(self, path: str) -> None:
        """Remove a file."""
        with self._errors(path):
            self._client.remove(path)

    def rename(self, path: str, to: str) -> None:
        """Rename a file over what may be there, and flush the directory where that can be done."""
        try:
            with self._errors(path):
                self._client.posix_rename(path, to)
        except SftpError as exc:
            if not _unsupported(exc):
                raise
            with self._errors(path):
                self._client.rename(path, to)
        self._flush_above(to)

    def _flush_above(self, path: str) -> None:
        """Flush the directory that something was named in, where that can be done."""
        with contextlib.suppress(SftpError):
            with self._errors(path):
                directory = self._client.open(path.rpartition("/")[0] or "/", "rb", bufsize=0)
            with contextlib.closing(directory), self._errors(path):
                self._fsync(directory)

    def file_system(self, path: str) -> FileSystem | None:
        """What lies under `path`, None when the server has no ``statvfs@openssh.com``."""
        try:
            with self._errors(path, look=False):
                _, answer = self._client._request(CMD_EXTENDED, "statvfs@openssh.com", path)
        except SftpError:
            return None
        _bsize, fragment, _blocks, _bfree, available = (answer.get_int64() for _ in range(5))
        _files, _ffree, _favail, _fsid, flags = (answer.get_int64() for _ in range(5))
        return FileSystem(fragment * available, bool(flags & 1))

    def close(self) -> None:
        """Close the channel."""
        with contextlib.suppress(Exception):
            self._client.close()

    def _fsync(self, file: Any) -> None:
        """Flush an open file to disk, where the server has ``fsync@openssh.com``."""
        try:
            self._client._request(CMD_EXTENDED, "fsync@openssh.com", file.handle)
        except OSError as exc:
            if not _unsupported(exc):
                raise

    @contextmanager
    def _errors(self, path: str, *, look: bool = True) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            raise Unreachable(f"{self._label}: no answer within {_PATIENCE_S:g} s") from exc
        except (paramiko.SSHException, paramiko.SFTPError, EOFError) as exc:
            raise Unreachable(f"{self._label}: the connection was lost") from exc
        except OSError as exc:
            if self._client.get_channel().closed:
                raise Unreachable(f"{self._label}: the connection was lost") from exc
            code = exc.errno
            if code is None and look and not _unsupported(exc):
                code = self._guess(path)
            raise SftpError(code, exc.strerror or str(exc)) from exc

    def _guess(self, path: str) -> int | None:
        """Find out what a bare ``Failure`` means: version 3 of SFTP has no word for a full disk."""
        found = self.file_system(path.rpartition("/")[0] or "/")
        if found is not None and found.read_only:
            return errno.EROFS
        if found is not None and found.free_bytes < _NEARLY_FULL_BYTES:
            return errno.ENOSPC
        return None


def _unsupported(exc: OSError) -> bool:
    return "unsupported" in str(exc).lower()
