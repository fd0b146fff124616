"""Lay the mean head over an image: an affine map, from many starts.

The measure is mutual information, which holds whatever the contrast of the image: P. Viola,
W. M. Wells, "Alignment by maximization of mutual information", International Journal of Computer
Vision 24(2):137-154, 1997; in SimpleITK the variant of D. Mattes et al., "PET-CT image registration
in the chest using free-form deformations", IEEE Transactions on Medical Imaging 22(1):120-128,
2003.

Runs on the worker: Python 3.9 or later, numpy, SimpleITK. The same image gives the same map: one
thread, samples on a regular grid, a fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation names it so
from atlas import COARSE_MM, Atlas, place, regrid
from numpy.typing import NDArray

__all__ = ["Fit", "apart_mm", "fits", "in_levels", "mutual_information"]

SEED = 20
SCOUTS = 8000  # points of the head that a start is weighed by
LEVELS = 16  # of intensity, for the same
SEEN = 0.4  # least part of the head that has to lie inside the image
UPRIGHT, TURNED = 4, 2  # starts refined: as the header says, and against it
SAME_MM = 3.0  # two fits that differ by less are one
STEPS_MM = (40.0, 20.0, 10.0)


@dataclass(frozen=True)
class Fit:
    """One map from the mean head to the image, positions in mm, LPS+.

    score : mutual information in nat, the more the better
    matrix, shift : (3, 3) and (3,) float64, ``matrix @ position + shift``
    upright : whether its start believed the orientation that the header gives
    """

    score: float
    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    upright: bool

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where (N, 3) positions of the mean head lie in the image."""
        return points @ self.matrix.T + self.shift

    def inverse(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where (N, 3) positions of the image lie in the mean head."""
        return (points - self.shift) @ np.linalg.inv(self.matrix).T


def fits(image: Any, atlas: Atlas) -> list[Fit]:
    """Fits from the most promising starts, best first.

    Parameters
    ----------
    image : SimpleITK image, float32
    atlas : Atlas
    """
    coarse = regrid(image, COARSE_MM)
    starts = sorted(_starts(coarse, atlas), key=lambda start: -start.score)
    found: list[Fit] = []
    for upright, wanted in ((True, UPRIGHT), (False, TURNED)):
        done = 0
        for start in [start for start in starts if start.upright is upright][:wanted]:
            refined = _refine(start, coarse, atlas)
            if refined is None:
                continue
            done += 1
            twin = any(apart_mm(refined, other, atlas) < SAME_MM for other in found)
            found.append(refined)
            if upright and twin and done > 1:
                break  # two starts met in one place
    return sorted(found, key=lambda fit: -fit.score)


def apart_mm(one: Fit, other: Fit, atlas: Atlas) -> float:
    """How far apart two fits put some point of the face."""
    points = atlas.points[atlas.face][::50]
    return float(np.linalg.norm(one(points) - other(points), axis=1).max())


# -- starts ----------------------------------------------------------------------------------------


class Sampler:
    """Intensities of an image by position, in levels: the nearest voxel's."""

    def __init__(self, image: Any, levels: int) -> None:
        values = np.transpose(sitk.GetArrayViewFromImage(image), (2, 1, 0))
        self._levels = in_levels(values, levels)
        self._inverse = np.linalg.inv(place(image))
        self._shape = np.array(values.shape)

    def __call__(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Levels at the (N, 3) positions that are inside, and (N,) which these are."""
        index = np.rint(points @ self._inverse[:3, :3].T + self._inverse[:3, 3]).astype(np.int64)
        inside = ((index >= 0) & (index < self._shape)).all(axis=1)
        i, j, k = index[inside].T
        return self._levels[i, j, k], inside


def in_levels(values: NDArray[Any], levels: int) -> NDArray[np.int64]:
    """Cut intensities between the 1st and the 99th percentile into even levels."""
    low, high = np.percentile(values, [1, 99])
    scaled = (values - low) / max(float(high - low), 1e-9) * levels
    return np.asarray(np.clip(scaled, 0, levels - 1), np.int64)


def mutual_information(a: NDArray[np.int64], b: NDArray[np.int64], levels: int) -> float:
    """Mutual information in nat of two (N,) arrays of levels."""
    if not len(a):
        return 0.0
    joint = np.bincount(a * levels + b, minlength=levels * levels).reshape(levels, levels) / len(a)
    return _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.ravel())


def _entropy(p: NDArray[np.float64]) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _starts(coarse: Any, atlas: Atlas) -> Iterator[Fit]:
    """Turn the head every way, move it to where it explains most of the image."""
    pick = np.random.default_rng(SEED).permutation(len(atlas.points))[:SCOUTS]
    points = atlas.points[pick] - atlas.centre
    own = in_levels(atlas.values[pick], LEVELS)
    image = Sampler(coarse, LEVELS)

    def score(turn: NDArray[np.float64], centre: NDArray[np.float64]) -> float:
        seen, inside = image(points @ turn.T + centre)
        part = float(inside.mean())
        return -1.0 if part < SEEN else part * mutual_information(own[inside], seen, LEVELS)

    middle = _middle(coarse)
    for turn, upright in _turns():
        centre, best = middle, score(turn, middle)
        for step in STEPS_MM:
            for _ in range(4):
                near = [centre + sign * step * turn[:, k] for k, sign in product(range(3), (1, -1))]
                scores = [score(turn, place) for place in near]
                if max(scores) <= best:
                    break
                best = max(scores)
                centre = near[scores.index(best)]
        if best > 0:
            yield Fit(best, turn, centre - turn @ atlas.centre, upright)


def _middle(image: Any) -> NDArray[np.float64]:
    """Where what is bright has its centre."""
    mask = sitk.OtsuThreshold(image, 0, 1, 64)  # a view of its voxels does not keep it alive
    bright = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)
    if not len(bright):
        return np.array(image.TransformContinuousIndexToPhysicalPoint([0, 0, 0]))
    affine = place(image)
    return np.asarray(affine[:3, :3] @ bright.mean(axis=0)[::-1] + affine[:3, 3])


def _turns() -> Iterator[tuple[NDArray[np.float64], bool]]:
    """Rotations to start from: the header's orientation tilted in many ways, all others in few."""
    tilts = (-20, 0, 20)
    for pitch, roll, yaw in product((-40, -20, 0, 20, 40), tilts, tilts):
        yield _about(2, yaw) @ _about(1, roll) @ _about(0, pitch), True
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        cube = np.eye(3)[list(order)] * np.array(signs)[:, None]
        if np.linalg.det(cube) > 0 and not np.allclose(cube, np.eye(3)):
            for pitch in tilts:
                yield cube @ _about(0, pitch), False


def _about(axis: int, degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    i, j = [other for other in range(3) if other != axis]
    turn = np.eye(3)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    return turn


# -- refinement ------------------------------------------------------------------------------------


def _refine(start: Fit, coarse: Any, atlas: Atlas) -> Fit | None:
    """From a start to the next optimum: rigid, then affine; None where there is none."""
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(atlas.centre.tolist())
    rigid.SetMatrix(start.matrix.ravel().tolist(), 1e-6)
    moved = start.matrix @ atlas.centre + start.shift - atlas.centre
    rigid.SetTranslation(moved.tolist())
    try:
        _climb(rigid, coarse, atlas, 0.15, 25)
        affine = sitk.AffineTransform(3)
        affine.SetCenter(rigid.GetCenter())
        affine.SetMatrix(rigid.GetMatrix())
        affine.SetTranslation(rigid.GetTranslation())
        _climb(affine, coarse, atlas, 0.2, 60)
        judge = _measure(atlas)
        judge.SetInitialTransform(affine)
        score = -judge.MetricEvaluate(atlas.coarse, coarse)
    except RuntimeError:  # the head was moved out of the image
        return None
    matrix = np.reshape(affine.GetMatrix(), (3, 3))
    shift = np.array(affine.TransformPoint((0.0, 0.0, 0.0)))
    return Fit(float(score), matrix, shift, start.upright)


def _climb(transform: Any, coarse: Any, atlas: Atlas, part: float, most: int) -> None:
    method = _measure(atlas)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(part, SEED)
    method.SetOptimizerAsConjugateGradientLineSearch(1.0, most, 1e-7, 10, 0, 5, 0.01, 20)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, True)
    method.Execute(atlas.coarse, coarse)


def _measure(atlas: Atlas) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(atlas.coarse_region)
    method.SetInterpolator(sitk.sitkLinear)
    return method
