"""A DICOM series as NIfTI volumes, by dcm2niix, cleaned of all text.

Source: Li et al. (2016), The first step for neuroimaging data analysis: DICOM to NIfTI conversion,
https://doi.org/10.1016/j.jneumeth.2016.03.001.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from medgrid.documents import Unreadable, read_file, read_json
from medgrid.errors import ConfigError, MedgridError
from medgrid.images import allowed
from medgrid.images.bids import SIDE_CAR
from medgrid.images.companions import json_bytes
from medgrid.images.deidentify import keyed, number, scrubber_of
from medgrid.images.dicom import full_header
from medgrid.images.metadata import distinct
from medgrid.images.nifti import clean_volume
from medgrid.images.volume import clean_side_car, side_car_attributes
from medgrid.images.words import SHIPPED, Vocabulary
from medgrid.model import VARIES, VARIES_WIDELY

__all__ = ["Converted", "convert", "converter", "converter_version"]

_STEM = "volume"
_NO_IMAGES = 2  # exit code: nothing that can be converted
_NUMBERS = re.compile(rb"[0-9eE+.\-\s]*")
_OF_THE_SERIES = (
    *("NumberOfSeriesRelatedInstances", "NumberOfFrames", "TransferSyntaxUID", "SOPClassUID"),
    *(VARIES, VARIES_WIDELY),
)


@dataclass(frozen=True, slots=True)
class Converted:
    """One volume made of a series.

    `postfix` tells the volumes of one series apart (``""``, ``_e2``, ``_ph``); `path` is a gzipped
    NIfTI file; `companions` are the contents of the files beside it, by name (``image.bval``).
    """

    postfix: str
    path: Path
    attributes: dict[str, Any]
    companions: dict[str, bytes] = field(default_factory=dict)


@cache
def converter() -> str:
    """Path of the dcm2niix program.

    Raises
    ------
    ConfigError
        There is none.
    """
    try:
        import dcm2niix

        return str(dcm2niix.bin_path)
    except ImportError:
        found = shutil.which("dcm2niix")
    if found is None:
        raise ConfigError(
            "dcm2niix is not installed", hint="install it with: pip install 'medgrid[imaging]'"
        )
    return found


@cache
def converter_version() -> str:
    """Version of dcm2niix, such as ``1.0.20260724``."""
    done = subprocess.run([converter(), "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v(\d+(?:\.\d+)+)", done.stdout)
    if found is None:
        raise ConfigError(f"{converter()} does not tell its version")
    return found[1]


def convert(
    instances: Path, target: Path, known: Mapping[str, Any], vocabulary: Vocabulary = SHIPPED
) -> list[Converted]:
    """Convert a series.

    Parameters
    ----------
    instances : Path
        Folder with its instances.
    target : Path
        Empty folder to work in.
    known : mapping
        Attributes of the series, which each volume has unless its side-car says otherwise.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Returns
    -------
    list of Converted
        Empty when there is nothing dcm2niix can convert.

    Raises
    ------
    MedgridError
        dcm2niix crashed or failed.
    """
    words = ["-b", "y", "-ba", "y", "-z", "n", "-f", _STEM, "-g", "i", "-o", str(target)]
    # what it prints quotes headers: nobody reads it
    done = subprocess.run(
        [converter(), *words, str(instances)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode < 0:
        raise MedgridError(f"dcm2niix was killed by signal {-done.returncode}")
    if done.returncode not in (0, _NO_IMAGES):  # there may be some volumes of several
        raise MedgridError(f"dcm2niix failed with exit code {done.returncode}")
    with min(instances.iterdir()).open("rb") as stream:
        scrub = scrubber_of(full_header(stream), vocabulary)
    # whose value is whose nobody knows, but any date is right
    left_out = {*_OF_THE_SERIES, *known.get(VARIES, ())} - allowed.DATES
    found: list[Converted] = []
    for path in sorted(target.glob(f"{_STEM}*.nii")):
        packed = path.with_name(f"{path.name}.gz")
        shape = clean_volume(path, packed)
        path.unlink()
        fields = _side_car(path.with_suffix(".json"))
        said = keyed(side_car_attributes(fields, scrub), None)
        of_series = {name: value for name, value in known.items() if name not in left_out}
        own = {name: value for name, value in said.items() if not isinstance(value, str)}
        beside = _gradients(path)
        b_values = map(number, beside.get("image.bval", b"").split())
        own |= distinct("DiffusionBValue", (one for one in b_values if one is not None))
        attributes = said | of_series | own | shape  # dcm2niix alters texts
        postfix = path.stem.removeprefix(_STEM)
        if clean := keyed(clean_side_car(fields, scrub), None):
            beside[SIDE_CAR] = json_bytes(clean)
        found.append(Converted(postfix, packed, attributes, beside))
    return found


def _side_car(path: Path) -> dict[str, Any]:
    try:
        fields = read_json(read_file(path).decode("utf-8", "replace").encode())
    except (OSError, Unreadable):
        return {}
    return fields if isinstance(fields, dict) else {}


def _gradients(volume: Path) -> dict[str, bytes]:
    """Diffusion weighting of a volume: files of numbers only."""
    found = {}
    for kind in ("bval", "bvec"):
        path = volume.with_suffix(f".{kind}")
        if path.is_file() and _NUMBERS.fullmatch(data := path.read_bytes()):
            found[f"image.{kind}"] = data
    return found
