"""Whether a fit may be believed. When in doubt: no, and nothing is written.

Runs on the worker: Python 3.9 or later, numpy, SimpleITK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation names it so
from atlas import FINE_MM, Atlas, place, regrid
from fit import Fit, apart_mm, in_levels, mutual_information
from head import Unusable
from numpy.typing import NDArray

__all__ = ["Measures", "believe", "measure"]

LEVELS = 32

# Limits. Heads of real people and mean heads (T1, T2, PD; whole and cut off at the nose) and what
# is no head (brains without skull, CT, angiograms, perfusion and BOLD images, an animal, phantoms)
# lie well on either side; tests/deface holds those that can be made from what packages carry.
FIT = 0.5  # heads from 0.57; brains stretched over a head up to 0.44, others below 0.3
BRAIN_FIT = 0.15  # heads from 0.25; others up to 0.10
OUTLINE = 0.75  # heads from 0.91
TISSUE = 0.5  # heads from 0.63; a brain in its place 0
BRAIN_SEEN = 0.9
FACE_SEEN = 0.1
TURN_DEG = 50.0  # a head on a scanner's table, and the template's own 6
SCALE = (0.8, 1.35)  # adults and school children; the mean heads of the ICBM need 1.19
RIVAL = 0.85  # part of the best score from which another fit counts
APART_MM = 8.0
REMOVED = (0.005, 0.45)  # of the tissue in the image


@dataclass(frozen=True)
class Measures:
    """What is known of the best fit.

    fit, brain_fit : mutual information in nat, over the head with some air and inside the brain
    outline : Dice overlap of the tissue in the image with the head
    face_tissue : part of the face, as far as the image reaches, where the image shows tissue
    brain_seen, face_seen : part of the brain, of the face, inside the image
    rotation_deg : between the head and what the header calls upright
    scale_min, scale_max : the head in the image, relative to the mean head
    rival : score of the best fit that puts the face elsewhere, relative to the fit's own
    removed_fraction : part of the tissue in the image that is removed
    """

    fit: float
    brain_fit: float
    outline: float
    face_tissue: float
    brain_seen: float
    face_seen: float
    rotation_deg: float
    scale_min: float
    scale_max: float
    rival: float
    removed_fraction: float


def measure(image: Any, best: Fit, found: list[Fit], atlas: Atlas) -> Measures:
    """Look at the image through a fit.

    Parameters
    ----------
    image : SimpleITK image, float32
    best : Fit
        The fit that would be used.
    found : list of Fit
        All fits.
    """
    fine = regrid(image, FINE_MM)
    values = np.transpose(sitk.GetArrayViewFromImage(fine), (2, 1, 0))
    threshold = _tissue_from(fine)
    index = _indices(fine, best(atlas.points))
    inside = np.all((index >= 0) & (index < values.shape), axis=1)
    i, j, k = index[inside].T
    seen = values[i, j, k]
    tissue = seen > threshold
    head, brain, face = (part[inside] for part in (atlas.head, atlas.brain, atlas.face))
    rotation, scales = _parts(best.matrix)
    rivals = [fit.score for fit in found if apart_mm(fit, best, atlas) > APART_MM]

    everywhere = np.argwhere(values > threshold)
    affine = place(fine)
    there = best.inverse(everywhere @ affine[:3, :3].T + affine[:3, 3])
    return Measures(
        fit=_information(atlas.values[inside], seen),
        brain_fit=_information(atlas.values[inside][brain], seen[brain]),
        outline=2 * float((tissue & head).sum()) / max(1, int(tissue.sum() + head.sum())),
        face_tissue=float(tissue[face].mean()) if face.any() else 0.0,
        brain_seen=float(inside[atlas.brain].mean()),
        face_seen=float(inside[atlas.face].mean()),
        rotation_deg=rotation,
        scale_min=min(scales),
        scale_max=max(scales),
        rival=max(rivals, default=0.0) / best.score,
        removed_fraction=float(atlas.is_face(there).mean()) if len(there) else 0.0,
    )


def believe(found: Measures) -> None:
    """Return when the fit may be believed.

    Raises
    ------
    Unusable
        It may not; the message gives every reason.
    """
    reasons = [reason for wrong, reason in _doubts(found) if wrong]
    if reasons:
        raise Unusable("; ".join(reasons))


def _doubts(m: Measures) -> list[tuple[bool, str]]:
    low, high = SCALE
    least, most = REMOVED
    return [
        (m.fit < FIT, f"no head was found: fit {m.fit:.2f}, expected {FIT} or more"),
        (
            m.brain_fit < BRAIN_FIT,
            f"no brain where it should be: fit {m.brain_fit:.2f}, expected {BRAIN_FIT} or more",
        ),
        (
            m.outline < OUTLINE,
            f"the outline is not that of a head: overlap {m.outline:.2f},"
            f" expected {OUTLINE} or more",
        ),
        (
            m.brain_seen < BRAIN_SEEN,
            f"the field of view cuts the brain: {m.brain_seen:.0%} of it is seen,"
            f" expected {BRAIN_SEEN:.0%} or more",
        ),
        (
            m.face_seen < FACE_SEEN,
            f"the field of view leaves the face out: {m.face_seen:.0%} of it is seen",
        ),
        (
            m.face_seen >= FACE_SEEN and m.face_tissue < TISSUE,
            f"no tissue where the face should be: {m.face_tissue:.0%},"
            f" expected {TISSUE:.0%} or more",
        ),
        (
            m.rotation_deg > TURN_DEG,
            f"the head is turned by {m.rotation_deg:.0f} degrees against the header's orientation",
        ),
        (
            m.scale_min < low or m.scale_max > high,
            f"no size of a head: {m.scale_min:.2f} to {m.scale_max:.2f} of the mean head,"
            f" expected {low} to {high}",
        ),
        (
            m.rival > RIVAL,
            f"the face could be in two places: another fit is {m.rival:.0%} as good",
        ),
        (
            not least <= m.removed_fraction <= most,
            f"{m.removed_fraction:.1%} of the tissue would be removed,"
            f" expected {least:.1%} to {most:.1%}",
        ),
    ]


def _information(own: NDArray[np.float32], seen: NDArray[Any]) -> float:
    if not len(own):
        return 0.0
    return mutual_information(in_levels(own, LEVELS), in_levels(seen, LEVELS), LEVELS)


def _tissue_from(image: Any) -> float:
    """Intensity above which there is tissue."""
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.SetNumberOfHistogramBins(64)
    otsu.Execute(image)
    low = float(sitk.GetArrayViewFromImage(image).min())
    return low + (float(otsu.GetThreshold()) - low) / 2


def _indices(image: Any, points: NDArray[np.float64]) -> NDArray[np.int64]:
    inverse = np.linalg.inv(place(image))
    return np.asarray(np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]), np.int64)


def _parts(matrix: NDArray[np.float64]) -> tuple[float, list[float]]:
    """Angle in degrees and scales of a linear map."""
    left, scales, right = np.linalg.svd(matrix)
    cosine = (np.trace(left @ right) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), [float(s) for s in scales]
