"""From a fresh shell on a worker to a verb of the agent: find python, send the file, start.

All goes through the shell's standard input, so that no command line holds more than paths of the
agent, whatever login shell the remote user has.
"""

from __future__ import annotations

import contextlib
import shlex
from io import BufferedReader
from typing import Any, BinaryIO, Protocol

from medgrid.errors import ConfigError, Unreachable
from medgrid.workers.archive import agent_archive
from medgrid.workers.errors import AgentError, NoSpace

__all__ = ["COMMAND", "PYTHONS", "Process", "start_agent"]

COMMAND = "/bin/sh -s"
PYTHONS = ("python3", *(f"python3.{minor}" for minor in range(14, 7, -1)))

_SCRIPT = """\
medgrid() {{
umask 077
root={root}
case "$root" in "~/"*) root="$HOME/${{root#"~/"}}";; esac
file="$root/agent/{digest}.pyz"
best= seen=
for python in {pythons}; do
  if version=$("$python" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3]); \
sys.exit(sys.version_info < (3, 8))' 2>/dev/null </dev/null)
  then best=$python; break; fi
  command -v "$python" >/dev/null 2>&1 && seen="$seen; $python is $("$python" -V 2>&1)"
done
if [ -z "$best" ]; then echo "medgrid no-python $seen"; exit 1; fi
if [ ! -f "$file" ]; then
  problem=$(mkdir -p "$root/agent" 2>&1) || {{ echo "medgrid failed $problem"; exit 1; }}
  echo "medgrid send"
  problem=$(head -c {size} 2>&1 >"$file.$$") || {{
    rm -f "$file.$$"; echo "medgrid failed $problem"; exit 1; }}
  if [ "$(wc -c <"$file.$$")" -ne {size} ]; then rm -f "$file.$$"; exit 1; fi
  mv "$file.$$" "$file"
fi
echo "medgrid ready"
exec "$best" -I -S "$file" {verb} "$root"
}}
medgrid
"""


class Process(Protocol):
    """A running process; `medgrid.transport.process.RemoteProcess` is one."""

    stdin: BinaryIO
    stdout: BufferedReader[Any]

    @property
    def stderr(self) -> bytes:
        """End of what it wrote to standard error."""
        ...

    def close(self) -> None:
        """End the conversation with it."""
        ...


def start_agent(process: Process, where: str, root: str, verb: str, pythons: str = "") -> None:
    """Turn a shell, started with `COMMAND`, into the agent's `verb`.

    Parameters
    ----------
    where : str
        The worker, for messages.
    root : str
        Agent's directory on the host; ``~/`` is the remote user's home.
    pythons : str
        The python to use; the default is to look for one.

    Raises
    ------
    ConfigError
        The host has no python >= 3.8.
    NoSpace
        Its disk is full.
    Unreachable
        The connection broke.
    """
    archive = agent_archive()
    script = _SCRIPT.format(
        root=shlex.quote(root),
        digest=archive.digest,
        size=len(archive.data),
        pythons=shlex.quote(pythons) if pythons else " ".join(PYTHONS),
        verb=verb,
    )
    process.stdin.write(script.encode())
    process.stdin.flush()
    while True:
        word, told = _next_word(process, where)
        if word == "ready":
            return
        if word == "send":
            # a script that has ended takes no more, and has said why
            with contextlib.suppress(Unreachable, BrokenPipeError):
                process.stdin.write(archive.data)
                process.stdin.flush()
        elif word == "no-python":
            found = told.strip("; ") or "found none"
            raise ConfigError(
                f"{where}: no python >= 3.8 on the PATH: {found}",
                hint="install one there, or name it with the worker's option python",
            )
        else:
            raise refusal(where, told)


def refusal(where: str, told: str) -> NoSpace | AgentError:
    """Error for what a worker's shell said."""
    if "No space left" in told or "Disk quota" in told:
        return NoSpace(f"{where}: the disk is full", hint="free some space there")
    return AgentError(f"{where}: the agent cannot be started: {told or 'no reason given'}")


def _next_word(process: Process, where: str) -> tuple[str, str]:
    """What the script says next; noise of the login shell's start files is skipped."""
    while line := process.stdout.readline():
        if line.startswith(b"medgrid "):
            word, _, rest = line[8:].decode("utf-8", "replace").strip().partition(" ")
            return word, rest
    said = process.stderr.decode("utf-8", "replace").strip()
    if said:
        raise refusal(where, said.splitlines()[-1])
    raise Unreachable(f"{where}: the connection was lost")
