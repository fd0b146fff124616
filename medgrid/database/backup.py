"""A copy of an SQLite file, beside it, before it is upgraded.

Where a link leads to the file, that is beside the file: its log lies there, too, and its disk may
be an encrypted one.
"""

from __future__ import annotations

import errno
import glob
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from medgrid.config import sync_folder
from medgrid.database.connections import Database, DatabaseFull
from medgrid.errors import ConfigError, Unreachable

__all__ = ["back_up", "copies_of"]


def copies_of(db: Database) -> tuple[Path, ...]:
    """Copies of an SQLite file that upgrades left beside it, also unfinished ones."""
    if db.path is None:
        return ()
    file = db.path.resolve()
    return tuple(sorted(file.parent.glob(f"{glob.escape(file.name)}.schema-*")))


def back_up(db: Database, path: Path, revision: str) -> Path:
    """Copy the database at `path`, which has schema `revision`, and return the copy's path.

    The copy has all that was committed, also what is still in the write-ahead log. It appears under
    its name when it is whole and on the disk, and takes the place of an older copy of the same
    schema. It is for those that the file is for; where this user may not give it to them, for this
    user alone.

    Raises
    ------
    ConfigError
        The directory cannot be written.
    DatabaseFull
        The disk is full; the part that was written is gone.
    """
    file = path.resolve()
    kept = file.with_name(f"{file.name}.schema-{revision}")
    part = kept.with_name(f"{kept.name}.part")
    try:
        try:
            part.unlink(missing_ok=True)
            # all is done to the file that was made here, whoever else may write the directory
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                _copy(db, part)
                _give(made, file.stat())
                os.fsync(made)
            finally:
                os.close(made)
            part.replace(kept)
            sync_folder(kept.parent)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DatabaseFull(
                f"the {db.what} {db.name} cannot be copied: the disk is full",
                hint="free some space; nothing was changed",
            ) from error
        raise ConfigError(
            f"the {db.what} {db.name} cannot be copied: {error.strerror}",
            hint="check the directory and its permissions; nothing was changed",
        ) from error
    return kept


def _copy(db: Database, part: Path) -> None:
    with db.connect() as connection:
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)  # noqa: S101 - for the type checker
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            # the file has its final name when it is whole: until then nothing is to be undone
            target.execute("PRAGMA journal_mode=OFF")
            target.execute("PRAGMA synchronous=OFF")
            try:
                source.backup(target)
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code == sqlite3.SQLITE_FULL:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
                raise Unreachable(
                    f"the {db.what} {db.name} cannot be copied: the disk reports an error",
                    hint="see whether it has space left, and whether it is healthy; nothing was "
                    "changed",
                ) from error


def _give(made: int, of_file: os.stat_result) -> None:
    """Let a file have the owner, the group and then the mode of another, or stay as it is."""
    with suppress(PermissionError):
        os.fchown(made, of_file.st_uid, of_file.st_gid)
        os.fchmod(made, of_file.st_mode & 0o666)
