"""Where an SSH URL leads: the URL, ``~/.ssh/config`` and a place's options, combined."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import paramiko

from medgrid.config import Settings
from medgrid.errors import ConfigError, UsageError

__all__ = ["SshAddress", "resolve"]

SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class SshAddress:
    """One resolved SSH server.

    `name` is what the user calls it; `jumps` are the URLs of the servers to pass, nearest first.
    """

    name: str
    host: str
    port: int
    user: str
    key_name: str  # how known_hosts files call it
    identities: tuple[Path, ...] = ()
    identities_only: bool = False
    jumps: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.user}@{self.name}"
        return place if self.port == SSH_PORT else f"{place}:{self.port}"


def resolve(url: str, settings: Settings, options: Mapping[str, Any] | None = None) -> SshAddress:
    """Resolve ``ssh://user@host:port`` (``sftp://`` likewise).

    What the URL says wins over ``~/.ssh/config``. `options` may hold ``identity`` (private key
    file) and ``jump`` (SSH URL or ``user@host:port``, several separated by commas).

    Raises
    ------
    UsageError
        `url` is not such a URL.
    ConfigError
        ``~/.ssh/config`` cannot be read.
    """
    options = options or {}
    user, name, port = _parse(url)
    found = _ssh_config(name)
    if port is None:
        port = int(found.get("port", SSH_PORT))
    host = found.get("hostname", name)
    alias = found.get("hostkeyalias", host)
    identity = options.get("identity") or settings.identity
    listed = [identity] if identity else found.get("identityfile", [])
    jump = options.get("jump") or found.get("proxyjump") or "none"
    return SshAddress(
        name=name,
        host=host,
        port=port,
        user=user or found.get("user") or getpass.getuser(),
        key_name=alias if port == SSH_PORT else f"[{alias}]:{port}",
        identities=tuple(Path(file).expanduser() for file in listed),
        identities_only=found.get("identitiesonly", "no") == "yes",
        jumps=() if jump == "none" else tuple(_jump_url(one) for one in jump.split(",")),
    )


def _jump_url(text: str) -> str:
    text = text.strip()
    return text if "://" in text else f"ssh://{text}"


def _parse(url: str) -> tuple[str | None, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise UsageError(f"{url!r} is not an SSH URL: {exc}") from exc
    # urlsplit folds case, which ~/.ssh/config does not
    name = parts.netloc.rpartition("@")[2]
    name = name[1 : name.find("]")] if name.startswith("[") else name.partition(":")[0]
    if parts.scheme not in ("ssh", "sftp") or not name or name.startswith("-"):
        raise UsageError(f"{url!r} is not an SSH URL", hint="SSH URLs look like ssh://user@host:22")
    if parts.password is not None:
        raise UsageError(
            f"the SSH URL of {name} holds a password", hint="use a key: ssh-keygen, ssh-copy-id"
        )
    return unquote(parts.username) if parts.username else None, name, port


def _ssh_config(name: str) -> dict[str, Any]:
    file = Path.home() / ".ssh" / "config"
    try:
        return dict(paramiko.SSHConfig.from_path(str(file)).lookup(name))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, paramiko.SSHException, ImportError) as exc:
        raise ConfigError(f"{file}: cannot be used: {exc}") from exc
