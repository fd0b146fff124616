"""NIfTI files: nibabel's own, small ones with what a test wants in them, and a BIDS dataset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

B_VALUES = b"0 1000 1000 2000\n"
B_VECTORS = b"0 1 0 0\n0 0 1 0\n0 0 0 1\n"

NIBABEL_FILES = Path(nibabel.__file__).parent / "tests" / "data"


def nibabel_file(name: str) -> Path:
    """A file of nibabel's wheel."""
    return NIBABEL_FILES / name


def write_nifti(
    path: Path, shape: Sequence[int] = (4, 5, 6), seed: int = 0, descrip: str = ""
) -> Path:
    """Write a small volume; its name says whether it is compressed."""
    voxels = np.random.default_rng(seed).integers(0, 100, shape, dtype=np.int16)
    nifti: Any = nibabel.nifti1
    image = nifti.Nifti1Image(voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = descrip.encode()
    if len(shape) > 3:
        image.header.set_zooms((1.0, 2.0, 3.0, 2.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(str(path))
    return path


def write_json(path: Path, fields: Any) -> Path:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields), "utf-8")
    return path


def write_bids(root: Path) -> Path:
    """Write a dataset of two subjects with inherited side-cars; gives its folder."""
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    (root / "participants.tsv").write_text(
        "participant_id\tage\tsex\nsub-01\t34\tF\nsub-02\t93\tm\n"
    )
    (root / "README").write_text("a dataset")
    write_json(
        root / "task-rest_bold.json",
        {"TaskName": "rest", "RepetitionTime": 2.5, "EchoTime": 0.03, "InstitutionName": "Saint E"},
    )
    write_json(root / "sub-01" / "sub-01_task-rest_bold.json", {"EchoTime": 0.025})
    for seed, subject in enumerate(("sub-01", "sub-02")):
        name = f"{subject}_ses-pre"
        folder = root / subject / "ses-pre"
        write_nifti(folder / "anat" / f"{name}_T1w.nii.gz", seed=seed)
        write_nifti(folder / "func" / f"{name}_task-rest_run-1_bold.nii.gz", (4, 5, 6, 3), seed)
        (folder / "func" / f"{name}_task-rest_run-1_events.tsv").write_text("onset\tduration\n")
    write_json(
        root / "sub-01" / "ses-pre" / "func" / "sub-01_ses-pre_task-rest_run-1_bold.json",
        {"FlipAngle": 80, "PatientName": "Meier^Anna", "SeriesDescription": "rest Meier"},
    )
    return root


def write_dwi(root: Path) -> Path:
    """Write a dataset of one diffusion image with gradients and inherited side-cars; gives it."""
    folder = root / "sub-01" / "ses-pre" / "dwi"
    image = write_nifti(folder / "sub-01_ses-pre_dwi.nii.gz", (4, 5, 6, 4))
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    write_json(root / "dwi.json", {"EchoTime": 0.09, "FlipAngle": 90, "InstitutionName": "St E"})
    write_json(folder / "sub-01_ses-pre_dwi.json", {"EchoTime": 0.08, "PatientName": "Meier^Anna"})
    (folder / "sub-01_ses-pre_dwi.bval").write_bytes(B_VALUES)
    (root / "sub-01" / "sub-01_dwi.bvec").write_bytes(B_VECTORS)
    return image
