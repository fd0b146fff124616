"""A picture as a PNG file.

Source: W3C Portable Network Graphics (third edition), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["png"]

_GRAY, _RGB = 0, 2


def png(picture: NDArray[np.uint8]) -> bytes:
    """Encode a picture.

    Parameters
    ----------
    picture : (rows, columns) or (rows, columns, 3) uint8
        Gray, or red, green and blue.
    """
    import numpy as np

    rows, columns = picture.shape[:2]
    kind = _GRAY if picture.ndim == 2 else _RGB
    lines: Any = np.ascontiguousarray(picture).reshape(rows, -1)
    filtered = np.hstack([np.zeros((rows, 1), np.uint8), lines])  # filter type 0 of each line
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
