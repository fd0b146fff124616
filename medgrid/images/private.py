"""Numbers that vendors keep in private elements and without which an image says something else.

Diffusion weighting, the slices of a mosaic, the scale of PET counts. Everything else that is
private is dropped.

Sources: DICOM PS3.15 annex E.3.10 (Retain Safe Private) and the conformance statements of Siemens,
Philips, GE, Elscint and United Imaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["DIRECTIONS", "SAFE_PRIVATE"]

_SIEMENS: Final = {
    0x00190A: "US",  # NumberOfImagesInMosaic
    0x00190B: "DS",  # SliceMeasurementDuration
    0x00190C: "IS",  # B_value
    0x00190D: "CS",  # DiffusionDirectionality
    0x00190E: "FD",  # DiffusionGradientDirection
    0x001927: "FD",  # B_matrix
    0x001928: "FD",  # BandwidthPerPixelPhaseEncode
    0x001929: "FD",  # MosaicRefAcqTimes
}
_PHILIPS_MR: Final = {
    0x20050D: "FL",  # scale intercept
    0x20050E: "FL",  # scale slope
    0x2005B0: "FL",  # diffusion direction, right to left
    0x2005B1: "FL",
    0x2005B2: "FL",
}

SAFE_PRIVATE: Final[Mapping[str, Mapping[int, str]]] = {
    "SIEMENS MR HEADER": _SIEMENS,
    "SIEMENS MR SDI 02": {0x00211C: "IS"},  # PhaseEncodingDirectionPositive
    "Philips PET Private Group": {0x705300: "DS", 0x705309: "DS"},  # SUV, activity per count
    "Philips Imaging DD 001": {0x200103: "FL", 0x200104: "CS"},  # b-value, its direction
    "Philips MR Imaging DD 001": _PHILIPS_MR,
    "PHILIPS MR IMAGING DD 001": _PHILIPS_MR,
    "GEMS_ACQU_01": {
        0x001923: "DS",  # table speed
        0x001924: "DS",  # mid scan time
        0x001927: "DS",  # rotation speed
        0x0019BB: "DS",  # diffusion direction
        0x0019BC: "DS",
        0x0019BD: "DS",
        0x0019E0: "DS",  # number of diffusion directions
    },
    "GEMS_PARM_01": {0x00432F: "SS", 0x004339: "IS"},  # magnitude or phase, b-value
    "GEMS_SERS_01": {0x002507: "SL"},  # images in the series
    "GEMS_HELIOS_01": {0x004501: "SS", 0x004502: "FL"},  # rows of the detector, their width
    "ELSCINT1": {0x00E121: "DS", 0x00E150: "DS", 0x01F107: "DS", 0x01F126: "DS", 0x01F127: "DS"},
    "Image Private Header": {0x006509: "FD", 0x006537: "FD", 0x006550: "DS"},  # as Siemens'
}
"""Creator -> group and last byte of the tag -> value representation; all but CS are numbers."""

DIRECTIONS: Final = frozenset(
    "NONE DIRECTIONAL ISOTROPIC BMATRIX BIPOLAR I S P O M R L A H F".split()  # noqa: SIM905
)
"""The only words that are kept of them."""
