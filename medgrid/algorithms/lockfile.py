"""Lock files: requirements with the digests of their files, in the format of pip's hash checking.

What ``uv pip compile --generate-hashes`` and ``pip-compile --generate-hashes`` write. A descriptor
names its lock (``environment.lock``), a file beside it; from then on the lock's lines stand in the
descriptor in the file's place, so that they are a part of what its digest is of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from medgrid.errors import ConfigError

__all__ = ["lock_lines", "lock_problem", "read_lock"]

_MAX_LOCK_BYTES = 4 * 1024 * 1024
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9._,\s-]+\])?"
    r"\s*==\s*(?P<version>[A-Za-z0-9.!+_-]+)\s*(;.*?)?(\s--hash=sha256:[0-9a-f]{64})+"
)
_PIP_NEEDED = "it does not lock pip, which installs the rest on a worker"
_HOW = "uv pip compile --universal --generate-hashes writes such a file"


def read_lock(file: Path) -> list[str]:
    """Lines of a lock file: ``NAME==VERSION ; MARKER --hash=sha256:... --hash=...``.

    Raises
    ------
    ConfigError
        It cannot be read.
    """
    try:
        if file.stat().st_size > _MAX_LOCK_BYTES:
            raise ConfigError(f"{file} is larger than {_MAX_LOCK_BYTES} bytes")
        return list(lock_lines(file.read_text(encoding="utf-8")))
    except OSError as exc:
        reason = (exc.strerror or "").lower()
        raise ConfigError(f"{file} cannot be read: {reason}", hint=_HOW) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{file} is no text", hint=_HOW) from exc


def lock_lines(text: str) -> Iterator[str]:
    """Lines of a lock file's text, without comments, each on one line with single spaces."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = re.sub(r"(^|\s)#.*", "", line).split()
        if words:
            yield " ".join(words)


def lock_problem(lock: Sequence[str], requirements: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with the lines of a lock for what an environment requires, and what to do.

    Parameters
    ----------
    requirements : sequence of str
        Pinned.
    """
    versions: dict[str, set[str]] = {}
    for line in lock:
        found = _LINE.fullmatch(line)
        if found is None:
            shown = line if len(line) <= 60 else line[:57] + "..."
            return (
                f"{shown!r} is not a version pinned with '==' and --hash=sha256:",
                f"{_HOW}; options such as an index do not belong there",
            )
        versions.setdefault(_canonical(found["name"]), set()).add(found["version"])
    for requirement in requirements:
        name, _, version = requirement.partition(";")[0].partition("==")
        name = _canonical(name.partition("[")[0].strip())
        if version.strip() not in versions.get(name, ()):
            known = " and ".join(sorted(versions.get(name, ()))) or "nothing"
            return f"{requirement!r} is required, and {known} of it is locked", "make the lock anew"
    if "pip" not in versions:
        return _PIP_NEEDED, f"add 'pip' to what is locked; {_HOW}"
    return None


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
