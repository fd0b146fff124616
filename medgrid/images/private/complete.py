"""Whether an image without its private elements still says where it lies and how it was weighted.

A mosaic does not without the number of its slices and their normal, a grid of frames not without
the frames' places, a diffusion-weighted image not without the direction. Traces and maps, which are
of all directions, have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from medgrid.images.private.canon import IMAGE_COMMENTS
from medgrid.images.private.ge import BIAS as GE_BIAS
from medgrid.images.private.siemens import CSA_IMAGE, csa_tags

__all__ = ["is_complete"]

Private = Mapping[tuple[str, int], bytes]
"""Values of private elements that are kept, by creator and group and last byte of the tag."""

_DIFFUSION_B_VALUE: Final = 0x00189087
_DIRECTIONS: Final = (0x00189089, 0x00189076, IMAGE_COMMENTS)
_SIEMENS: Final = "SIEMENS MR HEADER"
_UIH: Final = "Image Private Header"
_B_VALUES: Final = (
    (_SIEMENS, 0x00190C),
    ("GEMS_PARM_01", 0x004339),
    ("Philips Imaging DD 001", 0x200103),
    (_UIH, 0x006509),
)
_PRIVATE_DIRECTIONS: Final = (
    (_SIEMENS, 0x00190E),
    ("GEMS_ACQU_01", 0x0019BB),
    ("Philips MR Imaging DD 001", 0x2005B0),
    ("PHILIPS MR IMAGING DD 001", 0x2005B0),
    (_UIH, 0x006537),
)
_OF_ALL_DIRECTIONS: Final = frozenset(
    "TRACEW TRACE ADC FA COLFA TENSOR TENSOR_B0 ISOTROPIC CALC_BVALUE EADC".split()  # noqa: SIM905
)
_UNDIRECTED: Final = (b"ISOTROPIC", b"NONE", b"I")


def is_complete(image_type: str, public: Mapping[int, bytes], private: Private) -> bool:
    """Whether an image's elements that stay are enough.

    Parameters
    ----------
    image_type : str
        Value of ImageType.
    public, private : mapping
        Values of the elements that stay.
    """
    words = set(image_type.split("\\"))
    csa = csa_tags(private[CSA_IMAGE]) if CSA_IMAGE in private else {}
    if "MOSAIC" in words and not csa.keys() >= {"NumberOfImagesInMosaic", "SliceNormalVector"}:
        return False
    if "VFRAME" in words and not private.keys() >= {(_UIH, 0x006550), (_UIH, 0x006551)}:
        return False
    return (
        not _is_weighted(public, private, csa)
        or "DiffusionGradientDirection" in csa
        or bool(words & _OF_ALL_DIRECTIONS)
        or any(tag in public for tag in _DIRECTIONS)
        or any(one in private for one in _PRIVATE_DIRECTIONS)
        or private.get((_SIEMENS, 0x00190D)) in _UNDIRECTED
        or private.get(("Philips Imaging DD 001", 0x200104)) in _UNDIRECTED
    )


def _is_weighted(
    public: Mapping[int, bytes], private: Private, csa: Mapping[str, list[float]]
) -> bool:
    """Whether some b-value is not zero."""
    values = [public.get(_DIFFUSION_B_VALUE, b""), *(private.get(one, b"") for one in _B_VALUES)]
    return any(map(_is_weight, values)) or any(csa.get("B_value", ()))


def _is_weight(value: bytes) -> bool:
    """Whether a b-value, as text or as a number's bytes, is not zero."""
    first = value.partition(b"\\")[0]
    return int(first) % GE_BIAS > 0 if first.isdigit() else any(value)
