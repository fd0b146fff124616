"""Files of JSON lines that outlive their writers, who may be killed in the middle of a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["append", "read"]


def append(file: Path, told: object) -> None:
    """Add a line that stays; on a line of its own, also after one that was not finished."""
    with file.open("a+b") as lines:
        if lines.tell():
            lines.seek(-1, os.SEEK_END)
            if lines.read(1) != b"\n":
                lines.write(b"\n")
        lines.write(json.dumps(told).encode() + b"\n")
        lines.flush()
        os.fsync(lines.fileno())


def read(file: Path) -> Iterator[Any]:
    """All that the finished lines of a file say; nothing when there is no file."""
    if file.exists():
        with file.open("rb") as lines:
            for line in lines:
                try:
                    told = json.loads(line)
                except ValueError:  # not finished
                    continue
                yield told
