"""A picture of what is left: three planes of the head, upright, what was removed in red.

Runs on the worker: Python 3.9 or later, numpy, SimpleITK.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation names it so
from atlas import Atlas, place
from fit import Fit
from numpy.typing import NDArray

__all__ = ["draw"]

REACH_MM = 140  # from the middle of the head
PIXEL_MM = 1.0
RED = np.array([200.0, 40.0, 40.0])
LEFT, BACK, UP = np.eye(3)  # of LPS+


def draw(defaced: Any, fit: Fit, atlas: Atlas, target: Path) -> None:
    """Write a PNG: sagittal, coronal and axial plane.

    Parameters
    ----------
    defaced : SimpleITK image, float32
        Without the face: the picture shows none.
    """
    values = np.transpose(sitk.GetArrayViewFromImage(defaced), (2, 1, 0))
    low, high = np.percentile(values, [2, 99.5])
    inverse = np.asarray(np.linalg.inv(place(defaced)), np.float64)
    face = _middle_of_face(inverse, values.shape, fit, atlas)
    panels = []
    for right, up, through in (
        (-BACK, UP, atlas.centre),
        (LEFT, UP, (atlas.centre + face) / 2),
        (LEFT, -BACK, face),
    ):
        points = _plane(right, up, through)
        where = fit(points.reshape(-1, 3))
        index, inside = _indices(where, inverse, values.shape)
        i, j, k = index[inside].T
        grey = np.zeros(len(index))
        grey[inside] = np.clip((values[i, j, k] - low) / max(float(high - low), 1e-9), 0, 1) * 255
        pixels = np.repeat(grey[:, None], 3, axis=1)
        gone = inside & atlas.is_face(points.reshape(-1, 3))
        pixels[gone] = (pixels[gone] + RED) / 2
        panels.append(pixels.reshape(*points.shape[:2], 3).astype(np.uint8))
    page = np.ascontiguousarray(np.concatenate(panels, axis=1))
    sitk.WriteImage(sitk.GetImageFromArray(page, isVector=True), str(target))


def _indices(
    points: NDArray[np.float64], inverse: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Voxels at (N, 3) positions of the image, and which of them there are."""
    index = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    return index, np.all((index >= 0) & (index < shape), axis=1)


def _middle_of_face(
    inverse: NDArray[np.float64], shape: tuple[int, ...], fit: Fit, atlas: Atlas
) -> NDArray[np.float64]:
    """Of the part that the image shows."""
    points = atlas.points[atlas.face]
    inside = _indices(fit(points), inverse, shape)[1]
    return np.asarray(points[inside].mean(axis=0), np.float64)


def _plane(
    right: NDArray[np.float64], up: NDArray[np.float64], through: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(rows, columns, 3) positions in the mean head, mm, LPS+; the first row is the highest."""
    steps = np.arange(-REACH_MM, REACH_MM, PIXEL_MM)
    found: NDArray[np.float64] = through + steps[None, :, None] * right - steps[:, None, None] * up
    return found
