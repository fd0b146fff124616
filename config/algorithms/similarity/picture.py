"""A picture of one comparison: what was compared, side by side, in three planes.

Columns: the source, the target on the source's grid, a checkerboard of both, their difference.
Rows: the planes of the source's grid, through the middle of the overlap, turned the way
radiologists look at them: the patient's right, or front, is on the left of the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from measures import Box, Comparison, Resampler
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from volumes import BoolArray, FloatArray, Volume

PANEL = 300  # pixels of the longer side of a panel
GAP = 8
TITLE = 34
FOOT = 58
CHECKS = 8  # squares along the longer side of a panel
COLUMNS = ("source", "target", "checkerboard", "difference")
# patient axis a plane is normal to, its name, the axes along its rows and columns;
# patient axes are 0 left-right, 1 back-front, 2 feet-head
PLANES = ((2, "axial", 0, 1), (1, "coronal", 0, 2), (0, "sagittal", 1, 2))
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))  # where each patient axis starts and ends

INK = (235, 235, 235)
FAINT = (150, 150, 150)


def draw(source: Volume, seen: Resampler, found: Comparison, number: int) -> Image.Image:
    """Draw a comparison.

    Parameters
    ----------
    source : Volume
    seen : Resampler
        The target on the source's grid.
    found : Comparison
        Its `centre` says which planes are drawn.
    number : int
        Of the target, for the title.
    """
    planes = _planes(source, seen, found.centre)
    window_a = _window(np.concatenate([a[known].ravel() for _, a, _, known, _, _ in planes]))
    window_b = _window(np.concatenate([b[there].ravel() for _, _, b, _, there, _ in planes]))
    rows = []
    for name, a, b, known, there, spacing in planes:
        both = known & there
        grey_a = np.where(known, _grey(a, window_a), 0)
        grey_b = np.where(there, _grey(b, window_b), 0)
        # where the target is not, the checkerboard shows the source alone
        grey_c = np.where(there, grey_b, grey_a)
        size = _panel_size(a.shape, spacing)
        rows.append(
            (
                name,
                [
                    _scaled(_rgb(grey_a), size),
                    _scaled(_rgb(grey_b), size),
                    _checkerboard(_scaled(_rgb(grey_a), size), _scaled(_rgb(grey_c), size)),
                    _scaled(_difference(grey_a, grey_b, both), size),
                ],
            )
        )
    return _page(rows, found, number)


def _planes(source: Volume, seen: Resampler, centre: tuple[int, int, int]) -> list[Any]:
    """Name, source, target, where each is, and pixel spacing in mm of the planes worth drawing."""
    axes, flips = _anatomical(source)
    spacing_mm = np.sqrt((source.affine[:3, :3] ** 2).sum(axis=0))
    valid = source.valid
    found = []
    for normal, name, right, up in PLANES:
        across = axes[normal]
        if source.shape[axes[right]] < 2 or source.shape[axes[up]] < 2:
            continue  # the edge of a single slice shows nothing
        spans = [(0, size) for size in source.shape]
        spans[across] = (centre[across], centre[across] + 1)
        box: Box = (spans[0], spans[1], spans[2])
        cut = tuple(slice(start, stop) for start, stop in box)
        b, there = seen.box(box)
        a = source.data[cut]
        known = np.ones(a.shape, dtype=np.bool_) if valid is None else valid[cut]
        order = (axes[up], axes[right], across)

        def turned(
            array: NDArray[Any],
            order: tuple[int, int, int] = order,
            up: int = up,
            right: int = right,
        ) -> NDArray[Any]:
            image = array.transpose(order)[:, :, 0]
            # rows run from head (or front) downwards, columns from the patient's right (or front)
            return image[:: 1 if flips[up] else -1, :: 1 if flips[right] else -1]

        found.append(
            (
                name,
                turned(a),
                turned(b),
                turned(known),
                turned(there),
                (float(spacing_mm[axes[up]]), float(spacing_mm[axes[right]])),
            )
        )
    if not found:
        raise ValueError("an image of one voxel cannot be drawn")
    return found


def _anatomical(source: Volume) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Voxel axis nearest to each patient axis, and whether it runs against it."""
    from nibabel.orientations import io_orientation

    of_voxel_axis: NDArray[np.float64] = io_orientation(source.affine)
    axes = [0, 0, 0]
    flips = [False, False, False]
    for voxel_axis, (patient_axis, direction) in enumerate(of_voxel_axis):
        axes[int(patient_axis)] = voxel_axis
        flips[int(patient_axis)] = direction < 0
    return (axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2])


def _window(values: FloatArray) -> tuple[float, float]:
    """Darkest and brightest intensity shown: a few outliers do not count."""
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (1, 99.5))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return float(low), float(high if high > low else low + 1)


def _grey(values: FloatArray, window: tuple[float, float]) -> FloatArray:
    low, high = window
    grey: FloatArray = np.clip((values - low) / (high - low), 0, 1).astype(np.float32)
    return grey


def _rgb(grey: NDArray[Any]) -> NDArray[np.uint8]:
    return np.repeat((grey * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _difference(a: NDArray[Any], b: NDArray[Any], both: BoolArray) -> NDArray[np.uint8]:
    """Orange where the source is brighter, blue where the target is, black where they agree."""
    difference = np.where(both, a - b, 0)[:, :, None]
    orange, blue = np.array([255, 150, 30]), np.array([50, 150, 255])
    colours = np.where(difference > 0, difference * orange, -difference * blue)
    pixels: NDArray[np.uint8] = np.clip(colours, 0, 255).astype(np.uint8)
    return pixels


def _panel_size(shape: tuple[int, int], spacing: tuple[float, float]) -> tuple[int, int]:
    """Width and height in pixels that show millimetres alike in both directions."""
    height, width = shape[0] * spacing[0], shape[1] * spacing[1]
    scale = PANEL / max(height, width)
    return max(8, round(width * scale)), max(8, round(height * scale))


def _scaled(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC)


def _checkerboard(a: Image.Image, b: Image.Image) -> Image.Image:
    side = max(a.size) / CHECKS
    x, y = np.arange(a.size[0]) // side, np.arange(a.size[1]) // side
    odd = (x[None, :] + y[:, None]) % 2
    return Image.composite(b, a, Image.fromarray((odd * 255).astype(np.uint8)))


def _page(rows: list[tuple[str, list[Image.Image]]], found: Comparison, number: int) -> Image.Image:
    heights = [max(panel.size[1] for panel in panels) for _, panels in rows]
    width = len(COLUMNS) * (PANEL + GAP) + GAP
    height = TITLE + sum(heights) + GAP * len(rows) + FOOT
    page = Image.new("RGB", (width, height), (0, 0, 0))
    pen = ImageDraw.Draw(page)
    font, small = ImageFont.load_default(18), ImageFont.load_default(14)
    for column, title in enumerate(COLUMNS):
        text = f"{title} {number}" if title == "target" else title
        middle = GAP + column * (PANEL + GAP) + PANEL // 2
        pen.text((middle, TITLE // 2), text, INK, font, anchor="mm")
    top = TITLE
    for (name, panels), row_height in zip(rows, heights):
        for column, panel in enumerate(panels):
            left = GAP + column * (PANEL + GAP) + (PANEL - panel.size[0]) // 2
            at = top + (row_height - panel.size[1]) // 2
            page.paste(panel, (left, at))
            if column == 1 and found.overlap_voxels == 0:
                centre = (left + panel.size[0] // 2, at + panel.size[1] // 2)
                pen.text(centre, "no overlap", INK, font, anchor="mm")
        _letter(pen, name, top, row_height, panels[0].size, small)
        top += row_height + GAP
    legend = "difference: orange where the source is brighter, blue where the target is"
    pen.text((GAP, height - FOOT + 16), _summary(found), INK, small, anchor="lm")
    pen.text((GAP, height - FOOT + 40), legend, FAINT, small, anchor="lm")
    return page


def _letter(
    pen: ImageDraw.ImageDraw,
    name: str,
    top: int,
    row_height: int,
    size: tuple[int, int],
    font: Any,
) -> None:
    """Name the plane and mark the patient's sides on the source's panel."""
    _, _, right, up = next(plane for plane in PLANES if plane[1] == name)
    left = GAP + (PANEL - size[0]) // 2
    middle = top + row_height // 2
    end, start = ENDS[right]
    bottom, head = ENDS[up]
    centre, above, below = left + size[0] // 2, middle - size[1] // 2, middle + size[1] // 2
    for text, place, anchor in (
        (start, (left + 3, middle), "lm"),
        (end, (left + size[0] - 3, middle), "rm"),
        (head, (centre, above + 3), "mt"),
        (bottom, (centre, below - 3), "mb"),
    ):
        pen.text(place, text, INK, font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    pen.text((GAP, top + 2), name, FAINT, font, anchor="lt")


def _summary(found: Comparison) -> str:
    if found.overlap_voxels == 0:
        return "no overlap: nothing was compared"
    parts = []
    for name, label in (
        ("ncc", "NCC"),
        ("nmi", "NMI"),
        ("correlation_ratio", "correlation ratio"),
        ("msd", "mean squared difference"),
    ):
        value = found.measures[name]
        parts.append(f"{label} {'not defined' if value is None else format(value, '.4g')}")
    parts.append(f"overlap {found.overlap_fraction:.0%}, {found.overlap_voxels:,} voxels")
    return "    ".join(parts)
