"""Philips: diffusion, scale, volumes and slices of MR; scale of PET.

Source: Philips' conformance statements; dcm2niix, nii_dicom.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medgrid.images.private.values import DIRECTIONALITY, Items, Kept, Numbers, Words

__all__ = ["ELEMENTS"]

_COUNT: Final = (0, 100_000)
_SCALE: Final = (-1e12, 1e12)
_UNIT: Final = (-1.01, 1.01)

_MR: Final[Mapping[int, Kept]] = {
    0x20050D: Numbers("FL", *_SCALE),  # scale intercept
    0x20050E: Numbers("FL", *_SCALE),  # scale slope
    0x200530: Numbers("FL", 0, 1e6, most=2),  # repetition times
    0x200563: Numbers("SS", -1, 32_767),  # volume of a functional series
    0x2005A0: Numbers("FL", -1, 1e6),  # begin of the dynamic scan, seconds
    0x2005B0: Numbers("FL", *_UNIT),  # diffusion direction, right to left
    0x2005B1: Numbers("FL", *_UNIT),
    0x2005B2: Numbers("FL", *_UNIT),
}

ELEMENTS: Final[Mapping[str, Mapping[int, Kept]]] = {
    "Philips PET Private Group": {
        0x705300: Numbers("DS", *_SCALE),  # SUV
        0x705309: Numbers("DS", *_SCALE),  # activity per count
    },
    "Philips Imaging DD 001": {
        0x200103: Numbers("FL", 0, 1e5),  # b-value
        0x200104: DIRECTIONALITY,
        0x200108: Numbers("IS", *_COUNT),  # phase
        0x20010A: Numbers("IS", *_COUNT),  # slice
        0x200113: Numbers("SL", *_COUNT),  # EPI factor
        0x200118: Numbers("SL", *_COUNT),  # number of slices
        0x200119: Words(("Y", "N")),  # whether part of the matrix was scanned
        0x20011B: Numbers("FL", -1, 1e5),  # delay after the prepulse, milliseconds
        0x20011C: Words(("NO", "INV", "SAT", "T2", "MTC")),  # its kind
        0x200122: Numbers("FL", 0, 10_000),  # shift of fat by water, pixels
        0x20015F: Items(),  # the stack of slices
        0x200181: Numbers("IS", *_COUNT),  # number of dynamic scans
    },
    "Philips MR Imaging DD 001": _MR,
    "PHILIPS MR IMAGING DD 001": _MR,
    "Philips MR Imaging DD 005": {
        0x20050E: Items(),  # what is of all frames
        0x20050F: Items(),  # what is of one frame
        0x200512: Numbers("IS", *_COUNT),  # number of the b-value
        0x200513: Numbers("IS", *_COUNT),  # number of the gradient direction
        0x200529: Words(("LABEL", "CONTROL")),
        0x20053C: Numbers("FL", -10_000, 10_000),  # position of the table
    },
    "Philips MR Imaging DD 006": {0x200596: Numbers("IS", *_COUNT)},  # diffusion volume
}
