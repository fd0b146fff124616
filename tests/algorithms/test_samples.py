"""The samples of config/algorithms, run as a worker would run them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgrid.algorithms.descriptor import load
from medgrid.algorithms.invocation import InputRef, Invocation, compose
from medgrid.model import ObjectKind

CONFIG = Path(__file__).parents[2] / "config" / "algorithms"


def run(
    folder: Path, name: str, inputs: Mapping[str, Sequence[InputRef]], parameters: dict[str, Any]
) -> Invocation:
    """Unpack the bundle, run the program in `folder` and return what was asked of it."""
    loaded = load(CONFIG / f"{name}.json")
    code = folder.parent / f"{folder.name}-code"
    if loaded.bundle is not None:
        with tarfile.open(fileobj=BytesIO(loaded.bundle)) as tar:
            tar.extractall(code)  # noqa: S202 - our own
    found = compose(loaded.descriptor, inputs, parameters)
    words: list[str] = []
    for word in found.argv:
        parts: Sequence[Any] = [word] if isinstance(word, str) else word
        words.append("".join(part if isinstance(part, str) else str(code) for part in parts))
    if words[0] == "python3":
        words[0] = sys.executable
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return found


def placed(folder: Path, relative: str) -> Path:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_checksum(tmp_path: Path) -> None:
    names = ["IM000002.dcm", "IM000001.dcm", "it's $HOME.dcm"]
    for name in names:
        placed(tmp_path, f"in/file/series/{name}").write_text(name)
    run(tmp_path, "checksum", {"file": [InputRef("series.tar", ObjectKind.SERIES)]}, {})
    assert (tmp_path / "checksums.txt").read_text().splitlines() == [
        f"{hashlib.sha256(name.encode()).hexdigest()}  in/file/series/{name}"
        for name in sorted(names)
    ]


def test_similarity(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    pytest.importorskip("scipy")
    data = np.random.default_rng(0).normal(size=(9, 8, 7)).astype(np.float32)
    image = nibabel.Nifti1Image(data, np.eye(4))
    for path in ("in/source/image.nii", "in/targets/0001/image.nii"):
        image.to_filename(placed(tmp_path, path))
    ref = InputRef("image.nii", ObjectKind.VOLUME)
    run(tmp_path, "similarity", {"source": [ref], "targets": [ref]}, {"picture": "yes"})
    found = json.loads((tmp_path / "measures-0001.json").read_text())
    own = load(CONFIG / "similarity.json").descriptor["custom"]["medgrid"]
    assert set(own["attributes"]["measures"]) == set(found) - {"target"}
    assert (tmp_path / "picture-0001.png").exists()


def test_bias(tmp_path: Path) -> None:
    """A disc under a slope of intensities comes out flat."""
    nibabel = pytest.importorskip("nibabel")
    pytest.importorskip("SimpleITK")
    x, y, z = np.indices((48, 48, 24)).astype(np.float32)
    head = (x - 24) ** 2 + (y - 24) ** 2 + (2 * z - 24) ** 2 < 400
    noise = np.random.default_rng(0).normal(0, 1, head.shape)
    data = np.where(head, 100 * (0.7 + 0.6 * x / 48), 0) + noise
    image = nibabel.Nifti1Image(data.astype(np.float32), np.diag([2, 2, 4, 1]))
    image.header["descrip"] = b"DOE^JANE"
    image.to_filename(placed(tmp_path, "in/image/image.nii.gz"))
    ref = InputRef("image.nii.gz", ObjectKind.VOLUME)
    run(tmp_path, "bias", {"image": [ref]}, {"shrink": "2", "keep_field": "yes"})
    corrected = nibabel.load(tmp_path / "image.nii.gz")
    inside = corrected.get_fdata()[head]
    assert inside.std() / inside.mean() < 0.5 * data[head].std() / data[head].mean()
    assert np.allclose(corrected.affine, image.affine)
    assert b"DOE" not in bytes(corrected.header["descrip"])
    assert (tmp_path / "field.nii.gz").exists()
