"""Which images a person must look at before others than the care team may: text in the pixels.

Nothing here reads pixels. What is not known to be free of text is held back: only slices of
scanners pass without a word, radiographs when they say themselves that nothing is burned in, and
all else waits for a look.

Sources: DICOM PS3.15 annex E.3.1 (Clean Pixel Data), PS3.3 C.7.6.1.1.2 (Image Type) and C.8.6.1 (SC
Equipment).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from medgrid.images.deidentify import first_value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["review_reason", "volume_review_reason"]

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


def review_reason(ds: Dataset) -> str:
    """Say why a person must look at the pixels of an instance first; empty: nobody need.

    Parameters
    ----------
    ds : pydicom.dataset.Dataset
        Its whole header, as the device wrote it.
    """

    def value(keyword: str) -> str:
        return first_value(ds, keyword)

    modality = value("Modality").strip().upper()
    if reason := _at_once(value):
        return reason
    if _has_embedded_overlay(ds):
        return "an overlay lies in unused bits of the pixels"
    if modality in _COMPUTED:
        return ""
    if modality not in _SLICES | _DECLARED:
        return f"modality {modality}" if modality.isalnum() and len(modality) < 9 else "no modality"
    if _is_screen(value):
        return "a saved screen, report or label"
    if modality in _DECLARED:
        has_said = value("BurnedInAnnotation").strip()
        return "" if has_said else f"modality {modality}, and it does not say what it shows"
    if value("PhotometricInterpretation").startswith(_COLOUR):
        return "a colour picture of a scanner"
    return "" if value("ImageType") else "no ImageType"


def volume_review_reason(attributes: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """Say why a person must look at a NIfTI volume first; empty: nobody need.

    Colours and single slices of no known scanner may be photographs or saved screens.

    Parameters
    ----------
    attributes : mapping
        What is known of it.
    fields : mapping
        Its side-car, as somebody wrote it.
    """

    def value(keyword: str) -> str:
        return str(fields.get(keyword) or "")

    if reason := _at_once(value):
        return reason
    modality = str(attributes.get("Modality", ""))
    if modality and modality not in _SLICES | _COMPUTED:
        return f"modality {modality}"
    if _is_screen(value) and modality not in _COMPUTED:
        return "a saved screen, report or label"
    if str(attributes.get("VoxelType", "")).startswith("void"):
        return "a colour picture"
    if not modality and attributes.get("NumberOfSlices") == 1:
        return "a single picture of no known modality"
    return ""


def _at_once(value: Callable[[str], str]) -> str:
    """What a header or side-car says by itself of text in the pixels."""
    if value("BurnedInAnnotation").strip().upper() not in ("", "NO"):
        return "text is burned in"
    sop_class = value("SOPClassUID").strip("\0 ")
    if sop_class == _SECONDARY_CAPTURE or sop_class.startswith(f"{_SECONDARY_CAPTURE}."):
        return "a secondary capture"
    return "a converted picture" if value("ConversionType") else ""


def _is_screen(value: Callable[[str], str]) -> bool:
    return any(_SCREEN.search(value(keyword)) for keyword in ("ImageType", "SeriesDescription"))


def _has_embedded_overlay(ds: Dataset) -> bool:
    """Whether a graphic lies in bits of the pixel data (PS3.5 8.1.2, retired)."""
    return any(
        (group, 0x0102) in ds and (group, 0x3000) not in ds for group in range(0x6000, 0x6020, 2)
    )
