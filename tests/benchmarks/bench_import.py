"""Import beside bare pydicom: headers per second, whole imports, re-scans.

Run as ``python -m tests.benchmarks.bench_import [--files N] [--unchanged N]``; files are made of
pydicom's own examples. Bars: headers >= 0.8x bare pydicom on one core; a second import of 100,000
unchanged files <= 10 s.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom

from medgrid.actions.import_drafts import Namer, group, series_draft
from medgrid.images.scan import scan
from medgrid.model import LFN
from tests.lab.dicoms import ROOT_UID, encoded, pydicom_file

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
    """Seconds to read what import needs of all headers, in one process."""
    start_s = time.perf_counter()
    namer = Namer(bytes(32), LFN("/t"), "")
    for files in group(scan([(str(path), "") for path in paths], 1), print):
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--unchanged", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "in").mkdir()
        paths = make_files(place / "in", options.files)
        our_headers(paths), bare_pydicom(paths)  # the page cache is warm for both
        rates = [
            (options.files / our_headers(paths), options.files / bare_pydicom(paths))
            for _ in range(3)
        ]
        ours, bare = sorted(rates, key=lambda pair: pair[0] / pair[1])[1]
        show("headers, one core", f"{ours:.0f}/s, pydicom {bare:.0f}/s", f"{ours / bare:.1f}x")
        home = place / "grid"
        medgrid(home, "init")
        seconds = medgrid(home, "import", str(place / "in"), "--to", "/t")
        show(
            f"import of {options.files} files",
            f"{seconds:.1f} s",
            f"{options.files / seconds:.0f}/s",
        )
        seconds = medgrid(home, "import", str(place / "in"), "--to", "/t")
        show("again, all unchanged", f"{seconds:.2f} s", f"{options.files / seconds:.0f}/s")
        (place / "many").mkdir()
        make_small(place / "many", options.unchanged)
        medgrid(home, "import", str(place / "many"), "--to", "/t")
        seconds = medgrid(home, "import", str(place / "many"), "--to", "/t")
        show(f"re-scan of {options.unchanged} unchanged files", f"{seconds:.1f} s", "bar 10 s")


def show(what: str, measured: str, ratio: str) -> None:
    """Print one line."""
    print(f"{what:<45}{measured:<35}{ratio}", flush=True)


if __name__ == "__main__":
    main()
