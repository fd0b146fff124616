"""The de-identified twin of what is imported: made beside it, of the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medgrid.images.derive import NoDerivative
from medgrid.images.derive_series import SeriesDerivative
from medgrid.images.nifti import derive_volume
from medgrid.images.pack import SERIES_FILENAME, FileStamp, Member, open_unchanged
from medgrid.images.patient import PatientKeys
from medgrid.images.review import volume_review_reason
from medgrid.model import Review

__all__ = ["ORIGINAL_SUFFIX", "NoDerivative", "Twin", "series_twin", "volume_twin"]

ORIGINAL_SUFFIX = ".original"
"""Ends the LFN of the bytes as they came; without it, that of their de-identified twin."""

_VOLUME_FILENAME = "image.nii.gz"


@dataclass(frozen=True, slots=True)
class Twin:
    """What research may see of an imported object.

    `chunks` gives its bytes, or raises `NoDerivative`; `review` says, when they were read, whether
    a person must look at them.
    """

    filename: str
    chunks: Callable[[], Iterable[bytes]]
    review: Callable[[], Review]


def series_twin(members: Sequence[Member], keys: PatientKeys) -> Twin:
    """De-identify a series while it is read."""
    found = SeriesDerivative(members, keys)
    return Twin(
        SERIES_FILENAME,
        found.chunks,
        lambda: Review.NEEDED if found.review else Review.NONE,
    )


def volume_twin(path: str, stamp: FileStamp, attributes: Mapping[str, Any]) -> Twin:
    """Rebuild a NIfTI file without any text while it is read; `attributes` are its metadata."""

    def chunks() -> Iterator[bytes]:
        with open_unchanged(path, stamp) as stream:
            yield from derive_volume(stream)

    review = Review.NEEDED if volume_review_reason(attributes) else Review.NONE
    return Twin(_VOLUME_FILENAME, chunks, lambda: review)
