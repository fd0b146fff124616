"""Which voxels go, when it is known where the head is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from atlas import Atlas, load_atlas
from face import face_of
from fit import Fit
from head import Head
from numpy.typing import NDArray

from tests.deface.heads import Made, make

ROLLED = 20  # voxels of 2 mm: the nose leaves the image
TISSUE = 60


@pytest.fixture(scope="module")
def atlas(pydeface: None) -> Atlas:
    """The mean head."""
    return load_atlas()


def gone(made: Made, atlas: Atlas, forward_mm: float = 0) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Intensities, and what is removed of a head that was moved forward."""
    values = np.asarray(made.image.dataobj)
    head = Head(values, 1, 0, made.image.affine)
    return values, face_of(head, Fit(1, np.eye(3), np.array([0, -forward_mm, 0]), True), atlas)


def test_the_face_and_nothing_else(atlas: Atlas) -> None:
    made = make()
    assert np.array_equal(gone(made, atlas)[1], made.face)


def test_a_nose_that_the_scanner_put_behind_the_head(atlas: Atlas) -> None:
    made = make()
    rolled = type(made.image)(np.roll(made.image.dataobj, ROLLED, axis=1), made.image.affine)
    face = np.roll(made.face, ROLLED, axis=1)
    values, removed = gone(Made(rolled, face), atlas, 2 * ROLLED)
    behind = np.zeros(face.shape, np.bool_)
    behind[:, :ROLLED] = True
    tissue = values > TISSUE
    assert (face & behind & tissue).sum() > 1000
    assert (face & tissue & ~removed).sum() <= 0.01 * (face & tissue).sum()
    assert not (removed & ~face & tissue).any()
