"""The mean head and the face mask that the wheel of pydeface carries, and regions of that head.

Runs on the worker: Python 3.9 or later, numpy, nibabel, SimpleITK. pydeface's code is not
imported: only the two images of its package are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation names it so
from head import Affine, Head, Unusable, read_head
from numpy.typing import NDArray

__all__ = [
    "COARSE_MM",
    "FINE_MM",
    "Atlas",
    "as_image",
    "clamped",
    "regrid",
    "data_folder",
    "load_atlas",
]

COARSE_MM = 4.0  # grid the head is fitted on
FINE_MM = 2.0  # grid the fit is judged on
TISSUE = 55.0  # intensity of the mean head above which there is tissue
MARGIN_MM = 8.0  # air around the head that takes part

# The brain of the ICBM 2009 template, brought onto the mean head: centre in mm (RAS+) and
# covariance of its voxels. The ellipsoid with these moments overlaps it by Dice 0.90 and does not
# touch the face.
BRAIN_CENTRE = np.array([-6.034, -3.639, 4.045])
BRAIN_COVARIANCE = np.array(
    [[939.0, 24.3, 10.9], [24.3, 1429.9, 136.2], [10.9, 136.2, 727.2]],
)


@dataclass(frozen=True)
class Atlas:
    """The mean head; all positions in mm, LPS+ as in SimpleITK.

    coarse, coarse_region : images on the coarse grid: intensities, head with some air
    points : (N, 3) float64, positions of the fine grid in the head with some air
    values : (N,) float32, intensities there
    head, brain, face : (N,) bool, which of the points are tissue; are brain; get removed
    centre : (3,) float64, middle of the head
    removed, near : (I, J, K) bool, each on a grid of its own: the face; head with some air
    to_removed, to_near : (4, 4) float64, position -> voxel index of these
    """

    coarse: Any
    coarse_region: Any
    points: NDArray[np.float64]
    values: NDArray[np.float32]
    head: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    face: NDArray[np.bool_]
    centre: NDArray[np.float64]
    removed: NDArray[np.bool_]
    to_removed: Affine
    near: NDArray[np.bool_]
    to_near: Affine

    def is_face(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether positions lie in the face; beyond the mask's edge, as at the nearest edge.

        points : (N, 3) mm, LPS+
        """
        return _looked_up(self.removed, self.to_removed, points)

    def is_near(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether positions lie in the head with some air; beyond the edge, as at the nearest.

        points : (N, 3) mm, LPS+
        """
        return _looked_up(self.near, self.to_near, points)


def data_folder() -> Path:
    """Where the installed pydeface package keeps its images.

    Raises
    ------
    Unusable
        It is not installed.
    """
    spec = find_spec("pydeface")
    if spec is None or not spec.submodule_search_locations:
        raise Unusable("the package pydeface, which carries the face mask, is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def load_atlas() -> Atlas:
    """Read the images of the installed pydeface package.

    Raises
    ------
    Unusable
        The package is not there, or holds other images than expected.
    """
    folder = data_folder()
    mean = read_head(folder / "mean_reg2mean.nii.gz")
    mask = read_head(folder / "facemask.nii.gz")
    if mean.stored.shape != mask.stored.shape or not np.allclose(mean.affine, mask.affine, 0, 1e-3):
        raise Unusable("the face mask of the package pydeface does not fit its mean head")
    return _prepare(mean, mask)


def _prepare(mean: Head, mask: Head) -> Atlas:
    fine = regrid(clamped(as_image(mean)), FINE_MM)
    coarse = regrid(fine, COARSE_MM)
    inside = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(fine > TISSUE, [3] * 3))
    region = sitk.BinaryDilate(inside, [round(MARGIN_MM / FINE_MM)] * 3)
    near = _array(region).astype(bool)
    chosen = np.argwhere(near)
    i, j, k = chosen.T
    affine = place(fine)
    points = chosen @ affine[:3, :3].T + affine[:3, 3]
    head = _array(inside).astype(bool)[i, j, k]
    away = points * [-1, -1, 1] - BRAIN_CENTRE
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(5 * BRAIN_COVARIANCE), away)
    atlas = Atlas(
        coarse,
        sitk.BinaryDilate(coarse > TISSUE, [round(MARGIN_MM / COARSE_MM)] * 3),
        points,
        _array(fine)[i, j, k],
        head,
        head & (distance < 1),
        np.zeros(len(points), np.bool_),
        np.asarray(points[head].mean(axis=0), np.float64),
        mask.stored == 0,
        np.asarray(np.linalg.inv(place(as_image(mask))), np.float64),
        near,
        np.asarray(np.linalg.inv(affine), np.float64),
    )
    atlas.face[:] = head & atlas.is_face(points)
    return atlas


def as_image(head: Head) -> Any:
    """A SimpleITK image, float32."""
    image = sitk.GetImageFromArray(np.transpose(head.values(), (2, 1, 0)))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ head.affine
    spacing = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def clamped(image: Any) -> Any:
    """The image without its most extreme intensities."""
    some = sitk.GetArrayViewFromImage(image).ravel()[::7]
    low, high = np.percentile(some, [0.5, 99.7])
    return sitk.Clamp(image, sitk.sitkFloat32, float(low), float(high))


def regrid(image: Any, edge_mm: float) -> Any:
    """The image on a grid of cubes, about the same centre, smoothed where it gets coarser."""
    spacing = np.array(image.GetSpacing())
    smooth = image
    for axis, edge in enumerate(spacing):
        if edge < 0.9 * edge_mm:
            blur = sitk.RecursiveGaussianImageFilter()
            blur.SetSigma(edge_mm / 2)
            blur.SetDirection(axis)
            smooth = blur.Execute(smooth)
    old = np.array(image.GetSize())
    size = np.maximum(1, np.rint(old * spacing / edge_mm)).astype(int)
    centre = image.TransformContinuousIndexToPhysicalPoint(((old - 1) / 2).tolist())
    turn = np.reshape(image.GetDirection(), (3, 3))
    resample = sitk.ResampleImageFilter()
    resample.SetSize(size.tolist())
    resample.SetOutputSpacing([edge_mm] * 3)
    resample.SetOutputDirection(image.GetDirection())
    resample.SetOutputOrigin((np.array(centre) - turn @ ((size - 1) / 2 * edge_mm)).tolist())
    resample.SetInterpolator(sitk.sitkLinear)
    resample.UseNearestNeighborExtrapolatorOn()
    return resample.Execute(smooth)


def place(image: Any) -> Affine:
    """(4, 4) voxel index -> mm, LPS+."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


def _array(image: Any) -> NDArray[Any]:
    """(I, J, K) voxels."""
    return np.ascontiguousarray(np.transpose(sitk.GetArrayViewFromImage(image), (2, 1, 0)))


def _looked_up(
    mask: NDArray[np.bool_], to_index: Affine, points: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """What a mask says at (N, 3) positions; beyond its edge, as at the nearest edge."""
    index = np.rint(points @ to_index[:3, :3].T + to_index[:3, 3])
    i, j, k = np.clip(index, 0, np.array(mask.shape) - 1).astype(np.int64).T
    found: NDArray[np.bool_] = mask[i, j, k]
    return found
