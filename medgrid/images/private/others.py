"""United Imaging, and Elscint's CT, of which few numbers are needed.

Source: the conformance statements; https://github.com/neurolabusc/dcm_qa_uih.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from medgrid.images.private.values import (
    IsClean,
    Items,
    Kept,
    Numbers,
    Rebuilt,
    fitted,
    number_text,
)

__all__ = ["ELEMENTS"]

_FACTOR: Final = re.compile(r"F:(\d{1,2}(?:\.\d{1,4})?)[A-Z]{0,2} *")


def _factor(data: bytes, is_clean: IsClean) -> bytes | None:
    """How many times fewer lines were measured than the image has: ``F:2S``."""
    found = _FACTOR.fullmatch(data.decode("ascii").strip("\0 "))
    value = fitted(float(found[1]), 0, 64, is_clean) if found else None
    return None if value is None else f"F:{number_text(value)}".encode("ascii")


_CT: Final = Numbers("DS", -1e5, 1e5)

ELEMENTS: Final[Mapping[str, Mapping[int, Kept]]] = {
    "ELSCINT1": {0x00E121: _CT, 0x00E150: _CT, 0x01F107: _CT, 0x01F126: _CT, 0x01F127: _CT},
    "Image Private Header": {  # United Imaging, as Siemens'
        0x006509: Numbers("FD", 0, 1e5),  # b-value
        0x00650D: Rebuilt(_factor, "SH"),
        0x006537: Numbers("FD", -1.01, 1.01, most=3),  # diffusion direction
        0x006550: Numbers("DS", 0, 4096),  # images in the grid
        0x006551: Items(),  # place and time of each of them
        0x006558: Numbers("IS", 0, 1),  # whether phase encoding goes forward
    },
}
