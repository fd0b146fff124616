"""Numbers that vendors keep in private elements and without which an image says something else.

Diffusion weighting, the slices of a mosaic and their times, the scale of PET counts. They are read
and written anew, so that nothing but numbers of a known range and words of a list remains.
Everything else that is private is dropped.

Sources: DICOM PS3.15 annex E.3.10 (Retain Safe Private), the conformance statements of Siemens,
Philips, GE, Elscint and United Imaging, and what dcm2niix reads. Each vendor has a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medgrid.images.private import ge, others, philips, siemens
from medgrid.images.private.values import Kept

__all__ = ["SAFE_PRIVATE"]

SAFE_PRIVATE: Final[Mapping[str, Mapping[int, Kept]]] = {
    **siemens.ELEMENTS,
    **ge.ELEMENTS,
    **philips.ELEMENTS,
    **others.ELEMENTS,
}
"""Creator -> group and last byte of the tag -> how it is kept."""
