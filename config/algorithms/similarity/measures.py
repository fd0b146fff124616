"""Similarity of two images over their overlap.

With A the source and B the target on the source's grid, N the voxels compared:

ncc
    Normalised cross-correlation, the correlation coefficient of A and B:
    ``sum((A - mean A)(B - mean B)) / sqrt(sum((A - mean A)^2) sum((B - mean B)^2))``, -1 to 1.
ssd, msd
    Sum of squared differences ``sum((A - B)^2)``, and its mean per voxel, ``ssd / N``.
nmi
    Normalised mutual information ``(H(A) + H(B)) / H(A, B)``, 1 (independent) to 2 (each
    determines the other). C. Studholme, D. L. G. Hill, D. J. Hawkes, "An overlap invariant entropy
    measure of 3D medical image alignment", Pattern Recognition 32(1):71-86, 1999.
correlation_ratio
    ``1 - sum_a(N_a Var(B | A = a)) / (N Var(B))``, 0 to 1: how well B is a function of A.
    A. Roche, G. Malandain, X. Pennec, N. Ayache, "The correlation ratio as a new similarity
    measure for multimodal image registration", MICCAI 1998, LNCS 1496:1115-1124. (It is the
    square called eta^2(B | A) there.)

The last two are taken from the joint histogram, whose bins divide evenly the range of intensities
that each image has among the voxels compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from volumes import Affine, BoolArray, FloatArray, Volume

Order = Literal[0, 1, 3]
ORDER: dict[str, Order] = {"nearest": 0, "linear": 1, "cubic": 3}

_SLAB_VOXELS = 2_000_000  # voxels worked on at a time: memory stays bounded

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class Resampler:
    """A target seen through the voxel grid of a source.

    A voxel of the target reaches half a voxel around its centre, so that a single slice has its
    thickness; beyond that is outside.
    """

    def __init__(self, target: Volume, grid: Affine, interpolation: str = "linear") -> None:
        self._order = ORDER[interpolation]
        self._shape = target.shape
        self._valid = target.valid
        self._data: NDArray[np.float32] = target.data
        if self._order > 1:
            from scipy.ndimage import spline_filter

            self._data = spline_filter(target.data, order=3, output=np.float32, mode="nearest")
        # source index -> target index; grids that agree up to rounding agree
        to_target = np.linalg.inv(target.affine) @ grid
        near = np.rint(to_target)
        self._map = np.where(np.abs(to_target - near) < 1e-5, near, to_target)

    def box(self, box: Box) -> tuple[FloatArray, BoolArray]:
        """Target in a box of the source's grid, and where the target is."""
        starts = np.array([start for start, _ in box], dtype=np.float64)
        shape = tuple(stop - start for start, stop in box)
        matrix = self._map[:3, :3]
        offset = matrix @ starts + self._map[:3, 3]
        inside = np.ones(shape, dtype=np.bool_)
        for axis, size in enumerate(self._shape):
            along = [matrix[axis, d] * np.arange(shape[d]) for d in range(3)]
            index = (
                along[0][:, None, None]
                + along[1][None, :, None]
                + (along[2] + offset[axis])[None, None, :]
            )
            inside &= (index >= -0.5 - 1e-6) & (index <= size - 0.5 + 1e-6)
        if not inside.any():
            return np.zeros(shape, dtype=np.float32), inside
        values = self._sample(self._data, matrix, offset, shape, self._order)
        if self._valid is not None:
            inside &= self._sample(self._valid.view(np.uint8), matrix, offset, shape, 0) > 0
        return values, inside

    @staticmethod
    def _sample(
        data: NDArray[Any],
        matrix: Affine,
        offset: NDArray[np.float64],
        shape: tuple[int, ...],
        order: Order,
    ) -> FloatArray:
        whole = np.array_equal(matrix, np.eye(3)) and np.array_equal(offset, np.rint(offset))
        first = [int(at) for at in offset] if whole else [-1]
        if min(first) >= 0 and order <= 1:
            part = data[tuple(slice(at, at + size) for at, size in zip(first, shape))]
            if part.shape == shape:  # the same grid: nothing to interpolate
                return part.astype(np.float32, copy=False)
        from scipy.ndimage import affine_transform

        diagonal = np.diag(matrix)
        plain = np.array_equal(matrix, np.diag(diagonal))
        with warnings.catch_warnings():
            # SciPy warns of a meaning that a diagonal had before its version 0.18
            warnings.filterwarnings("ignore", "The behavior of affine_transform", UserWarning)
            result: FloatArray = affine_transform(
                data,
                diagonal if plain else matrix,
                offset,
                shape,
                output=np.float32,
                order=order,
                mode="nearest",
                prefilter=False,
            )
        return result


class Sums:
    """What is added up over the voxels compared, in a first pass.

    A and B are taken relative to `centre`, two numbers near their means, so that no digits are
    lost where intensities lie far from zero.
    """

    def __init__(self, centre: tuple[float, float]) -> None:
        self.n = 0
        self.low = [np.inf, np.inf]
        self.high = [-np.inf, -np.inf]
        self._centre = centre
        self._sums = np.zeros(6)

    def add(self, a: FloatArray, b: FloatArray) -> None:
        """Count voxels: intensities of the source and of the target, one each."""
        self.n += a.size
        for at, values in enumerate((a, b)):
            self.low[at] = min(self.low[at], float(values.min()))
            self.high[at] = max(self.high[at], float(values.max()))
        x = a.astype(np.float64) - self._centre[0]
        y = b.astype(np.float64) - self._centre[1]
        difference = a.astype(np.float64) - b
        self._sums += [x.sum(), y.sum(), x @ x, y @ y, x @ y, difference @ difference]

    @property
    def ncc(self) -> float | None:
        """Normalised cross-correlation; None when an image is constant."""
        if self.n == 0 or self.low[0] == self.high[0] or self.low[1] == self.high[1]:
            return None
        x, y, xx, yy, xy, _ = (float(value) for value in self._sums)
        var_x, var_y = xx - x * x / self.n, yy - y * y / self.n
        ncc = (xy - x * y / self.n) / float(np.sqrt(var_x) * np.sqrt(var_y))
        return max(-1.0, min(1.0, ncc))

    @property
    def ssd(self) -> float | None:
        """Sum of squared differences."""
        return float(self._sums[5]) if self.n else None


class JointHistogram:
    """Counts of pairs of intensities over the voxels compared, in a second pass."""

    def __init__(self, bins: int, sums: Sums) -> None:
        self._bins = bins
        self._extents = list(zip(sums.low, sums.high))
        self._counts = np.zeros(bins * bins, dtype=np.int64)

    def add(self, a: FloatArray, b: FloatArray) -> None:
        """Count voxels: intensities of the source and of the target, one each."""
        index = _bin(a, self._extents[0], self._bins) * self._bins
        index += _bin(b, self._extents[1], self._bins)
        self._counts += np.bincount(index, minlength=self._counts.size)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(bins, bins) counts, the source along the first axis."""
        return self._counts.reshape(self._bins, self._bins)


def _bin(values: FloatArray, extent: tuple[float, float], bins: int) -> NDArray[np.int32]:
    """Number of the bin of each intensity; the highest one belongs to the last bin."""
    low, high = extent
    scale = bins / (high - low) if high > low else 0.0
    index = ((values - np.float32(low)) * np.float32(scale)).astype(np.int32)
    return np.clip(index, 0, bins - 1, out=index)


def normalised_mutual_information(joint: NDArray[np.int64]) -> float | None:
    """``(H(A) + H(B)) / H(A, B)`` (Studholme 1999); None when both images are constant.

    joint : (bins, bins) counts
    """
    if not joint.any():
        return None
    h_joint = _entropy(joint.ravel())
    if h_joint <= 0:
        return None
    return (_entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0))) / h_joint


def _entropy(counts: NDArray[np.int64]) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def correlation_ratio(joint: NDArray[np.int64]) -> float | None:
    """``eta^2(B | A)`` (Roche 1998), A along the first axis; None when B is constant.

    joint : (bins, bins) counts
    """
    if not joint.any():
        return None
    levels = np.arange(joint.shape[1], dtype=np.float64)
    of_a = joint.sum(axis=1)
    some = of_a > 0
    total = joint.sum()
    mean = float(joint.sum(axis=0) @ levels / total)
    variance = float(joint.sum(axis=0) @ (levels - mean) ** 2 / total)
    if variance <= 0:
        return None
    means = (joint[some] @ levels) / of_a[some]
    explained = float(of_a[some] @ (means - mean) ** 2 / total)
    return min(1.0, explained / variance)


@dataclass
class Comparison:
    """What one comparison gave.

    measures : by name, None where not defined
    overlap_voxels : voxels of the source's grid that were compared
    overlap_fraction : their share of those that could be (mask and threshold)
    centre : index of the middle of the overlap in the source's grid
    """

    measures: dict[str, float | None]
    overlap_voxels: int
    overlap_fraction: float
    centre: tuple[int, int, int]

    def document(self, target: int) -> dict[str, int | float | str | None]:
        """As JSON; what is not defined is null and has a reason."""
        found: dict[str, int | float | str | None] = {"target": target, **self.measures}
        found["overlap_voxels"] = self.overlap_voxels
        found["overlap_fraction"] = self.overlap_fraction
        if self.overlap_voxels == 0:
            found["reason"] = "no overlap"
        elif None in self.measures.values():
            found["reason"] = "an image is constant over the overlap"
        return found


def slabs(shape: tuple[int, int, int]) -> Iterator[Box]:
    """Cut a grid along its first axis into boxes that are worked on one by one."""
    thickness = max(1, _SLAB_VOXELS // max(1, shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield (start, min(start + thickness, shape[0])), (0, shape[1]), (0, shape[2])


def compare(
    source: Volume,
    target: Volume,
    *,
    bins: int = 64,
    interpolation: str = "linear",
    threshold: float | None = None,
    mask: Volume | None = None,
) -> Comparison:
    """Compare a target with a source on the source's grid, where both are.

    Parameters
    ----------
    threshold : float, optional
        Leave out voxels of the source that are not above it.
    mask : Volume, optional
        Leave out voxels of the source where it is zero, or is not.
    """
    seen = Resampler(target, source.affine, interpolation)
    masked = Resampler(mask, source.affine, "nearest") if mask is not None else None
    wanted = 0
    along = [np.zeros(size, dtype=np.int64) for size in source.shape]

    def slab(box: Box) -> tuple[FloatArray, FloatArray, BoolArray, BoolArray]:
        """Source and target, where they may be compared, and where they are."""
        part = slice(*box[0])
        a = source.data[part]
        use = np.ones(a.shape, dtype=np.bool_) if source.valid is None else source.valid[part]
        if threshold is not None:
            use = use & (a > threshold)
        if masked is not None:
            values, there = masked.box(box)
            use = use & there & (values != 0)
        b, inside = seen.box(box)
        return a, b, use, use & inside

    sums = Sums(
        (float(source.data.mean(dtype=np.float64)), float(target.data.mean(dtype=np.float64)))
    )
    boxes = []
    for box in slabs(source.shape):
        a, b, may, use = slab(box)
        wanted += int(may.sum())
        if use.any():
            boxes.append(box)
            sums.add(a[use], b[use])
            along[0][slice(*box[0])] += use.sum(axis=(1, 2))
            along[1] += use.sum(axis=(0, 2))
            along[2] += use.sum(axis=(0, 1))
    joint = JointHistogram(bins, sums)
    for box in boxes:
        a, b, _, use = slab(box)
        joint.add(a[use], b[use])
    middle = [_middle(counts) for counts in along]
    return Comparison(
        {
            "ncc": sums.ncc,
            "ssd": sums.ssd,
            "msd": None if sums.ssd is None else sums.ssd / sums.n,
            "nmi": normalised_mutual_information(joint.counts),
            "correlation_ratio": correlation_ratio(joint.counts),
        },
        sums.n,
        sums.n / wanted if wanted else 0.0,
        (middle[0], middle[1], middle[2]),
    )


def _middle(counts: NDArray[np.int64]) -> int:
    total = int(counts.sum())
    if total == 0:
        return len(counts) // 2
    return int(np.searchsorted(np.cumsum(counts), total / 2))
