"""What is imported and its de-identified twin: both made in one pass over the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medgrid.catalog.attributes import GEOMETRY_COMPLETE
from medgrid.images.derive import NoDerivative
from medgrid.images.derive_series import SeriesPass
from medgrid.images.nifti import VolumeDerivative
from medgrid.images.pack import SERIES_FILENAME, Member
from medgrid.images.review import volume_review_reason
from medgrid.model import Review

__all__ = ["ORIGINAL_SUFFIX", "NoDerivative", "Pass", "Piece", "series_pass", "volume_pass"]

ORIGINAL_SUFFIX = ".original"
"""Ends the LFN of the bytes as they came; without it, that of their de-identified twin."""

Piece = tuple[bytes, bytes | NoDerivative]
"""Bytes of an original and of its twin; NoDerivative says that there is no twin."""

_VOLUME_FILENAME = "image.nii.gz"


@dataclass(frozen=True, slots=True)
class Pass:
    """Reads what is imported once.

    `pieces` gives the bytes of the original beside those of its twin, which research may see and
    whose file is called `filename`. When all were read, `review` says whether a person must look
    at the twin, and `attributes` what the twin's metadata say besides.
    """

    filename: str
    pieces: Callable[[], Iterator[Piece]]
    review: Callable[[], Review]
    attributes: Callable[[], Mapping[str, str]] = dict


def series_pass(found: SeriesPass) -> Pass:
    """Pack a series, and de-identify it meanwhile."""
    return Pass(
        SERIES_FILENAME,
        found.pieces,
        lambda: Review.NEEDED if found.review else Review.NONE,
        lambda: {} if found.is_complete else {GEOMETRY_COMPLETE: "no"},
    )


def volume_pass(file: Member, attributes: Mapping[str, Any]) -> Pass:
    """Rebuild a NIfTI file without any text while it is read; `attributes` are its metadata.

    The pieces end in a ValueError when it is no whole NIfTI file.
    """

    def pieces() -> Iterator[Piece]:
        derived = VolumeDerivative()
        for chunk in file.chunks():
            yield chunk, b""
            yield from ((b"", clean) for clean in derived(chunk))
        yield b"", derived.end()

    review = Review.NEEDED if volume_review_reason(attributes) else Review.NONE
    return Pass(_VOLUME_FILENAME, pieces, lambda: review)
