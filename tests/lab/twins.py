"""De-identified twins of single files, and what dcm2niix makes of files."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
import pydicom

from medgrid.images.convert import converter
from medgrid.images.derive import Derivative, derive
from medgrid.images.patient import PatientKeys
from tests.lab.dicoms import encoded

__all__ = [
    "Volume",
    "assert_same",
    "converted",
    "derive_instance",
    "names_found",
    "private",
    "twin_of",
    "written",
]

KEYS = PatientKeys.of(b"k" * 32, "P-1")


@dataclass(frozen=True)
class Volume:
    """One volume: voxels, affine, files of gradients, the numbers of its side-car."""

    voxels: Any
    affine: Any
    gradients: dict[str, str]
    numbers: dict[str, Any]


def derive_instance(
    source: BinaryIO, target: BinaryIO, keys: PatientKeys, words: Iterable[str] = ()
) -> Derivative:
    """Write the de-identified twin of `source` into `target`; parameters as of `derive`."""
    found = derive(source, keys, words)
    for chunk in found.chunks():
        target.write(chunk)
    return found


def written(data: bytes) -> tuple[bytes, Derivative]:
    """Bytes of the twin of a file, and what is known of it."""
    target = io.BytesIO()
    found = derive_instance(io.BytesIO(data), target, KEYS)
    return target.getvalue(), found


def twin_of(data: bytes) -> bytes:
    """Bytes of the twin of a file."""
    return written(data)[0]


def private(ds: Any) -> dict[str, Any]:
    """Values of private elements of a dataset's twin, at any depth, by tag."""
    with pydicom.config.disable_value_validation():
        found = pydicom.dcmread(io.BytesIO(twin_of(encoded(ds))))
    return {str(one.tag): one.value for one in found.iterall() if one.tag.is_private}


def names_found(data: bytes, words: Sequence[str]) -> list[str]:
    """Those of some words that bytes hold, as text of one or two bytes, or swapped in pairs."""
    found = []
    for word in words:
        plain = word.encode() + b" " * (len(word) % 2)
        swapped = b"".join(plain[at : at + 2][::-1] for at in range(0, len(plain), 2))
        forms = (word.encode(), word.encode("utf-16-le"), swapped.strip())
        if any(form in data for form in forms):
            found.append(word)
    return found


def converted(folder: Path, files: Sequence[bytes]) -> list[Volume]:
    """What dcm2niix makes of files; `folder` must not exist."""
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, data in enumerate(files):
        (source / f"{number:04d}.dcm").write_bytes(data)
    words = ["-b", "y", "-z", "n", "-f", "v", "-o", str(target), str(source)]
    subprocess.run([converter(), *words], check=True, stdout=subprocess.DEVNULL)
    found = []
    for path in sorted(target.glob("*.nii")):
        image: Any = nibabel.loadsave.load(path)
        ends = [end for end in (".bval", ".bvec") if path.with_suffix(end).is_file()]
        said = json.loads(path.with_suffix(".json").read_text())
        found.append(
            Volume(
                np.asarray(image.dataobj),
                image.affine,
                {end: path.with_suffix(end).read_text() for end in ends},
                {key: value for key, value in said.items() if _is_number(value)},
            )
        )
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_number, value))
    return isinstance(value, bool | int | float)


def assert_same(folder: Path, files: Sequence[bytes]) -> list[Volume]:
    """That twins of files convert to the same volumes as the files; give these."""
    before = converted(folder / "originals", files)
    after = converted(folder / "twins", [twin_of(data) for data in files])
    assert before
    assert len(after) == len(before)
    for own, one in zip(after, before, strict=True):
        assert np.array_equal(own.voxels, one.voxels)
        assert np.allclose(own.affine, one.affine, atol=1e-3)
        assert own.gradients.keys() == one.gradients.keys()
        for end, text in one.gradients.items():
            assert np.allclose(_table(own.gradients[end]), _table(text), atol=1e-6)
        assert own.numbers == one.numbers
    return before


def _table(text: str) -> list[list[float]]:
    return [[float(cell) for cell in line.split()] for line in text.splitlines()]
