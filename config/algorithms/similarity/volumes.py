"""Images as voxels and a place in space: NIfTI files, DICOM series, single DICOM files.

Runs on the worker: Python 3.9 or later, numpy, nibabel, pydicom.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Affine = NDArray[np.float64]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class UnreadableImage(Exception):
    """An image cannot be read; the message says why, without naming the file."""


@dataclass
class Volume:
    """Voxels and where they are.

    data : (I, J, K) float32, finite
    affine : (4, 4) float64, voxel index -> mm, RAS+
    valid : (I, J, K) bool, where the file held a finite number; None is everywhere
    """

    data: FloatArray
    affine: Affine
    valid: BoolArray | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis."""
        i, j, k = self.data.shape
        return i, j, k


def read_volume(path: Path) -> Volume:
    """Read an image: a NIfTI file, a directory with a DICOM series, or one DICOM file.

    Of a 4D image, and of a series with several images at one position, the mean is taken.

    Raises
    ------
    UnreadableImage
        It is none of these, or holds no image.
    """
    if path.is_dir():
        return _finite(*_read_dicom(sorted(p for p in path.rglob("*") if p.is_file())))
    with path.open("rb") as stream:
        start = stream.read(132)
    if start[128:132] == b"DICM" or path.suffix == ".dcm":
        return _finite(*_read_dicom([path]))
    return _finite(*_read_nifti(path))


def _finite(data: NDArray[Any], affine: Affine) -> Volume:
    voxels = np.ascontiguousarray(data, dtype=np.float32)
    valid = np.isfinite(voxels)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise UnreadableImage("its axes do not span space")
    if valid.all():
        return Volume(voxels, affine)
    if not valid.any():
        raise UnreadableImage("it holds no finite number")
    return Volume(np.where(valid, voxels, np.float32(0)), affine, valid)


def _read_nifti(path: Path) -> tuple[NDArray[Any], Affine]:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
        proxy = image.dataobj
        shape = tuple(proxy.shape)
        if np.dtype(proxy.dtype).kind not in "iufb":
            raise UnreadableImage("its voxels are not plain numbers")
        affine = np.asarray(image.affine, dtype=np.float64)
        if len(shape) <= 3:
            data = np.asarray(proxy, dtype=np.float32)
            return data.reshape(shape + (1,) * (3 - len(shape))), affine
        # one volume at a time: a long time series need not fit into memory
        total = np.zeros(shape[:3], dtype=np.float64)
        volumes = list(np.ndindex(*shape[3:]))
        for at in volumes:
            total += np.asarray(proxy[(slice(None), slice(None), slice(None), *at)])
        return total / len(volumes), affine
    except (ImageFileError, OSError, EOFError, ValueError, AttributeError) as exc:
        raise UnreadableImage(f"not an image nibabel can read ({type(exc).__name__})") from exc


# -- DICOM -----------------------------------------------------------------------------------------


@dataclass
class _Slice:
    """One frame: pixels [column, row], position and directions in mm, LPS+."""

    pixels: FloatArray
    orientation: tuple[float, ...]  # row and column direction cosines, PS3.3 C.7.6.2.1.1
    position: NDArray[np.float64]
    spacing: tuple[float, float]  # between columns, between rows
    thickness: float
    number: int

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction slices are stacked in."""
        return np.cross(self.orientation[:3], self.orientation[3:])


def _read_dicom(paths: list[Path]) -> tuple[NDArray[Any], Affine]:
    import pydicom

    slices: list[_Slice] = []
    reason = "it holds no DICOM image"
    for path in paths:
        try:
            # .dcm files may lack the preamble and the file meta information (PS3.10 7.1)
            ds = pydicom.dcmread(path, force=path.suffix == ".dcm")
            if "PixelData" in ds:
                if "TransferSyntaxUID" not in ds.file_meta:
                    ds.file_meta.TransferSyntaxUID = _plain_syntax(ds)
                slices += _frames(ds)
        except pydicom.errors.InvalidDicomError:
            continue
        except Exception as exc:  # pydicom raises what its pixel decoders raise
            reason = f"a DICOM image cannot be decoded ({type(exc).__name__})"
            raise UnreadableImage(reason) from exc
    if not slices:
        raise UnreadableImage(reason)
    return _stack(_largest_group(slices))


def _plain_syntax(ds: Any) -> Any:
    """Transfer syntax of a data set without file meta information: uncompressed, as it was read."""
    from pydicom import uid

    implicit, little = ds.original_encoding
    if not little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian


def _frames(ds: Any) -> list[_Slice]:
    """Frames of one DICOM image, with its modality's values (PS3.3 C.11.1)."""
    array = np.asarray(ds.pixel_array)
    if int(ds.get("SamplesPerPixel", 1)) > 1:
        rgb = str(ds.PhotometricInterpretation) == "RGB"
        array = array @ np.array([0.299, 0.587, 0.114]) if rgb else array[..., 0]
    if int(ds.get("NumberOfFrames", 1) or 1) <= 1:
        array = array.reshape((1, *array.shape[-2:]))
    shared = _first(ds, "SharedFunctionalGroupsSequence")
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or [None] * len(array)
    found = []
    for at, (pixels, own) in enumerate(zip(array, per_frame)):
        plane = _Header(own, shared, ds)
        slope = float(plane.get("PixelValueTransformationSequence", "RescaleSlope", 1))
        intercept = float(plane.get("PixelValueTransformationSequence", "RescaleIntercept", 0))
        values = pixels.astype(np.float32).T * np.float32(slope) + np.float32(intercept)
        if str(ds.get("PhotometricInterpretation", "")) == "MONOCHROME1":
            values = -values  # so that more is brighter everywhere
        orientation = plane.get(
            "PlaneOrientationSequence", "ImageOrientationPatient", (1, 0, 0, 0, 1, 0)
        )
        imager = ds.get("ImagerPixelSpacing") or (1, 1)
        rows_mm, columns_mm = plane.get("PixelMeasuresSequence", "PixelSpacing", imager)
        thickness = plane.get("PixelMeasuresSequence", "SliceThickness", 1)
        between = ds.get("SpacingBetweenSlices") or thickness
        number = int(ds.get("InstanceNumber") or 0) + at
        fallback = (0.0, 0.0, float(at) * float(between))
        position = plane.get("PlanePositionSequence", "ImagePositionPatient", None)
        found.append(
            _Slice(
                values,
                tuple(round(float(cosine), 4) for cosine in orientation),
                np.array([float(mm) for mm in position or fallback]),
                (float(columns_mm), float(rows_mm)),
                float(between) or 1.0,
                number,
            )
        )
    return found


class _Header:
    """Attributes of a frame: in its functional groups, the shared ones, or the data set itself."""

    def __init__(self, own: Any, shared: Any, ds: Any) -> None:
        self._groups = [group for group in (own, shared) if group is not None]
        self._ds = ds

    def get(self, sequence: str, keyword: str, default: Any) -> Any:
        """Value of `keyword`, `default` when it is missing or empty."""
        for group in self._groups:
            value = (_first(group, sequence) or {}).get(keyword)
            if value not in (None, ""):
                return value
        value = self._ds.get(keyword)
        return default if value in (None, "") else value


def _first(ds: Any, sequence: str) -> Any:
    items = ds.get(sequence)
    return items[0] if items else None


def _largest_group(slices: list[_Slice]) -> list[_Slice]:
    """The slices that fit together: a localiser has several directions, take the most frequent."""
    groups: dict[Any, list[_Slice]] = {}
    for one in slices:
        groups.setdefault((one.orientation, one.pixels.shape, one.spacing), []).append(one)
    return max(groups.values(), key=len)


def _stack(slices: list[_Slice]) -> tuple[NDArray[Any], Affine]:
    """Sort slices along their normal and work out the affine (PS3.3 C.7.6.2.1.1)."""
    normal = slices[0].normal
    slices.sort(key=lambda one: (float(one.position @ normal), one.number))
    stack: list[list[_Slice]] = []
    for one in slices:
        if stack and abs(float((one.position - stack[-1][0].position) @ normal)) < 1e-3:
            stack[-1].append(one)
        else:
            stack.append([one])
    if len(stack) == 1 and all(not one.position.any() for one in slices):
        # images without a position: their numbers are all that is known of their order
        stack = [[one] for one in sorted(slices, key=lambda one: one.number)]
    first, last = stack[0][0], stack[-1][0]
    if len(stack) > 1 and (last.position != first.position).any():
        step = (last.position - first.position) / (len(stack) - 1)
    else:
        step = normal * first.thickness
    data = np.stack(
        [np.mean([one.pixels for one in place], axis=0, dtype=np.float32) for place in stack],
        axis=2,
    )
    lps = np.eye(4)
    lps[:3, 0] = np.array(first.orientation[:3]) * first.spacing[0]
    lps[:3, 1] = np.array(first.orientation[3:]) * first.spacing[1]
    lps[:3, 2] = step
    lps[:3, 3] = first.position
    return data, LPS_TO_RAS @ lps
