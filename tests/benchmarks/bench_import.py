"""Import beside bare pydicom: headers per second, whole imports, re-scans.

Run: python -m tests.benchmarks.bench_import [--files N] [--unchanged N]
Files are made of pydicom's own examples.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom

from medgrid.actions.importing.drafts import Namer, group, series_draft
from medgrid.images.scan import scan
from medgrid.model import LFN
from tests.benchmarks.figures import Figure, Row, command
from tests.lab.dicoms import ROOT_UID, encoded, pydicom_file

HEADERS = Figure("headers read, one core, to pydicom", at_least=0.8)
AGAIN = Figure("import of 100 k unchanged files", " s", at_most=10)
FIGURES = (HEADERS, AGAIN)
QUICK = {"files": 200, "unchanged": 200}
EXAMPLES = ("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm")
PER_SERIES = 100


def make_files(folder: Path, count: int) -> list[Path]:
    """Write series of a hundred instances each, made of the examples in turn."""
    paths = []
    templates = [pydicom.dcmread(pydicom_file(name)) for name in EXAMPLES]
    for number in range(count):
        series, slice_ = divmod(number, PER_SERIES)
        ds = templates[series % len(templates)]
        ds.StudyInstanceUID = f"{ROOT_UID}.7.{series // 4}"
        ds.SeriesInstanceUID = f"{ROOT_UID}.8.{series}"
        ds.SOPInstanceUID = f"{ROOT_UID}.9.{series}.{slice_}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.PatientID = f"B{series // 8}"
        ds.InstanceNumber = slice_ + 1
        inner = folder / f"{series:05d}"
        inner.mkdir(exist_ok=True)
        path = inner / f"{slice_:03d}.dcm"
        path.write_bytes(encoded(ds))
        paths.append(path)
    return paths


def bare_pydicom(paths: list[Path]) -> float:
    """Seconds to read all headers with pydicom alone."""
    start_s = time.perf_counter()
    for path in paths:
        pydicom.dcmread(path, stop_before_pixels=True)
    return time.perf_counter() - start_s


def our_headers(paths: list[Path]) -> float:
    """Seconds to read what import needs of all headers before its pass, in one process."""
    start_s = time.perf_counter()
    namer = Namer(bytes(32), LFN("/t"), "")
    for files in group(scan([(str(path), "") for path in paths], 1), print, print):
        series_draft(files, namer)
    return time.perf_counter() - start_s


def medgrid(home: Path, *words: str) -> float:
    """Seconds a command takes."""
    start_s = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "medgrid", *words],
        env={**os.environ, "MEDGRID_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start_s


def make_small(folder: Path, count: int) -> None:
    """Write volumes and no images by turns, small ones: a re-scan looks at none of them."""
    image = pydicom_file("MR_small_RLE.dcm").read_bytes()
    uid = pydicom.dcmread(pydicom_file("MR_small_RLE.dcm")).SOPInstanceUID.encode()
    for number in range(count):
        inner = folder / f"{number // 1000:04d}"
        inner.mkdir(exist_ok=True)
        other = str(10**9 + number).encode()
        (inner / f"{number % 1000:03d}").write_bytes(
            image.replace(uid, uid[: -len(other)] + other) if number % 2 else b"no image"
        )


def measure(files: int = 4000, unchanged: int = 100_000) -> Iterator[Row]:
    """Read headers, then import and import again."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "in").mkdir()
        paths = make_files(place / "in", files)
        our_headers(paths), bare_pydicom(paths)  # the page cache is warm for both
        rates = [(files / our_headers(paths), files / bare_pydicom(paths)) for _ in range(3)]
        ours, bare = sorted(rates, key=lambda pair: pair[0] / pair[1])[1]
        yield HEADERS.row(ours / bare, f"{ours:.0f} to {bare:.0f}/s")
        home = place / "grid"
        medgrid(home, "init")
        (place / "many").mkdir()
        make_small(place / "many", unchanged)
        took_s = medgrid(home, "import", str(place / "many"), "--to", "/t")
        print(f"import of {unchanged} small files, half of them no images: {took_s:.0f} s")
        yield AGAIN.row(medgrid(home, "import", str(place / "many"), "--to", "/t"))


if __name__ == "__main__":
    command(measure, __doc__)
