"""Files of this host that are to become objects: what they are, their bytes."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgrid.actions.files import local_error
from medgrid.errors import IntegrityError, UsageError
from medgrid.model import ObjectKind
from medgrid.storage.base import read_chunks

__all__ = ["LocalFile", "look_at"]

_TABLES = (".csv", ".tsv", ".json")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")
_DICOM_MAGIC_AT = 128


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, as it was when it was looked at."""

    path: Path
    kind: ObjectKind
    filename: str  # neutral
    stamp: tuple[int, int, int]  # inode, size in bytes, mtime in ns
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def chunks(self) -> Iterator[bytes]:
        """Bytes of the file.

        Raises
        ------
        IntegrityError
            It is not the file any more that was looked at.
        MedgridError
            It cannot be read.
        """
        try:
            with self.path.open("rb", buffering=0) as stream:
                yield from read_chunks(stream)
                if _stamp(os.fstat(stream.fileno())) != self.stamp:
                    raise IntegrityError(f"{self.path}: changed while it was read")
        except OSError as exc:
            raise local_error(exc, self.path, "read") from exc


def look_at(path: Path) -> LocalFile:
    """Say what a file is, by its extension; the header of a NIfTI file is read.

    Raises
    ------
    UsageError
        It is no file, or a DICOM file.
    IntegrityError
        It is called a NIfTI file and is none, or not a whole one.
    MedgridError
        It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path} is not a file")
            head = stream.read(_DICOM_MAGIC_AT + 4)
            name = path.name.lower()
            if head[_DICOM_MAGIC_AT:] == b"DICM" or name.endswith(".dcm"):
                raise UsageError(
                    f"{path} is a DICOM file",
                    hint="bring it in with 'medgrid import', which packs series and removes names",
                )
            stream.seek(0)
            attributes: Mapping[str, Any] = {}
            if name.endswith((".nii", ".nii.gz")):
                from medgrid.images.nifti import geometry

                compressed = name.endswith(".gz")
                kind, filename = ObjectKind.VOLUME, "image.nii.gz" if compressed else "image.nii"
                attributes = geometry(stream, found.st_size, compressed=compressed)
            elif name.endswith(_TABLES):
                kind, filename = ObjectKind.TABLE, f"table{path.suffix.lower()}"
            else:
                suffix = path.suffix if _SUFFIX.fullmatch(path.suffix) else ""
                kind, filename = ObjectKind.FILE, f"file{suffix}"
    except IsADirectoryError:
        raise UsageError(
            f"{path} is a folder", hint="name files; folders of images: 'medgrid import'"
        ) from None
    except OSError as exc:
        raise local_error(exc, path, "read") from exc
    except ValueError as exc:
        raise IntegrityError(f"{path} is not a usable NIfTI file: {exc}") from exc
    return LocalFile(path, kind, filename, _stamp(found), attributes)


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns
