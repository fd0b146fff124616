"""Which images a person must look at before others than the care team may: text in the pixels.

Nothing here reads pixels. What is not known to be free of text is held back: only slices of
scanners pass without a word, radiographs when they say themselves that nothing is burned in, and
all else waits for a look.

Sources: DICOM PS3.15 annex E.3.1 (Clean Pixel Data), PS3.3 C.7.6.1.1.2 (Image Type) and C.8.6.1 (SC
Equipment).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from medgrid.images.deidentify import first_value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["needs_review", "review_reason", "volume_review_reason"]

_SLICES: Final = frozenset(("MR", "CT", "PT", "NM"))
"""Scanners reconstruct these; text gets into them by saving a screen alone."""

_COMPUTED: Final = frozenset(("SEG", "RTDOSE"))
"""Values of a program, never a picture."""

_DECLARED: Final = frozenset(
    ("CR", "DX", "MG", "IO", "PX", "RTIMAGE", "OCT", "OP", "OPT", "IVOCT", "BMD", "SM")
)
"""Devices that sometimes write into their pictures and must say whether they did."""

_SCREEN: Final = re.compile(
    r"SCREEN|\bSAVE\b|CAPTURE|PROTOCOL|\bPROT\b|DOSE|REPORT|\bLABEL\b|OVERVIEW|SUMMARY|SNAPSHOT",
    re.IGNORECASE,
)
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_COLOUR: Final = ("RGB", "PALETTE COLOR", "YBR", "ARGB", "HSV", "CMYK")


def needs_review(ds: Dataset) -> bool:
    """Whether a person must look at the pixels before others may."""
    return bool(review_reason(ds))


def review_reason(ds: Dataset) -> str:
    """Say why a person must look at the pixels of an instance first; empty: nobody need.

    Parameters
    ----------
    ds : pydicom.dataset.Dataset
        Its whole header, as the device wrote it.
    """
    modality = first_value(ds, "Modality").strip().upper()
    burned = first_value(ds, "BurnedInAnnotation").strip().upper()
    if burned not in ("", "NO"):
        return "text is burned in"
    sop_class = first_value(ds, "SOPClassUID").strip("\0 ")
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}."):
        return "a secondary capture"
    if first_value(ds, "ConversionType"):
        return "a converted picture"
    if _has_embedded_overlay(ds):
        return "an overlay lies in unused bits of the pixels"
    if modality in _COMPUTED:
        return ""
    if modality not in _SLICES | _DECLARED:
        return f"modality {modality}" if modality.isalnum() and len(modality) < 9 else "no modality"
    image_type = first_value(ds, "ImageType")
    if _SCREEN.search(image_type) or _SCREEN.search(first_value(ds, "SeriesDescription")):
        return "a saved screen, report or label"
    if modality in _DECLARED:
        return "" if burned == "NO" else f"modality {modality}, and it does not say what it shows"
    if first_value(ds, "PhotometricInterpretation").startswith(_COLOUR):
        return "a colour picture of a scanner"
    return "" if image_type else "no ImageType"


def volume_review_reason(attributes: Mapping[str, Any]) -> str:
    """Say why a person must look at a NIfTI volume first, from its attributes; empty: nobody need.

    Colours and single slices of no known scanner may be photographs or saved screens.
    """
    modality = str(attributes.get("Modality", ""))
    if modality and modality not in _SLICES | _COMPUTED:
        return f"modality {modality}"
    if str(attributes.get("VoxelType", "")).startswith("void"):
        return "a colour picture"
    if not modality and attributes.get("NumberOfSlices") == 1:
        return "a single picture of no known modality"
    return ""


def _has_embedded_overlay(ds: Dataset) -> bool:
    """Whether a graphic lies in bits of the pixel data (PS3.5 8.1.2, retired)."""
    return any(
        (group, 0x0102) in ds and (group, 0x3000) not in ds for group in range(0x6000, 0x6020, 2)
    )
