"""The measures: against plain numpy, against what must hold, on shifted and turned grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measures import Resampler, Sums, compare, correlation_ratio, normalised_mutual_information
from numpy.typing import NDArray
from volumes import Volume

from tests.similarity.pairs import affine, rotation, smooth, volume

NAMES = ("ncc", "ssd", "msd", "nmi", "correlation_ratio")


def plain(a: NDArray[Any], b: NDArray[Any], bins: int = 64) -> dict[str, float]:
    """The measures by the textbook, on two arrays of one shape that are binned by their range."""
    x, y = a.ravel().astype(float), b.ravel().astype(float)
    joint, _, _ = np.histogram2d(x, y, bins)
    p = joint / joint.sum()

    def entropy(q: NDArray[Any]) -> float:
        q = q[q > 0]
        return float(-(q * np.log2(q)).sum())

    levels = np.arange(bins)
    within = 0.0
    for row in joint:
        if row.sum():
            mean = (row @ levels) / row.sum()
            within += row @ (levels - mean) ** 2
    mean = joint.sum(0) @ levels / joint.sum()
    total = joint.sum(0) @ (levels - mean) ** 2
    return {
        "ncc": float(np.corrcoef(x, y)[0, 1]),
        "ssd": float(((x - y) ** 2).sum()),
        "msd": float(((x - y) ** 2).mean()),
        "nmi": (entropy(p.sum(1)) + entropy(p.sum(0))) / entropy(p.ravel()),
        "correlation_ratio": 1 - within / total,
    }


@pytest.mark.parametrize("bins", [2, 16, 64, 256])
def test_against_the_textbook(bins: int) -> None:
    a = smooth(seed=1)
    b = 0.5 * a + smooth(seed=2)
    found = compare(volume(a), volume(b), bins=bins)
    assert found.measures == pytest.approx(plain(a, b, bins), rel=1e-3)
    assert found.overlap_voxels == a.size
    assert found.overlap_fraction == 1


def test_against_the_textbook_where_intensities_are_whole_numbers() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 64, (20, 20, 20))
    b = np.clip(a // 2 + rng.integers(0, 10, a.shape), 0, 63)
    a.flat[:2] = b.flat[:2] = (0, 63)
    assert compare(volume(a), volume(b)).measures == pytest.approx(plain(a, b), rel=1e-9)


def test_an_image_and_itself() -> None:
    a = volume(smooth())
    found = compare(a, a).measures
    assert found["ncc"] == pytest.approx(1, abs=1e-12)
    assert found["ssd"] == 0
    assert found["msd"] == 0
    assert found["nmi"] == pytest.approx(2, abs=1e-12)
    assert found["correlation_ratio"] == pytest.approx(1, abs=1e-12)


@given(
    st.floats(0.01, 1000) | st.floats(-1000, -0.01),
    st.floats(-1000, 1000),
)
@settings(max_examples=25)
def test_correlation_does_not_see_scale_and_offset(scale: float, offset: float) -> None:
    a = smooth()
    found = compare(volume(a), volume(a.astype(np.float64) * scale + offset)).measures
    assert found["ncc"] == pytest.approx(np.sign(scale), abs=1e-4)


def test_information_is_symmetric() -> None:
    a, b = volume(smooth(seed=1)), volume(smooth(seed=1) ** 2 + smooth(seed=2))
    assert compare(a, b).measures["nmi"] == pytest.approx(compare(b, a).measures["nmi"])


def test_the_correlation_ratio_sees_functions_in_one_direction() -> None:
    a = smooth()
    square = volume((a - a.mean()) ** 2)
    forth, back = compare(volume(a), square, bins=256), compare(square, volume(a), bins=256)
    assert forth.measures["correlation_ratio"] == pytest.approx(1, abs=0.01)
    assert back.measures["correlation_ratio"] < 0.2  # type: ignore[operator]


def test_independent_images() -> None:
    rng = np.random.default_rng(0)
    a, b = (volume(rng.normal(size=(60, 60, 60))) for _ in range(2))
    found = compare(a, b, bins=16).measures
    assert found["ncc"] == pytest.approx(0, abs=0.01)
    assert found["nmi"] == pytest.approx(1, abs=0.001)
    assert found["correlation_ratio"] == pytest.approx(0, abs=0.001)


# -- grids -----------------------------------------------------------------------------------------


def test_a_shifted_grid_compares_where_both_are() -> None:
    a = smooth((24, 20, 16))
    b = volume(a[5:, :, 2:10], affine(1, origin=(5, 0, 2)))
    found = compare(volume(a), b)
    assert found.measures == pytest.approx(
        {"ncc": 1, "ssd": 0, "msd": 0, "nmi": 2, "correlation_ratio": 1}
    )
    assert found.overlap_voxels == 19 * 20 * 8
    assert found.overlap_fraction == pytest.approx(19 * 20 * 8 / a.size)
    assert found.centre == (14, 9, 5)


@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)])
def test_the_same_place_stored_the_other_way_round(axes: tuple[int, ...]) -> None:
    a = smooth((24, 20, 16))
    matrix = affine(2)
    for axis in axes:
        matrix[axis, axis] = -2
        matrix[axis, 3] = 2 * (a.shape[axis] - 1)
    found = compare(volume(a, affine(2)), volume(np.flip(a, axes), matrix))
    assert found.measures["ssd"] == 0
    assert found.overlap_voxels == a.size


def test_the_same_place_with_axes_exchanged() -> None:
    a = smooth((24, 20, 16))
    matrix = affine(1)[:, [2, 0, 1, 3]]
    found = compare(volume(a), volume(a.transpose(2, 0, 1), matrix))
    assert found.measures["ssd"] == 0
    assert found.overlap_voxels == a.size


@pytest.mark.parametrize(("order", "error"), [("linear", 0.6), ("cubic", 0.05), ("nearest", 6)])
def test_a_turned_grid_is_resampled(order: str, error: float) -> None:
    """A function of space looks the same through any grid."""

    def seen(matrix: NDArray[np.float64], shape: tuple[int, int, int]) -> Volume:
        index = np.indices(shape).reshape(3, -1)
        x, y, z = matrix[:3, :3] @ index + matrix[:3, 3:]
        values = 100 + 20 * np.sin(x / 5) * np.cos(y / 6) + 10 * np.sin(z / 4)
        return volume(values.reshape(shape), matrix)

    source = seen(affine(1.2, 1, 0.9, origin=(-12, -10, -8)), (20, 20, 18))
    turned = seen(rotation(20) @ rotation(10, 0) @ affine(1, origin=(-30, -30, -30)), (60, 60, 60))
    found = compare(source, turned, interpolation=order)
    assert found.overlap_voxels == source.data.size
    assert found.measures["msd"] < error  # type: ignore[operator]
    assert found.measures["ncc"] > 0.95  # type: ignore[operator]


def test_a_single_slice_has_its_thickness() -> None:
    a = smooth((24, 20, 9))
    matrix = affine(1, 1, 3, origin=(0, 0, 4))  # 3 mm thick, centred at 4 mm
    found = compare(volume(a), volume(a[:, :, 4:5], matrix))
    assert found.overlap_voxels == 24 * 20 * 3


def test_no_overlap() -> None:
    a = smooth()
    found = compare(volume(a), volume(a, affine(1, origin=(500, 0, 0))))
    assert found.document(1) == {
        "target": 1,
        **dict.fromkeys(NAMES),
        "overlap_voxels": 0,
        "overlap_fraction": 0.0,
        "reason": "no overlap",
    }


def test_a_constant_image() -> None:
    a = smooth()
    found = compare(volume(a), volume(np.full_like(a, 7))).document(2)
    assert found["ncc"] is None
    assert found["correlation_ratio"] is None
    assert found["nmi"] == pytest.approx(1)
    assert found["reason"] == "an image is constant over the overlap"
    both = volume(np.full_like(a, 7))
    assert compare(both, both).measures == {
        "ncc": None,
        "ssd": 0.0,
        "msd": 0.0,
        "nmi": None,
        "correlation_ratio": None,
    }


# -- what is left out ------------------------------------------------------------------------------


def test_threshold_and_mask() -> None:
    a, b = smooth(seed=1), smooth(seed=2)
    above = a > 100
    found = compare(volume(a), volume(b), threshold=100)
    assert found.overlap_voxels == above.sum()
    assert found.overlap_fraction == 1
    assert found.measures["ncc"] == pytest.approx(np.corrcoef(a[above], b[above])[0, 1], rel=1e-6)
    mask = volume(above[2:], affine(1, origin=(2, 0, 0)))
    masked = compare(volume(a), volume(b), mask=mask)
    above[:2] = False
    assert masked.overlap_voxels == above.sum()
    assert masked.measures["ssd"] == pytest.approx(((a - b)[above] ** 2).sum(), rel=1e-6)


def test_what_is_no_number_is_left_out() -> None:
    a, b = smooth(seed=1), smooth(seed=2)
    holes = np.zeros(a.shape, dtype=np.bool_)
    holes[3:6, 2:9, 1:4] = True
    blank = np.where(holes, np.float32(0), b)
    found = compare(volume(a), Volume(blank, affine(1), ~holes))
    assert found.overlap_voxels == (~holes).sum()
    assert found.measures["msd"] == pytest.approx(((a - b)[~holes] ** 2).mean(), rel=1e-6)
    found = compare(Volume(blank, affine(1), ~holes), volume(a))
    assert found.overlap_voxels == (~holes).sum()


# -- parts -----------------------------------------------------------------------------------------


def test_slabs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import measures

    a = volume(smooth((30, 20, 16), seed=1))
    b = volume(smooth((30, 20, 16), seed=2), rotation(5) @ affine(1.1))
    whole = compare(a, b)
    monkeypatch.setattr(measures, "_SLAB_VOXELS", 700)
    pieces = compare(a, b)
    assert pieces.measures == pytest.approx(whole.measures, rel=1e-9)
    assert pieces.overlap_voxels == whole.overlap_voxels
    assert pieces.centre == whole.centre


def test_a_box_is_a_part_of_the_whole() -> None:
    seen = Resampler(volume(smooth()), rotation(7) @ affine(0.9), "linear")
    values, inside = seen.box(((0, 20), (0, 18), (0, 15)))
    part, part_inside = seen.box(((4, 9), (3, 18), (7, 8)))
    assert np.array_equal(part_inside, inside[4:9, 3:18, 7:8])
    assert np.allclose(part[part_inside], values[4:9, 3:18, 7:8][part_inside], atol=1e-3)


def test_a_long_way_from_zero_loses_no_digits() -> None:
    sums = Sums((1e6, 1e6))
    x = np.asarray((np.arange(1000) % 16) / 16 + 1e6, dtype=np.float32)
    sums.add(x, x)
    assert sums.ncc == pytest.approx(1, abs=1e-9)


def test_histograms_of_one_cell() -> None:
    joint = np.zeros((4, 4), dtype=np.int64)
    joint[1, 2] = 10
    assert normalised_mutual_information(joint) is None
    assert correlation_ratio(joint) is None
