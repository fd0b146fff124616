"""Open an SSH connection: TCP, jump hosts, host key, log-in; then run commands on it.

Checked by ``tests/transport``.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import paramiko

from medgrid.config import Settings
from medgrid.errors import Denied, Unreachable
from medgrid.transport.address import SshAddress, resolve
from medgrid.transport.auth import authenticate
from medgrid.transport.hostkeys import KnownHosts, fingerprint, remember
from medgrid.transport.process import BROKEN, RemoteProcess

__all__ = ["SshConnection", "accept_host_key", "connect"]

MAX_CHANNELS = 5
_WINDOW_BYTES = 16 * 1024 * 1024
_MAX_JUMPS = 8

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what matters is raised


class SshConnection:
    """An open, authenticated connection. Use as a context manager, or call `close`.

    All methods may be called from any thread. At most `MAX_CHANNELS` channels should be open at a
    time: OpenSSH's default MaxSessions is 10.
    """

    def __init__(
        self, address: SshAddress, transport: paramiko.Transport, jumps: list[SshConnection]
    ) -> None:
        self.address = address
        self._transport = transport
        self._jumps = jumps

    def exec(self, command: str, timeout_s: float | None = None) -> RemoteProcess:
        """Start `command` (the remote user's shell reads it: no data belongs on it).

        Raises
        ------
        Unreachable
            The connection is gone, or the server does not answer in time.
        Denied
            The server opens no session.
        """
        channel = self._open(timeout_s)
        try:
            channel.exec_command(command)
        except BROKEN as exc:
            channel.close()
            raise Unreachable(f"{self.address}: cannot start a command: {_reason(exc)}") from exc
        return RemoteProcess(channel, str(self.address))

    def sftp(self, timeout_s: float | None = None) -> paramiko.SFTPClient:
        """Open an SFTP channel.

        Raises
        ------
        Unreachable
            The connection is gone, or the server has no SFTP.
        """
        channel = self._open(timeout_s)
        try:
            channel.invoke_subsystem("sftp")
            return paramiko.SFTPClient(channel)
        except (paramiko.SSHException, paramiko.SFTPError, EOFError, OSError) as exc:
            channel.close()
            raise Unreachable(f"{self.address}: cannot open SFTP: {_reason(exc)}") from exc

    @property
    def is_active(self) -> bool:
        """Whether the connection still stands, as far as is known here."""
        return self._transport.is_active()

    def close(self) -> None:
        """Close the connection and those of its jump hosts."""
        self._transport.close()
        for jump in reversed(self._jumps):
            jump.close()

    def _open(self, timeout_s: float | None) -> paramiko.Channel:
        try:
            return self._transport.open_session(timeout=timeout_s or self._transport.auth_timeout)
        except paramiko.ChannelException as exc:
            raise Denied(
                f"{self.address}: the server opens no session: {exc.text}",
                hint="its MaxSessions may be too low, or it allows forwarding only",
            ) from exc
        except BROKEN as exc:
            raise Unreachable(f"{self.address}: the connection was lost: {_reason(exc)}") from exc

    def _forward(self, to: SshAddress, timeout_s: float) -> paramiko.Channel:
        try:
            return self._transport.open_channel(
                "direct-tcpip", (to.host, to.port), ("127.0.0.1", 0), timeout=timeout_s
            )
        except BROKEN as exc:
            raise Unreachable(
                f"{to}: cannot be reached through {self.address}: {_reason(exc)}"
            ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    url: str,
    settings: Settings,
    options: Mapping[str, Any] | None = None,
    *,
    subject: str | None = None,
) -> SshConnection:
    """Connect to ``ssh://user@host:port`` (or ``sftp://``) and log in.

    Parameters
    ----------
    options : mapping, optional
        A worker's or storage element's: ``identity`` (key file), ``jump`` (SSH URL).
    subject : str, optional
        The command that looks at the host, for hints: ``worker check w1``.

    Raises
    ------
    Unreachable
        No answer in time, refused, name unknown, connection lost.
    Denied
        Host key unknown or changed, or the log-in is refused.
    UsageError, ConfigError
        `url` or ``~/.ssh/config`` is wrong.
    """
    address = resolve(url, settings, options)
    known = KnownHosts(settings)
    transport, jumps = _handshake(address, settings, known, subject)
    try:
        known.check(address, transport.get_remote_server_key(), subject)
        authenticate(transport, address)
        transport.set_keepalive(max(1, int(settings.keepalive_s)))
        return SshConnection(address, transport, jumps)
    except BaseException as exc:
        _close(transport, jumps)
        if isinstance(exc, BROKEN):
            raise Unreachable(f"{address}: the connection was lost: {_reason(exc)}") from exc
        raise


def accept_host_key(
    url: str, settings: Settings, options: Mapping[str, Any] | None, expected: str
) -> None:
    """Remember the host key of `url` if its fingerprint is `expected` (``SHA256:...``).

    When there is an unknown jump host on the way, it is that one's key that is asked for.

    Raises
    ------
    Denied
        The host shows another key, or one that contradicts a key already known.
    Unreachable
        It does not answer.
    """
    address = resolve(url, settings, options)
    known = KnownHosts(settings)
    if address.jumps and not known.keys_of(resolve(address.jumps[-1], settings)):
        accept_host_key(address.jumps[-1], settings, _nearer_jumps(address), expected)
        return
    transport, jumps = _handshake(address, settings, known, None)
    try:
        key = transport.get_remote_server_key()
    finally:
        _close(transport, jumps)
    if fingerprint(key) != expected:
        raise Denied(
            f"{address}: expected the host key {expected}, found {fingerprint(key)}",
            hint="ask the host's administrator for its fingerprint: ssh-keygen -l",
        )
    if known.keys_of(address):
        known.check(address, key)
        return
    remember(settings, address, key)


def _handshake(
    address: SshAddress, settings: Settings, known: KnownHosts, subject: str | None
) -> tuple[paramiko.Transport, list[SshConnection]]:
    """Agree on keys with the server; nothing is trusted yet."""
    timeout_s = settings.connect_timeout_s
    jumps = _pass_jumps(address, settings, subject)
    try:
        stream = jumps[-1]._forward(address, timeout_s) if jumps else _tcp(address, settings)
        transport = paramiko.Transport(stream, default_window_size=_WINDOW_BYTES)
    except BaseException:
        _close(None, jumps)
        raise
    try:
        transport.banner_timeout = timeout_s
        transport.handshake_timeout = timeout_s
        transport.auth_timeout = timeout_s
        security = transport.get_security_options()
        security.kex = sorted(security.kex, key=lambda name: not name.startswith("curve25519"))
        # one pass over the bytes instead of two
        security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)
        types = {key.get_name() for key in known.keys_of(address)}
        security.key_types = sorted(security.key_types, key=lambda name: _family(name) not in types)
        transport.start_client(timeout=timeout_s)
    except BROKEN as exc:
        _close(transport, jumps)
        raise Unreachable(
            f"{address}: no SSH server answers there: {_reason(exc)}",
            hint="see whether the host is up, and whether the port is that of its SSH server",
        ) from exc
    return transport, jumps


def _family(key_type: str) -> str:
    return "ssh-rsa" if key_type.startswith("rsa-sha2") else key_type


def _pass_jumps(
    address: SshAddress, settings: Settings, subject: str | None
) -> list[SshConnection]:
    """A connection to the last jump host, made through those before it."""
    if len(address.jumps) > _MAX_JUMPS:
        raise Denied(f"{address}: more than {_MAX_JUMPS} jump hosts")
    if not address.jumps:
        return []
    nearer = _nearer_jumps(address)
    return [connect(address.jumps[-1], settings, nearer, subject=subject)]


def _nearer_jumps(address: SshAddress) -> dict[str, str] | None:
    """Options that lead to the last jump host of `address`."""
    nearer = ",".join(address.jumps[:-1])
    return {"jump": nearer} if nearer else None


def _tcp(address: SshAddress, settings: Settings) -> socket.socket:
    try:
        stream = socket.create_connection(
            (address.host, address.port), timeout=settings.connect_timeout_s
        )
    except OSError as exc:
        raise Unreachable(f"{address}: {_reason(exc)}") from exc
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # by the kernel's time: paramiko's keepalives and time-outs stop when the clock is set back
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        stream.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(settings.keepalive_s))
        )
        stream.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, int(settings.connect_timeout_s / 3))
        )
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # unanswered bytes, keepalives too, end the connection
        deadline_ms = int(1000 * (settings.keepalive_s + settings.connect_timeout_s))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, deadline_ms)
    return stream


def _close(transport: paramiko.Transport | None, jumps: list[SshConnection]) -> None:
    if transport is not None:
        transport.close()
    for jump in reversed(jumps):
        jump.close()


def _reason(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    text = getattr(exc, "strerror", None) or str(exc) or "the server closed the connection"
    return text[:1].lower() + text[1:]
