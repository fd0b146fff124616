"""Images in which there is no head, or not one whose face can be found."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tests.deface.heads import Floats, Made, make

SHAPE = (100, 130, 125)


def _image(values: NDArray[Any]) -> Any:
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -np.array(SHAPE)
    noise = np.random.default_rng(1).normal(0, 6, SHAPE)
    return nib.Nifti1Image(np.abs(values + noise).astype(np.int16), affine)


def _ellipsoid(
    radii: tuple[float, float, float], centre: tuple[float, float, float] = (50, 65, 62)
) -> NDArray[np.bool_]:
    away = np.argwhere(np.ones(SHAPE, np.bool_)) - centre
    return np.asarray(((away / radii) ** 2).sum(axis=-1) < 1).reshape(SHAPE)


def noise() -> Any:
    """White noise."""
    return _image(np.random.default_rng(2).normal(200, 50, SHAPE))


def clouds() -> Any:
    """Noise that is smooth, as tissue is."""
    field: Floats = gaussian_filter(np.random.default_rng(2).normal(size=SHAPE), 4)
    low, high = float(field.min()), float(field.max())
    return _image(np.asarray(400 * (field - low) / (high - low), np.float64))


def sphere() -> Any:
    """The phantom on every scanner."""
    return _image(300.0 * _ellipsoid((40, 40, 40)))


def shells() -> Any:
    """Skin, bone and content of the size of a head."""
    shells = 300.0 * _ellipsoid((38, 48, 45)) - 200 * _ellipsoid((36, 46, 43))
    return _image(shells + 100 * _ellipsoid((33, 43, 40)))


def abdomen() -> Any:
    """Fat, muscle, liver, kidneys, spine."""
    long = 500.0
    body = 200.0 * _ellipsoid((48, 32, long)) - 80 * _ellipsoid((44, 28, long))
    body += 90 * _ellipsoid((18, 14, 30), (68, 68, 70))
    body += 150 * _ellipsoid((7, 7, long), (50, 42, 62))
    for centre in ((30, 55, 50), (70, 50, 40)):
        body += 60 * _ellipsoid((8, 8, 14), (centre[0], centre[1], centre[2]))
    return _image(body)


def brain() -> Any:
    """A head whose skull was stripped."""
    from atlas import BRAIN_CENTRE, BRAIN_COVARIANCE

    made = make()
    affine = made.image.affine
    away = np.argwhere(np.ones(made.face.shape, np.bool_)) @ affine[:3, :3].T + affine[:3, 3]
    away -= BRAIN_CENTRE
    far = np.einsum("ni,ij,nj->n", away, np.linalg.inv(5 * BRAIN_COVARIANCE), away) > 1
    return _masked(made, far.reshape(made.face.shape))


def faceless() -> Any:
    """A head without a face already."""
    made = make()
    return _masked(made, made.face)


def _masked(made: Made, gone: NDArray[np.bool_]) -> Any:
    values = np.where(gone, 0, np.asarray(made.image.dataobj))
    return nib.Nifti1Image(values, made.image.affine)


def contrary(*axes: int) -> Any:
    """A head whose header is wrong about the direction of patient axes."""
    image = make().image
    affine = image.affine.copy()
    affine[list(axes)] *= -1
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


def part(*cut: slice) -> Any:
    """Part of a head."""
    return make().image.slicer[cut]
