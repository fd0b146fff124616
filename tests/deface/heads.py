"""Heads made from the mean head of pydeface: moved, imaged anew, deformed; their face is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """An image and, on its grid, which voxels are of the face."""

    image: Any
    face: NDArray[np.bool_]

    def write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.image.to_filename(path)
        return path


@cache
def mean_head() -> tuple[NDArray[np.float32], NDArray[np.bool_], Floats]:
    """Intensities, face and affine as the wheel carries them."""
    from atlas import data_folder

    mean: Any = nib.load(data_folder() / "mean_reg2mean.nii.gz")
    mask: Any = nib.load(data_folder() / "facemask.nii.gz")
    face = np.asarray(mask.dataobj) == 0
    return np.asarray(mean.dataobj, np.float32), face, np.asarray(mean.affine, np.float64)


def turn(axis: int, degrees: float) -> Floats:
    """(3, 3) rotation about a patient axis: 0 left-right, 1 back-front, 2 feet-head."""
    angle = np.deg2rad(degrees)
    i, j = [other for other in range(3) if other != axis]
    found = np.eye(3)
    found[i, i] = found[j, j] = np.cos(angle)
    found[i, j], found[j, i] = -np.sin(angle), np.sin(angle)
    return found


def make(
    *,
    matrix: Floats | None = None,
    shift_mm: tuple[float, float, float] = (0, 0, 0),
    spacing_mm: tuple[float, float, float] = (2, 2, 2),
    axes: str = "RAS",
    size_mm: tuple[float, float, float] = (200, 260, 250),
    noise: float = 6.0,
    slope: float = 0.0,
    bend_mm: float = 0.0,
    contrast: Callable[[Floats], Floats] | None = None,
    seed: int = 0,
) -> Made:
    """A head that was moved by ``matrix @ position + shift_mm`` (RAS+) and imaged anew.

    slope : how much brighter one side is than the other, a fraction
    bend_mm : size of a smooth deformation, so that no affine map undoes it
    contrast : another contrast, of the intensities
    """
    rng = np.random.default_rng(seed)
    values, face, affine = mean_head()
    size = [round(length / edge) for length, edge in zip(size_mm, spacing_mm, strict=True)]
    grid = np.diag([*spacing_mm, 1.0])
    grid[:3, 3] = np.array([0, 5, -5]) - np.array(size_mm) / 2 + np.array(shift_mm)
    index = np.argwhere(np.ones(size, np.bool_))
    points = index @ grid[:3, :3].T + grid[:3, 3] - shift_mm
    points = points @ np.linalg.inv(np.eye(3) if matrix is None else matrix).T
    if bend_mm:
        for axis in range(3):
            field = gaussian_filter(rng.normal(size=size), 25 / np.array(spacing_mm))
            points[:, axis] += bend_mm * (field / np.abs(field).max()).ravel()
    inverse = np.linalg.inv(affine)
    where = (points @ inverse[:3, :3].T + inverse[:3, 3]).T
    found = map_coordinates(values, where, order=1, mode="constant").reshape(size).astype(float)
    near = np.clip(np.rint(where).astype(int), 0, np.array(face.shape)[:, None] - 1)
    gone = face[tuple(near)].reshape(size)
    if contrast is not None:
        found = np.where(found > 30, contrast(found), found)
    found *= 1 + slope * (np.linspace(-0.5, 0.5, size[0])[:, None, None])
    found = np.abs(found + rng.normal(0, noise, found.shape)) if noise else found
    image = nib.Nifti1Image(found.astype(np.int16), grid)
    gone_too: Any = turned(nib.Nifti1Image(gone.astype(np.uint8), grid), axes)
    return Made(turned(image, axes), np.asarray(gone_too.dataobj) > 0)


def turned(image: Any, axes: str) -> Any:
    """The same image stored along other axes: ``PSR`` is back, head, right."""
    start = nib.orientations.io_orientation(image.affine)
    end = nib.orientations.axcodes2ornt(tuple(axes))
    return image.as_reoriented(nib.orientations.ornt_transform(start, end))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Overlap of two masks."""
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())
