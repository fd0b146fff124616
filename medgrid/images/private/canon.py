"""Canon and Toshiba: the direction of diffusion weighting, in a comment.

Source: https://github.com/neurolabusc/dcm_qa_canon.
"""

from __future__ import annotations

import re
from typing import Final

from medgrid.images.private.values import IsClean, fitted, number_text

__all__ = ["IMAGE_COMMENTS", "direction"]

IMAGE_COMMENTS: Final = 0x00204000
"""Tag of the public element that holds it, and else text that people wrote."""

_COMMENT: Final = re.compile(r"b=(\d{1,5})\(([-.\d]{1,12}),([-.\d]{1,12}),([-.\d]{1,12})\) *")
_MAX_B_VALUE: Final = 100_000


def direction(comment: str, is_clean: IsClean) -> bytes | None:
    """A b-value and the components of its direction, and nothing else; None for another comment."""
    found = _COMMENT.fullmatch(comment.strip())
    if found is None:
        return None
    try:
        parts = [fitted(float(one), -1.01, 1.01, is_clean) for one in found.groups()[1:]]
    except ValueError:
        return None
    weight = fitted(float(found[1]), 0, _MAX_B_VALUE, is_clean)
    if weight is None or None in parts:
        return None
    texts = [number_text(one) for one in parts if one is not None]
    return f"b={number_text(weight)}({','.join(texts)})".encode("ascii")
