"""Which voxels of an image are of the face, those included that the scanner put elsewhere.

What lies beyond the field of view appears at its other side (it is wrapped): the tip of a nose
behind the head. Where a face leaves the image, its wrapped part is removed too, as far as it lies
beside the head; over the head it cannot be told from what is there.

Runs on the worker: Python 3.9 or later, numpy.
"""

from __future__ import annotations

import numpy as np
from atlas import Atlas
from fit import Fit
from head import LPS_TO_RAS, Head
from numpy.typing import NDArray

__all__ = ["face_of"]


def face_of(head: Head, fit: Fit, atlas: Atlas) -> NDArray[np.bool_]:
    """(I, J, K) bool, which voxels are of the face."""
    shape = head.stored.shape
    face = np.empty(shape, np.bool_)
    from_index = LPS_TO_RAS @ head.affine
    wraps = [
        np.linalg.inv(fit.matrix) @ from_index[:3, axis] * length
        for axis, length in _lengths_past(shape, from_index, fit, atlas)
    ]
    j, k = np.indices(shape[1:]).reshape(2, -1)
    for i in range(shape[0]):  # plane by plane: memory stays bounded
        index = np.stack([np.full(len(j), i), j, k], axis=1)
        here = fit.inverse(index @ from_index[:3, :3].T + from_index[:3, 3])
        gone = atlas.is_face(here)
        if wraps:
            beside = np.flatnonzero(~atlas.is_near(here))
            for wrap in wraps:
                there = here[beside] + wrap
                gone[beside] |= atlas.is_face(there) & atlas.is_near(there)
        face[i] = gone.reshape(shape[1:])
    return face


def _lengths_past(
    shape: tuple[int, ...], from_index: NDArray[np.float64], fit: Fit, atlas: Atlas
) -> list[tuple[int, int]]:
    """Axes along which the face leaves the image: which, and its voxels, negative when below 0."""
    to_index = np.linalg.inv(from_index)
    found = fit(atlas.points[atlas.is_face(atlas.points)]) @ to_index[:3, :3].T + to_index[:3, 3]
    past = []
    for axis, length in enumerate(shape):
        if found[:, axis].min() < -0.5:
            past.append((axis, -length))
        if found[:, axis].max() > length - 0.5:
            past.append((axis, length))
    return past
