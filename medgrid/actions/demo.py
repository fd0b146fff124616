"""What the demonstration needs: real images out of installed packages, and the sample algorithm."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import medgrid
from medgrid.agent import processes
from medgrid.config import user_cache_dir
from medgrid.errors import ConfigError

__all__ = ["DemoImages", "gather_images", "sample_algorithm", "stop_agents"]

TEMPLATE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
_DOWNLOAD_TIMEOUT_S = 60

# what is shown: place in the folder of images <- package, file or folder inside it
_DICOM = {
    "hospital/ct": ("pydicom", "data/test_files/CT_small.dcm"),
    "hospital/mr": ("pydicom", "data/test_files/MR_small.dcm"),
    "hospital/77654033": ("pydicom", "data/test_files/dicomdirtests/77654033"),
    "hospital/98892001": ("pydicom", "data/test_files/dicomdirtests/98892001"),
    "hospital/98892003": ("pydicom", "data/test_files/dicomdirtests/98892003"),
}
_NIFTI = {
    "study/sub-a/ses-1/anat/sub-a_ses-1_T1w.nii": "anatomical.nii",
    "study/sub-a/ses-1/func/sub-a_ses-1_task-rest_bold.nii": "functional.nii",
    "study/sub-a/ses-2/anat/sub-a_ses-2_T1w.nii": "reoriented_anat_moved.nii",
    "study/sub-b/func/sub-b_task-rest_bold.nii.gz": "example4d.nii.gz",
}
_TEMPLATE_PLACE = "study/sub-mni/anat/sub-mni_space-MNI152_T1w.nii.gz"


@dataclass(frozen=True, slots=True)
class DemoImages:
    """A folder of images: `source_question` finds the one that others are compared with.

    `missing` says why the MNI152 template is not among them, if it is not.
    """

    folder: Path
    files: int
    source_question: str
    missing: str | None


def gather_images(folder: Path) -> DemoImages:
    """Copy the images into `folder`, which is made.

    Raises
    ------
    ConfigError
        pydicom or nibabel came without its test files.
    """
    for place, (package, name) in _DICOM.items():
        _copy(_package_dir(package) / name, folder / place)
    for place, name in _NIFTI.items():
        _copy(_package_dir("nibabel") / "tests/data" / name, folder / place)
    template, missing = _template()
    if template is not None:
        _copy(template, folder / _TEMPLATE_PLACE)
    source = "space=MNI152 and suffix=T1w" if template else "session=1 and suffix=T1w"
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    return DemoImages(folder, files, source, missing)


def sample_algorithm() -> Path:
    """The descriptor of ``similarity``, in the checkout or where the package put it.

    Raises
    ------
    ConfigError
        It is in neither place.
    """
    places = _shipped("algorithms/similarity.json")
    for place in places:
        if place.exists():
            return place
    raise ConfigError(
        f"the sample algorithm is not installed: {places[-1]} does not exist",
        hint="run the demonstration from a checkout: bin/medgrid demo",
    )


def _shipped(name: str) -> list[Path]:
    """Where a file of ``config`` may lie: in the checkout, or where the package put it."""
    return [
        Path(medgrid.__file__).parent.parent / "config" / name,
        Path(sys.prefix) / "share" / "medgrid" / name,
    ]


def stop_agents(home: Path) -> None:
    """End the agents of the local workers of a grid home that is thrown away."""
    for state in home.glob("agent/*/run/state"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(state.read_text(encoding="utf-8"))
            if processes.alive(known, known["boot"]):
                os.kill(known["pid"], signal.SIGTERM)


def _package_dir(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package} is not installed", hint=f"pip install {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copyfile(source, target)
    else:
        raise ConfigError(
            f"{source} does not exist: the package came without its test files",
            hint="install it from the package index: pip install --force-reinstall",
        )


def _template() -> tuple[Path | None, str | None]:
    """The MNI152 brain at 1 mm, which comes inside nilearn's wheel, or why there is none."""
    if importlib.util.find_spec("nilearn") is not None:
        found = _package_dir("nilearn").parent / TEMPLATE
        if found.exists():
            return found, None
    cache = user_cache_dir()
    kept = cache / Path(TEMPLATE).name
    if kept.exists():
        return kept, None
    lock = next((place for place in _shipped("locks/nilearn.txt") if place.exists()), None)
    if lock is None:
        return (
            None,
            "the lock of nilearn's wheel, which holds it, is not installed",
        )
    only = os.environ.get("MEDGRID_WHEELS")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--retries=1", "--timeout=15", "--dest", scratch]
        command += ["--require-hashes", "--requirement", str(lock)]
        if only:
            command += ["--no-index", "--find-links", only]
        try:
            ran = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DOWNLOAD_TIMEOUT_S,
            )
            wheels = list(Path(scratch).glob("nilearn-*.whl"))
            if ran.returncode != 0 or not wheels:
                return None, "nilearn's wheel, which holds it, cannot be downloaded"
            with zipfile.ZipFile(wheels[0]) as wheel:
                data = wheel.read(TEMPLATE)
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = kept.with_name(f"{kept.name}.{os.getpid()}")
            part.write_bytes(data)
            part.replace(kept)
        except subprocess.TimeoutExpired:
            return None, "nilearn's wheel, which holds it, takes too long to download"
        except (OSError, KeyError, zipfile.BadZipFile) as exc:
            return None, f"nilearn's wheel, which holds it, cannot be used ({type(exc).__name__})"
    return kept, None
