"""The image whose face is removed: its voxels as they are stored, and where they are.

Runs on the worker: Python 3.9 or later, numpy, nibabel; SimpleITK for DICOM series.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Affine", "Head", "Unusable", "read_head"]

Affine = NDArray[np.float64]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SPACING_MM = (0.2, 10.0)  # smallest and largest edge of a voxel that a head is imaged with
SIZE_MM = 60.0  # an image that is thinner than this along an axis is a slab
UNEVEN = 0.01  # of the distance of slices: headers round positions


class Unusable(Exception):
    """An image that cannot be defaced; the message says why, and names neither file nor patient."""


@dataclass
class Head:
    """Voxels and where they are.

    stored : (I, J, K) numbers as the file holds them
    slope, inter : a voxel's value is ``stored * slope + inter``
    affine : (4, 4) float64, voxel index -> mm, RAS+
    """

    stored: NDArray[Any]
    slope: float
    inter: float
    affine: Affine

    def values(self) -> NDArray[np.float32]:
        """(I, J, K) float32; what is not finite counts as the lowest value."""
        found = self.stored.astype(np.float32) * np.float32(self.slope) + np.float32(self.inter)
        finite = np.isfinite(found)
        if not finite.all():
            found[~finite] = found[finite].min() if finite.any() else 0
        return found

    def background(self) -> float:
        """Value that face voxels get: 0, or the lowest where some are negative (air in CT)."""
        return min(0.0, float(self.values().min()))

    def without(self, face: NDArray[np.bool_]) -> NDArray[Any]:
        """(I, J, K) stored numbers, the face's set to the background; all others as they were."""
        fill = (self.background() - self.inter) / self.slope
        if self.stored.dtype.kind in "iu":
            limits = np.iinfo(self.stored.dtype)
            fill = min(max(round(fill), int(limits.min)), int(limits.max))
        return np.where(face, np.asarray(fill, self.stored.dtype), self.stored)

    def write(self, stored: NDArray[Any], target: Path) -> None:
        """Write a gzipped NIfTI-1 file whose header is made anew: geometry, scale, no text."""
        import nibabel

        header: Any = nibabel.Nifti1Header()
        header.set_data_dtype(stored.dtype)
        header.set_data_shape(stored.shape)
        header.set_xyzt_units("mm")
        header.set_qform(self.affine, 1, strip_shears=True)
        header.set_sform(self.affine, 1)
        header.set_slope_inter(self.slope, self.inter)
        header.set_data_offset(header.single_vox_offset)
        gap = bytes(header.single_vox_offset - len(header.binaryblock))
        with target.open("xb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            packed.write(header.binaryblock + gap)
            for plane in np.moveaxis(stored, 2, 0):
                packed.write(plane.tobytes(order="F"))


def read_head(path: Path) -> Head:
    """Read a NIfTI file, a directory with one DICOM series, or one DICOM file.

    Raises
    ------
    Unusable
        It is none of these, is not one 3D volume, or does not say where its voxels are.
    """
    head = _read_nifti(path) if _is_nifti(path) else _read_dicom(path)
    if head.stored.dtype.kind not in "iuf":
        raise Unusable(f"expected one number a voxel, found type {head.stored.dtype}")
    values = head.values()
    if values.min() == values.max():
        raise Unusable("all voxels are the same")
    spacing = np.sqrt((head.affine[:3, :3] ** 2).sum(axis=0))
    if not np.isfinite(head.affine).all() or abs(np.linalg.det(head.affine)) < 1e-6:
        raise Unusable("the header gives voxels no place")
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        edges = " x ".join(f"{edge:.3g}" for edge in spacing)
        raise Unusable(f"expected voxels of a head, found {edges} mm")
    extent = spacing * head.stored.shape
    if extent.min() < SIZE_MM:
        sides = " x ".join(f"{side:.0f}" for side in extent)
        raise Unusable(f"the field of view holds no whole head: {sides} mm")
    return head


def _is_nifti(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz"))


def _read_nifti(path: Path) -> Head:
    import nibabel

    try:
        image: Any = nibabel.load(path)
        if not isinstance(image, nibabel.Nifti1Image):
            raise Unusable("not a NIfTI file")
        header = image.header
        shape = [int(size) for size in header.get_data_shape()]
        if len(shape) < 3 or math.prod(shape[3:]) != 1:
            raise Unusable(f"expected one 3D volume, found {' x '.join(map(str, shape))} voxels")
        if not int(header["sform_code"]) and not int(header["qform_code"]):
            raise Unusable("the header does not say how the image is oriented")
        if header.get_xyzt_units()[0] not in ("mm", "unknown"):
            raise Unusable("the header measures voxels in another unit than mm")
        data: Any = image.dataobj
        slope, inter = data.slope, data.inter
        stored = np.asarray(data.get_unscaled()).reshape(shape[:3])
    except Unusable:
        raise
    except Exception as exc:  # nibabel meets broken files with errors of many kinds
        raise Unusable(f"not a whole NIfTI file ({type(exc).__name__})") from None
    if not math.isfinite(slope) or not math.isfinite(inter) or slope == 0:
        raise Unusable("the header scales voxels by no number")
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    return Head(stored, float(slope), float(inter), np.asarray(image.affine, np.float64))


def _read_dicom(path: Path) -> Head:
    import SimpleITK as sitk  # noqa: N813 - its own documentation names it so

    try:
        if path.is_dir():
            series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
            if len(series) != 1:
                raise Unusable(f"expected one DICOM series, found {len(series)}")
            reader = sitk.ImageSeriesReader()
            names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), series[0])
            reader.SetFileNames(names)
            reader.MetaDataDictionaryArrayUpdateOn()
            image = reader.Execute()
            if not _evenly_spaced(reader, len(names)):
                raise Unusable("the slices of the series are not evenly spaced")
        else:
            image = sitk.ReadImage(str(path))
    except (RuntimeError, ValueError):
        raise Unusable("neither a NIfTI file nor a DICOM series that can be read") from None
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise Unusable("expected one 3D volume of one number a voxel")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    stored = np.transpose(sitk.GetArrayFromImage(image), (2, 1, 0))
    return Head(stored, 1.0, 0.0, LPS_TO_RAS @ affine)


def _evenly_spaced(series: Any, slices: int) -> bool:
    """Whether no slice is missing or there twice; `series` is the reader that has read it."""
    if slices < 2:
        return True
    turn = [float(part) for part in series.GetMetaData(0, "0020|0037").split("\\")]
    normal = np.cross(turn[:3], turn[3:])
    places = [series.GetMetaData(k, "0020|0032").split("\\") for k in range(slices)]
    steps = np.diff(np.array(places, float) @ normal)
    return bool((np.abs(steps - steps.mean()) <= UNEVEN * np.abs(steps.mean())).all())
