"""Prove to an SSH server who we are: key files, then the agent, then the usual key files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko

from medgrid.errors import Denied
from medgrid.transport.address import SshAddress

__all__ = ["authenticate"]

_DEFAULT_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")


def authenticate(transport: paramiko.Transport, address: SshAddress) -> None:
    """Log in with the first key the server takes.

    Raises
    ------
    Denied
        It takes none of them.
    paramiko.SSHException
        The connection broke.
    """
    tried: list[str] = []
    skipped: list[str] = []
    for label, key in _keys(address, skipped):
        tried.append(label)
        try:
            if not transport.auth_publickey(address.user, key):
                return
        except paramiko.AuthenticationException:
            if not transport.is_active():
                break
    told = f"tried {', '.join(tried)}" if tried else "found no key to try"
    raise Denied(
        "; ".join([f"{address}: the server refuses user {address.user}: {told}", *skipped]),
        hint=f"make 'ssh -p {address.port} {address.user}@{address.name}' work without a password, "
        "or name the key with the setting identity",
    )


def _keys(address: SshAddress, skipped: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    named = [file for file in address.identities if file.exists()]
    skipped.extend(f"{file} does not exist" for file in address.identities if file not in named)
    for file in named:
        yield from _key_file(file, skipped)
    if not address.identities_only:
        agent = paramiko.Agent()
        try:
            for key in agent.get_keys():
                yield f"{key.comment or key.get_name()} of the agent", key
        finally:
            agent.close()
    if not address.identities:
        for name in _DEFAULT_NAMES:
            file = Path.home() / ".ssh" / name
            if file.exists():
                yield from _key_file(file, skipped)


def _key_file(file: Path, skipped: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    try:
        key = paramiko.PKey.from_path(file)
    except (TypeError, paramiko.PasswordRequiredException):
        skipped.append(f"{file} needs a passphrase (ssh-add it)")
    except (paramiko.SSHException, ValueError, OSError) as exc:
        skipped.append(f"{file} is not a usable private key ({exc})")
    else:
        yield str(file), key
