"""What is imported and its de-identified twin: both made in one pass over the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from medgrid.catalog.attributes import GEOMETRY_COMPLETE
from medgrid.images.derive import NoDerivative
from medgrid.images.derive_series import Lack, SeriesPass
from medgrid.images.nifti import VolumeDerivative
from medgrid.images.pack import SERIES_FILENAME, Member, Part, packed
from medgrid.model import ORIGINAL_SUFFIX, PACKED_SUFFIX, Review
from medgrid.storage.base import read_chunks

__all__ = [
    "ORIGINAL_SUFFIX",
    "VOLUME_FILENAME",
    "Lack",
    "NoDerivative",
    "Pass",
    "Piece",
    "beside_parts",
    "packed_pass",
    "series_pass",
    "volume_pass",
]

Piece = tuple[bytes, bytes | NoDerivative]
"""Bytes of an original and of its twin; NoDerivative says that there is no twin."""

VOLUME_FILENAME = "image.nii.gz"
_SPOOL_BYTES = 16 * 1024 * 1024  # in memory


@dataclass(frozen=True, slots=True)
class Pass:
    """Reads what is imported once.

    `pieces` gives the bytes of the original beside those of its twin, which research may see and
    whose file is called `filename`. When all were read, `review` says whether a person must look
    at the twin, `attributes` what the twin's metadata say besides, and `lack` why there is none.
    `image_sha256` is that of an image without its companions, empty when it has none.
    """

    filename: str
    pieces: Callable[[], Iterator[Piece]]
    review: Callable[[], Review]
    attributes: Callable[[], Mapping[str, str]] = dict
    lack: Callable[[], Lack | None] = lambda: None
    image_sha256: Callable[[], str] = str


def series_pass(found: SeriesPass) -> Pass:
    """Pack a series, and de-identify it meanwhile."""
    return Pass(
        SERIES_FILENAME,
        found.pieces,
        lambda: Review.NEEDED if found.review else Review.NONE,
        lambda: {} if found.is_complete else {GEOMETRY_COMPLETE: "no"},
        lambda: found.lack,
    )


def volume_pass(file: Member, review: str) -> Pass:
    """Rebuild a NIfTI file without any text while it is read; `review` says why to look at it.

    The pieces end in a ValueError when it is no whole NIfTI file.
    """

    def pieces() -> Iterator[Piece]:
        derived = VolumeDerivative()
        for chunk in file.chunks():
            yield chunk, b""
            yield from ((b"", clean) for clean in derived(chunk))
        yield b"", derived.end()

    needed = Review.NEEDED if review else Review.NONE
    return Pass(VOLUME_FILENAME, pieces, lambda: needed)


def packed_pass(
    file: Member,
    filename: str,
    review: str,
    originals: Mapping[str, bytes],
    twins: Mapping[str, bytes],
    cache: Path,
) -> Pass:
    """Do what `volume_pass` does with a file that has companions, and pack them with it.

    Parameters
    ----------
    file : Member
    filename : str
        What it is called in its tar.
    review : str
        Why a person must look at it.
    originals, twins : mapping of str to bytes
        Content of the companions by name.
    cache : Path
        Folder for a file without a name: a tar says how large the twin is before it comes.
    """

    digest = hashlib.sha256()

    def pieces() -> Iterator[Piece]:
        with SpooledTemporaryFile(_SPOOL_BYTES, dir=str(cache)) as spooled:
            spool = cast(BinaryIO, spooled)

            def read() -> Iterator[bytes]:
                derived = VolumeDerivative()
                for chunk in file.chunks():
                    spool.writelines(derived(chunk))
                    digest.update(chunk)
                    yield chunk
                spool.write(derived.end())

            image = Part(filename, file.stamp.size_bytes, read)
            for chunk in packed([image, *beside_parts(originals)]):
                yield chunk, b""
            size_bytes = spool.tell()
            spool.seek(0)
            twin = Part(VOLUME_FILENAME, size_bytes, lambda: read_chunks(spool))
            clean = packed([twin, *beside_parts(twins)]) if twins else twin.chunks()
            yield from ((b"", chunk) for chunk in clean)

    made = volume_pass(file, review)
    name = VOLUME_FILENAME + PACKED_SUFFIX * bool(twins)
    return replace(made, filename=name, pieces=pieces, image_sha256=digest.hexdigest)


def beside_parts(contents: Mapping[str, bytes]) -> list[Part]:
    """Companions as they lie behind their image in a tar."""
    return [Part.of(name, content) for name, content in sorted(contents.items())]
