"""The folder of code that goes with a descriptor, as one tar that is always the same bytes."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from medgrid.errors import ConfigError

__all__ = ["MAX_BUNDLE_BYTES", "pack_folder", "write_tar"]

MAX_BUNDLE_BYTES = 256 * 1024 * 1024

_LEFT_OUT = {".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def pack_folder(folder: Path) -> bytes:
    """Pack a folder of code.

    Version control, caches and ``*.pyc`` are left out. A symbolic link is packed as the file it
    leads to, which must lie in the folder.

    Returns
    -------
    bytes
        A tar whose bytes depend on names, contents and execute bits only.

    Raises
    ------
    ConfigError
        It is no folder, holds no file, a link that leads out, something that is neither file nor
        folder, or more than `MAX_BUNDLE_BYTES`.
    """
    if not folder.is_dir():
        raise ConfigError(f"the bundle {folder} is not a folder")
    root = folder.resolve()
    members: dict[str, tuple[Path, bool]] = {}
    size_bytes = 0
    for place, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        here = Path(place)
        for name in folders:
            if (here / name).is_symlink():
                raise ConfigError(
                    f"the bundle {folder} holds {_below(here / name, root)!r}, "
                    "a symbolic link to a folder",
                    hint="put the folder itself there",
                )
        for name in sorted(files):
            path = here / name
            relative = _below(path, root)
            if name in _LEFT_OUT or name.endswith((".pyc", "~")):
                continue
            real = path.resolve()
            if not real.is_relative_to(root):
                raise ConfigError(
                    f"the bundle {folder} holds {relative!r}, a symbolic link that leads out of it",
                    hint="put the file itself there",
                )
            if not real.is_file():
                raise ConfigError(f"the bundle {folder} holds {relative!r}, which is no file")
            status = real.stat()
            size_bytes += status.st_size
            if size_bytes > MAX_BUNDLE_BYTES:
                raise ConfigError(
                    f"the bundle {folder} is larger than {MAX_BUNDLE_BYTES // 2**20} MiB",
                    hint="give large data as an input of the algorithm",
                )
            members[relative] = (real, bool(status.st_mode & 0o100))
    if not members:
        raise ConfigError(f"the bundle {folder} holds no file")
    buffer = io.BytesIO()
    try:
        write_tar(buffer, members)
    except OSError as exc:
        reason = (exc.strerror or "a file changed meanwhile").lower()
        raise ConfigError(f"the bundle {folder} cannot be read: {reason}") from exc
    return buffer.getvalue()


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def write_tar(stream: IO[bytes], members: Mapping[str, tuple[Path, bool]]) -> None:
    """Write files as a tar: by name (path, executable), sorted, without times and owners."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            path, executable = members[name]
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if executable else 0o644
            with path.open("rb") as content:
                entry.size = os.fstat(content.fileno()).st_size
                tar.addfile(entry, content)
