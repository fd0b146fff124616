"""Host keys: which are known, what is said of a stranger, how one is accepted."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import paramiko

from medgrid.config import Settings, private_dir
from medgrid.errors import ConfigError, Denied
from medgrid.transport.address import SshAddress

__all__ = ["KnownHosts", "fingerprint", "remember"]


def fingerprint(key: paramiko.PKey) -> str:
    """``SHA256:...`` of a host key, as ``ssh-keygen -l`` writes it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _own_file(settings: Settings) -> Path:
    return Path(settings.known_hosts or settings.home / "known_hosts").expanduser()


class KnownHosts:
    """The known_hosts file of the grid home, then the user's own."""

    def __init__(self, settings: Settings) -> None:
        self.files = (_own_file(settings), Path.home() / ".ssh" / "known_hosts")

    def keys_of(self, address: SshAddress) -> list[paramiko.PKey]:
        """Keys known for `address`, from the first file that knows any."""
        for file in self.files:
            found = [entry.key for entry in _entries(file) if _names(entry, address.key_name)]
            if found:
                return [key for key in found if key is not None]
        return []

    def _revoked(self) -> Iterator[list[str]]:
        """Words of the lines that revoke a key."""
        for file in self.files:
            yield from (line.split() for line in _lines(file) if line.startswith("@revoked"))

    def check(self, address: SshAddress, key: paramiko.PKey, subject: str | None = None) -> None:
        """Raise unless `key` is one known for `address`.

        Parameters
        ----------
        subject : str, optional
            The command that looks at the host, for the hint: ``worker check w1``.

        Raises
        ------
        Denied
            The host is unknown, or its key is not the known one.
        """
        if any(key.get_base64() in revoked for revoked in self._revoked()):
            raise Denied(f"{address}: the host key {fingerprint(key)} is revoked")
        known = self.keys_of(address)
        if any(key == one for one in known):
            return
        shown = fingerprint(key)
        if not known:
            accept = f"medgrid {subject or 'worker check NAME'} --accept-hostkey {shown}"
            raise Denied(
                f"{address}: the host key {key.get_name()} {shown} is not known",
                hint=f"compare it with the host's own, then '{accept}'",
            )
        expected = ", ".join(f"{one.get_name()} {fingerprint(one)}" for one in known)
        raise Denied(
            f"{address}: THE HOST KEY HAS CHANGED: expected {expected}, "
            f"found {key.get_name()} {shown}; somebody may be listening in",
            hint="if the host was set up anew, remove its old line from "
            + " and ".join(str(file) for file in self.files if file.exists()),
        )


def remember(settings: Settings, address: SshAddress, key: paramiko.PKey) -> None:
    """Add `key` to the grid home's known_hosts file.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    file = _own_file(settings)
    line = f"{address.key_name} {key.get_name()} {key.get_base64()}\n"
    if file.parent == settings.home:
        private_dir(file.parent)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(line)
    except OSError as exc:
        raise ConfigError(f"{file}: cannot be written: {exc.strerror}") from exc


def _names(entry: paramiko.hostkeys.HostKeyEntry, name: str) -> bool:
    hostnames = entry.hostnames or []
    if name in hostnames:
        return True
    return any(
        one.startswith("|1|") and paramiko.HostKeys.hash_host(name, one) == one for one in hostnames
    )


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _entries(file: Path) -> Iterator[paramiko.hostkeys.HostKeyEntry]:
    for line in _lines(file):
        if not line.strip() or line.lstrip().startswith(("#", "@")):
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
        except (paramiko.SSHException, ValueError):
            continue
        if entry is not None:
            yield entry
