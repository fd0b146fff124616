"""Whole imports beside programs that do a part of it, in time, processor time and bytes.

Run: python -m tests.benchmarks.bench_whole_import [--series N] [--instances N] [--megabytes N]
Three inputs: many series of one small instance, one series of many instances, one large NIfTI file.
Beside each run sha256sum, which only reads, and what makes a de-identified copy beside a plain one:
dicom-anonymizer and cp, for NIfTI gzip and cp. An import does both, and encrypts, digests and
registers them. The files are in the page cache. Bytes are those of all processes, as the kernel
counts them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from tests.benchmarks.figures import Figure, Row, command
from tests.lab.counting import counted
from tests.lab.dicoms import ROOT_UID, encoded, instance

EDGE = 256  # pixels of the instances of the long series, which is 128 KiB each
ANONYMIZER = Path(sys.executable).with_name("dicom-anonymizer")


@dataclass(frozen=True)
class Case:
    """What is imported, and what is measured of it."""

    processor: Figure
    digest: Figure
    read: Figure
    written: Figure
    memory: Figure

    @classmethod
    def of(
        cls, what: str, peer: str, *, processor: float, digest: float, read: float, written: float
    ) -> Case:
        """Figures of one input, with their bars."""
        return cls(
            Figure(f"import of {what}: processor time to {peer}", at_most=processor),
            Figure(f"import of {what}: processor time to sha256sum", at_most=digest),
            Figure(f"import of {what}: bytes read to input", at_most=read),
            Figure(f"import of {what}: bytes written to input", at_most=written),
            Figure(f"import of {what}: memory", " MiB", at_most=150),
        )

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All of them, in order."""
        return self.processor, self.digest, self.read, self.written, self.memory


MANY = Case.of(
    "2000 series of one small image",
    "dicom-anonymizer and cp",
    processor=3,
    digest=500,
    read=6,
    written=8,
)
LONG = Case.of(
    "one series of 5000 instances",
    "dicom-anonymizer and cp",
    processor=1,
    digest=20,
    read=1.35,
    written=2.1,
)
LARGE = Case.of(
    "a NIfTI file of 2 GB", "gzip and cp", processor=1.5, digest=20, read=1.05, written=2
)
FIGURES = (*MANY.figures, *LONG.figures, *LARGE.figures)
QUICK = {"series": 20, "instances": 50, "megabytes": 16}


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    memory_mib: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
            self.read_bytes + other.read_bytes,
            self.written_bytes + other.written_bytes,
            max(self.memory_mib, other.memory_mib),
        )

    def __str__(self) -> str:
        return (
            f"{self.wall_s:.1f} s, {self.cpu_s:.1f} s processor, read {self.read_bytes >> 20} MiB,"
            f" written {self.written_bytes >> 20} MiB, {self.memory_mib:.0f} MiB memory"
        )


def cost(*words: str | Path, home: Path | None = None) -> Cost:
    """Run a command with all its children to their end."""
    env = {**os.environ, **({"MEDGRID_HOME": str(home)} if home else {})}
    began_s = time.perf_counter()
    with counted() as found:
        child = subprocess.Popen(
            list(map(str, words)),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert child.stderr is not None
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{words[0]} failed: {said[-2000:].decode(errors='replace')}")
    return Cost(
        time.perf_counter() - began_s,
        used.ru_utime + used.ru_stime,
        found.read_bytes,
        found.written_bytes,
        used.ru_maxrss / 1024,
    )


def medgrid(*words: str | Path, home: Path) -> Cost:
    """Run a command of medgrid."""
    return cost(sys.executable, "-m", "medgrid", *words, home=home)


def singles(folder: Path, count: int) -> int:
    """Write `count` series of one small instance; give their size in bytes."""
    size_bytes = 0
    template = instance()
    for number in range(count):
        for name, kind in (
            ("StudyInstanceUID", 1),
            ("SeriesInstanceUID", 2),
            ("SOPInstanceUID", 3),
        ):
            setattr(template, name, f"{ROOT_UID}.{kind}.7.{number}")
        template.file_meta.MediaStorageSOPInstanceUID = template.SOPInstanceUID
        template.PatientID = f"W{number // 4}"
        size_bytes += (folder / f"{number:06d}.dcm").write_bytes(encoded(template))
    return size_bytes


def long_series(folder: Path, count: int) -> int:
    """Write a series of `count` instances; give its size in bytes."""
    size_bytes = 0
    ds = instance(Rows=EDGE, Columns=EDGE)
    for number in range(1, count + 1):
        ds.SOPInstanceUID = f"{ROOT_UID}.3.8.{number}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.InstanceNumber = number
        ds.PixelData = os.urandom(EDGE * EDGE * 2)
        size_bytes += (folder / f"{number:06d}.dcm").write_bytes(encoded(ds))
    return size_bytes


def large_volume(folder: Path, megabytes: int) -> int:
    """Write a NIfTI file of noise of 12 bits; give its size in bytes."""
    slices = max(1, megabytes * 2)  # of 512 x 512 voxels of 2 bytes
    header: Any = nibabel.nifti1.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((512, 512, slices))
    header.set_data_offset(352)
    header["magic"] = b"n+1"
    rng = np.random.default_rng(1)
    path = folder / "large.nii"
    with path.open("wb") as file:
        file.write(header.binaryblock + bytes(4))
        for _ in range(slices):
            file.write(rng.integers(0, 4096, 512 * 512, dtype=np.int16).tobytes())
    return path.stat().st_size


def compared(
    case: Case, directory: Path, home: Path, size_bytes: int, peers: Sequence[Sequence[str]]
) -> Iterator[Row]:
    """Import ``directory/in`` beside its peers."""
    source = directory / "in"
    digested = cost("sh", "-c", f"find {source} -type f -print0 | xargs -0 sha256sum")
    theirs = Cost()
    for peer in peers:
        theirs += cost(*peer)
    ours = medgrid("import", source, "--to", f"/{directory.name}", home=home)
    print(f"{directory.name}, {size_bytes >> 20} MiB")
    for name, one in (("medgrid", ours), ("sha256sum", digested), ("the peers", theirs)):
        print(f"  {name}: {one}")
    walls = f"{ours.wall_s:.1f} to {theirs.wall_s:.1f} s by the clock"
    yield case.processor.row(ours.cpu_s / theirs.cpu_s, walls)
    walls = f"{ours.wall_s:.1f} to {digested.wall_s:.1f} s by the clock"
    yield case.digest.row(ours.cpu_s / digested.cpu_s, walls)
    yield case.read.row(ours.read_bytes / size_bytes)
    yield case.written.row(ours.written_bytes / size_bytes)
    yield case.memory.row(ours.memory_mib)


def measure(series: int = 2000, instances: int = 5000, megabytes: int = 2048) -> Iterator[Row]:
    """Import each of the three into one grid."""
    with tempfile.TemporaryDirectory(prefix="mgb-") as name:
        home = Path(name) / "grid"
        medgrid("init", home=home)
        for case, what, make, count in (
            (MANY, "many", singles, series),
            (LONG, "long", long_series, instances),
            (LARGE, "large", large_volume, megabytes),
        ):
            with tempfile.TemporaryDirectory(dir=name) as scratch:
                directory = Path(scratch) / what
                for inner in ("in", "copy", "clean"):
                    (directory / inner).mkdir(parents=True)
                size_bytes = make(directory / "in", count)
                peers = [["cp", "-r", str(directory / "in"), str(directory / "copy")]]
                if case is LARGE:
                    pack = f"gzip -6 < {directory}/in/large.nii > {directory}/clean/large.nii.gz"
                    peers += [["sh", "-c", pack]]
                else:
                    peers += [[str(ANONYMIZER), str(directory / "in"), str(directory / "clean")]]
                yield from compared(case, directory, home, size_bytes, peers)


if __name__ == "__main__":
    command(measure, __doc__)
