"""Files of strangers: each ends alone, with its name and reason, and the rest goes in."""

from __future__ import annotations

import gzip
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import nibabel
import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.lab.dicoms import encoded, instance, pydicom_file, write_series
from tests.lab.hostile import HOSTILE
from tests.lab.importer import Importer
from tests.lab.niftis import nibabel_file, write_nifti
from tests.lab.prompt import Prompt
from tests.lanes import Sample

MAX_MEMORY_KIB: Final = 1024 * 1024


def test_no_file_takes_a_gigabyte_and_the_rest_goes_in(prompt: Prompt, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_series(folder / "series", 3)
    write_nifti(folder / "volume.nii.gz")
    for name, (make, _) in HOSTILE.items():
        path = folder / name
        if name == "private.dcm":
            make(path)  # type: ignore[call-arg]
        else:
            path.write_bytes(make())  # type: ignore[call-arg, arg-type]
    assert prompt("init").code == 0
    # its memory is known of a process of its own alone
    process = prompt.start("import", folder, "--to", "/trial")
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3, err
    assert used.ru_maxrss < MAX_MEMORY_KIB
    for name, (_, reason) in HOSTILE.items():
        assert f"{folder / name}: {reason}" in err, name
    assert len(out.splitlines()) == 2, out


def test_gzip_with_something_behind_it_is_a_volume(bring: Importer, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "in" / "a.nii.gz")
    path.write_bytes(path.read_bytes() + b"junk" * 1000)
    assert bring(tmp_path / "in").new == 1
    (lfn,) = bring.lfns
    assert bring.content(bring.original(lfn)) == path.read_bytes()
    assert b"junk" not in bring.content(bring.twin(lfn))


def test_what_says_implicit_and_is_explicit_is_read_as_pydicom_reads_it(
    bring: Importer, tmp_path: Path
) -> None:
    data = encoded(instance())
    explicit = b"\x14\x001.2.840.10008.1.2.1\0"
    assert explicit in data
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.dcm").write_bytes(
        data.replace(explicit, b"\x14\x001.2.840.10008.1.2\0\0\0")
    )
    assert bring(tmp_path / "in").new == 1
    (lfn,) = bring.lfns
    (twin,) = bring.members(bring.twin(lfn))
    assert pydicom.dcmread(io.BytesIO(twin)).PixelData == instance().PixelData


# -- drawn at random -------------------------------------------------------------------------------


def _deflated(number: int) -> bytes:
    ds = instance(number, series="7", study=str(900 + number))
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return encoded(ds)


def _compressed(number: int) -> bytes:
    ds = pydicom.dcmread(pydicom_file("MR_small_RLE.dcm"))
    ds.StudyInstanceUID = ds.SeriesInstanceUID = ds.SOPInstanceUID = f"1.2.3.{900 + number}"
    return encoded(ds)


def _volume(number: int, name: str) -> bytes:
    image: Any = nibabel.nifti1.Nifti1Image(np.full((4, 5, 6), number, np.int16), np.eye(4))
    data: bytes = image.to_bytes()
    return gzip.compress(data) if name == "gz" else data


KINDS: Final[dict[str, Callable[[int], bytes]]] = {
    "explicit.dcm": lambda number: encoded(instance(number, study=str(900 + number))),
    "deflated.dcm": _deflated,
    "compressed.dcm": _compressed,
    "bare": lambda number: encoded(instance(number, study=str(900 + number)))[132:],
    "plain.nii": lambda number: _volume(number, ""),
    "packed.nii.gz": lambda number: _volume(number, "gz"),
    "second.nii.gz": lambda _: nibabel_file("example_nifti2.nii.gz").read_bytes(),
}


def broken(data: bytes, draw: random.Random) -> bytes:
    """The same with bytes flipped, cut off, left out, put in twice or overwritten."""
    at = draw.randrange(draw.choice((len(data), min(len(data), 1500))))
    size = draw.choice((1, 2, 4, 8, 100, 1000))
    match draw.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at + size :]
        case 2:
            return data[: at + size] + data[at:]
        case 3:
            return data[:at] + draw.choice((b"\xff", b"\0")) * size + data[at + size :]
        case 4:
            return data[:at] + draw.randbytes(size) + data[at + size :]
    found = bytearray(data)
    for _ in range(size):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def test_a_broken_file_ends_alone(bring: Importer, tmp_path: Path, sample: Sample) -> None:
    for seed in sample(range(500), 1):
        draw = random.Random(seed)
        folder = tmp_path / f"{seed}"
        write_series(folder / "good", 3, series="5", study="5", PatientID=f"GOOD-{seed}")
        write_nifti(folder / "good" / "volume.nii.gz", seed=1000 + seed)
        (folder / "bad").mkdir()
        for number in range(1, 29):
            kind = list(KINDS)[number % len(KINDS)]
            data = broken(KINDS[kind](number), draw)
            (folder / "bad" / f"{number}-{kind}").write_bytes(data)
        found = bring(folder, to=f"/trial/{seed}")
        told = [Path(one.path) for one in bring.failures]
        assert not [path for path in told if path.parent.name == "good"], seed
        left_out = sum(found.left_out.values())
        assert found.files == found.imported + found.known + found.failed + left_out, seed
        assert len(set(told)) == found.failed, seed
        assert all(one.reason for one in bring.failures), seed
        good = bring.grid.catalog.objects.get_many(
            [item.lfn for item in bring.new if item.lfn is not None]
        )
        counts = [item.attributes.get("NumberOfSeriesRelatedInstances") for item in good.values()]
        assert 3 in counts, seed
        assert found.new >= 2, seed
