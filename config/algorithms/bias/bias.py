"""Correct the intensity inhomogeneity of an MR image (N4).

N. J. Tustison et al., "N4ITK: improved N3 bias correction", IEEE Transactions on Medical Imaging
29(6):1310-1320, 2010.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813 - its own documentation names it so


def read(path: Path) -> Any:
    """Read a NIfTI file, one DICOM file, or a directory with a DICOM series."""
    if path.is_dir():
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(path))
        if not series:
            sys.exit("bias: the directory holds no DICOM series")
        names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path), series[0])
        image = sitk.ReadImage(names, sitk.sitkFloat32)
    else:
        image = sitk.ReadImage(str(path), sitk.sitkFloat32)
    if image.GetDimension() != 3:
        sys.exit(f"bias: expected a 3D image, found {image.GetDimension()} dimensions")
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)  # what a header says of a patient goes no further
    return image


def correct(image: Any, shrink: int, iterations: list[int]) -> tuple[Any, Any]:
    """Divide an image by its bias field, which is estimated on a coarser grid.

    Returns the corrected image and the field.
    """
    mask = sitk.OtsuThreshold(image, 0, 1, 200)
    factors = [max(1, min(shrink, size // 4)) for size in image.GetSize()]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(iterations)
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    field = sitk.Exp(sitk.Cast(n4.GetLogBiasFieldAsImage(image), sitk.sitkFloat32))
    return image / field, field


def main() -> None:
    """Read arguments, write the corrected image and, when asked, the field."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("corrected", type=Path)
    parser.add_argument("--shrink", type=int, default=4)
    parser.add_argument("--iterations", type=int, nargs="+", default=[50, 50, 50, 50])
    parser.add_argument("--field", type=Path)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        corrected, field = correct(read(given.image), given.shrink, given.iterations)
    except RuntimeError as exc:
        sys.exit(f"bias: {str(exc).strip().splitlines()[-1]}")
    sitk.WriteImage(corrected, str(given.corrected))
    if given.field:
        sitk.WriteImage(field, str(given.field))


if __name__ == "__main__":
    main()
