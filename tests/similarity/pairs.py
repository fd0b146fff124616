"""Images with structure, made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from volumes import Volume

REAL = Path(nibabel.__file__).parent / "tests" / "data"
"""Images that come with nibabel."""


def save(path: Path, data: NDArray[Any], matrix: NDArray[np.float64]) -> Path:
    """Write a NIfTI file."""
    image: Any = nibabel.Nifti1Image(data, matrix)
    image.to_filename(path)
    return path


def smooth(
    shape: tuple[int, int, int] = (24, 20, 16), seed: int = 0, sigma: float = 2.0
) -> NDArray[np.float32]:
    """Smooth noise, mean 100, deviation 20."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return np.asarray(100 + 20 * noise / noise.std(), dtype=np.float32)


def affine(
    *spacing_mm: float, origin: tuple[float, float, float] = (0, 0, 0)
) -> NDArray[np.float64]:
    """Axes along the patient's, one spacing or three."""
    matrix = np.diag([*(spacing_mm * 3)[:3], 1.0])
    matrix[:3, 3] = origin
    return matrix


def volume(data: NDArray[Any], matrix: NDArray[np.float64] | None = None) -> Volume:
    """A volume of 1 mm voxels at the origin, or elsewhere."""
    return Volume(np.ascontiguousarray(data, np.float32), affine(1) if matrix is None else matrix)


def rotation(degrees: float, axis: int = 2) -> NDArray[np.float64]:
    """Turn around one axis through the origin."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix
