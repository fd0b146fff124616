"""Of private elements only numbers stay that an image cannot do without; it converts as before."""

from __future__ import annotations

import gzip
import io
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from medgrid.images.convert import converter
from medgrid.images.derive import derive_instance
from medgrid.images.patient import PatientKeys
from medgrid.images.private import SAFE_PRIVATE
from tests.lab.dicoms import encoded, instance

KEYS = PatientKeys.of(b"k" * 32, "P-1")
NIBABEL_DICOM = Path(nibabel.__file__).parent / "nicom" / "tests" / "data"


def twin_of(data: bytes) -> bytes:
    target = io.BytesIO()
    derive_instance(io.BytesIO(data), target, KEYS)
    return target.getvalue()


def private(ds: Any) -> dict[str, Any]:
    return {str(one.tag): one.value for one in ds.iterall() if one.tag.is_private}


def test_diffusion_weighting_stays_and_nothing_beside_it() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance()
        block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", "1000")
        block.add_new(0x0D, "CS", "DIRECTIONAL")
        block.add_new(0x0E, "FD", [0.0, 0.6, 0.8])
        block.add_new(0x0F, "SH", "Meier")
        block.add_new(0x16, "DS", "17.25")
        other = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        other.add_new(0x10, "OB", b"Meier^Anna")
        found = pydicom.dcmread(io.BytesIO(twin_of(encoded(ds))))
    assert private(found) == {
        "(0019,0010)": "SIEMENS MR HEADER",
        "(0019,100C)": 1000,
        "(0019,100D)": "DIRECTIONAL",
        "(0019,100E)": [0.0, 0.6, 0.8],
    }


def test_what_is_no_number_is_dropped() -> None:
    with pydicom.config.disable_value_validation():
        ds = instance()
        block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0B, "LO", "12")
        block.add_new(0x0C, "UN", b"Anna")
        block.add_new(0x0D, "CS", "MEIER")
        unknown = ds.private_block(0x7053, "Philips PET Private Grouq", create=True)
        unknown.add_new(0x00, "DS", "1.5")
        found = pydicom.dcmread(io.BytesIO(twin_of(encoded(ds))))
    assert private(found) == {}


def test_only_numbers_are_ever_safe() -> None:
    kinds = {vr for elements in SAFE_PRIVATE.values() for vr in elements.values()}
    assert kinds <= {"DS", "IS", "FD", "FL", "US", "SS", "SL", "CS"}


def converted(folder: Path, files: list[bytes]) -> list[tuple[Any, Any, list[str]]]:
    """Voxels, affine and gradients of the volumes dcm2niix makes of files."""
    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, data in enumerate(files):
        (source / f"{number}.dcm").write_bytes(data)
    words = ["-z", "n", "-f", "v", "-o", str(target), str(source)]
    subprocess.run([converter(), *words], check=True, stdout=subprocess.DEVNULL)
    found = []
    for path in sorted(target.glob("*.nii")):
        image: Any = nibabel.loadsave.load(path)
        gradients = [
            path.with_suffix(end).read_text()
            for end in (".bval", ".bvec")
            if path.with_suffix(end).is_file()
        ]
        found.append((np.asarray(image.dataobj), image.affine, gradients))
    return found


@pytest.mark.parametrize(
    "names",
    [["0.dcm", "1.dcm"], ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"]],
    ids=["mosaic", "diffusion"],
)
def test_the_twin_converts_to_the_same_volume(names: list[str], tmp_path: Path) -> None:
    paths = [NIBABEL_DICOM / name for name in names]
    originals = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in paths
    ]
    before = converted(tmp_path / "original", originals)
    after = converted(tmp_path / "twin", [twin_of(data) for data in originals])
    assert len(before) == len(after) == 1
    (voxels, affine, gradients), (own_voxels, own_affine, own_gradients) = before[0], after[0]
    assert voxels.ndim == 4
    assert np.array_equal(own_voxels, voxels)
    assert np.allclose(own_affine, affine, atol=1e-3)
    assert own_gradients == gradients
