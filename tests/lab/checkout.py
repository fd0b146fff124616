"""Which program is tried: the commit of a checkout, and what the working tree changes in it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

__all__ = ["state_of"]


def state_of(root: Path, but: str = "") -> str:
    """The commit; a digest follows of what was changed since and of new files, when there is any.

    Parameters
    ----------
    but : str, optional
        A file that does not count.

    Raises
    ------
    SystemExit
        Git refuses; with its message.
    """

    def git(*words: str) -> bytes:
        ran = subprocess.run(["git", *words], cwd=root, capture_output=True)
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip()
            raise SystemExit(f"cannot tell which commit {root} is at: git {words[0]}: {said}")
        return ran.stdout

    commit = git("rev-parse", "--short=12", "HEAD").decode().strip()
    paths = ("--", ".", *([f":!{but}"] if but else []))
    changes = git("diff", "--binary", "HEAD", *paths)
    for name in git("ls-files", "-z", "--others", "--exclude-standard", *paths).split(b"\0"):
        path = root / name.decode(errors="surrogateescape")
        if path.is_file():
            with path.open("rb") as file:
                changes += name + hashlib.file_digest(file, "sha256").digest()
    return f"{commit}+{hashlib.sha256(changes).hexdigest()[:8]}" if changes else commit
