"""What a file is, is found by its content; what is broken says why."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from medgrid.images.dicom import full_header
from medgrid.images.scan import scan, scan_file
from medgrid.images.walk import walk
from tests.lab.dicoms import encoded, instance, pydicom_file, write_series
from tests.lab.niftis import nibabel_file, write_nifti
from tests.lab.waiting import PATIENCE_S, wait_for


def told(path: Path, root: str = "") -> tuple[str, bool]:
    found = scan_file(str(path), root)
    assert found.header is None
    assert found.volume is None
    return found.reason, found.is_failure


GZIP = "DICOM in a gzip file: unpack it (gunzip), and import what comes out"
ARCHIVE = "an archive: unpack it, if it has images"


def test_content_counts_and_not_the_ending(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.txt", "c.nii", "d.nii.gz", "e"):
        (tmp_path / name).write_bytes(encoded(instance()))
        assert scan_file(str(tmp_path / name), "").header is not None, name
    for name in ("f.dcm", "g.nii.gz", "h"):
        shutil.copy(nibabel_file("anatomical.nii"), tmp_path / name)
        volume = scan_file(str(tmp_path / name), "").volume
        assert volume is not None, name
        assert volume.filename == "image.nii"
    shutil.copy(nibabel_file("example4d.nii.gz"), tmp_path / "i.nii")
    volume = scan_file(str(tmp_path / "i.nii"), "").volume
    assert volume is not None
    assert volume.filename == "image.nii.gz"
    second = gzip.decompress(nibabel_file("example_nifti2.nii.gz").read_bytes())
    (tmp_path / "j").write_bytes(second)
    assert scan_file(str(tmp_path / "j"), "").volume is not None, "NIfTI-2"


def test_files_without_preamble_are_read() -> None:
    found = scan_file(str(pydicom_file("ExplVR_LitEndNoMeta.dcm")), "")
    assert found.header is not None
    assert found.header.sop_class == "1.2.840.10008.5.1.4.1.1.481.8"


@pytest.mark.parametrize(
    ("name", "reason", "is_failure"),
    [
        ("MR_truncated.dcm", "ends within its pixel data", True),
        ("rtplan_truncated.dcm", "ends within its header", True),
        ("JPEGLSNearLossless_08.dcm", "no SeriesInstanceUID", True),
        ("no_meta.dcm", "not a DICOM file", True),
        ("dicomdirtests/DICOMDIR", "DICOMDIR, an index of other files", False),
        (
            "dicomdirtests/TINY_ALPHA/PT000000/ST000000/SE000000/IM000000",
            "no pixel data (CT Image Storage)",
            True,
        ),
        ("README.txt", "neither DICOM nor NIfTI", False),
        ("zipMR.gz", GZIP, True),
    ],
)
def test_pydicoms_odd_files(name: str, reason: str, is_failure: bool) -> None:
    assert told(pydicom_file(name)) == (reason, is_failure)


@pytest.mark.parametrize("name", ["test-SR", "rtplan", "rtstruct", "waveform_ecg"])
def test_what_has_no_pixels_may_belong_to_a_study(name: str) -> None:
    path = pydicom_file(f"{name}.dcm")
    found = scan_file(str(path), "")
    assert found.header is not None
    assert (found.header.has_pixels, found.header.problem) == (False, None)
    assert found.header.header_bytes == path.stat().st_size


def test_what_is_of_no_study_is_left_out(tmp_path: Path) -> None:
    protocol = "1.2.840.10008.5.1.4.38.1"
    ds = instance(SOPClassUID=protocol, StudyInstanceUID=None, PixelData=None)
    (tmp_path / "x.dcm").write_bytes(encoded(ds))
    assert told(tmp_path / "x.dcm") == ("of no study (Hanging Protocol Storage)", False)


def test_broken_files(tmp_path: Path) -> None:
    whole = encoded(instance())
    tar = tarfile.TarInfo("IM0001").tobuf() + bytes(1024)
    for name, data, expected in (
        ("empty.dcm", b"", ("empty file", False)),
        ("IM0001", b"", ("empty file", False)),
        ("empty.nii", b"", ("empty file", False)),
        ("__init__.py", b"", ("empty file", False)),
        ("text.dcm", b"hello", ("not a DICOM file", True)),
        ("text.nii", b"hello", ("too short for a NIfTI header", True)),
        ("text.nii.gz", b"hello", ("too short for a NIfTI header", True)),
        ("half.nii.gz", b"\x1f\x8b\x08\0", ("compressed data end early", True)),
        ("notes.txt", b"hello", ("neither DICOM nor NIfTI", False)),
        ("images.zip", b"PK\x03\x04" + bytes(900), (ARCHIVE, False)),
        ("images.tar", tar, (ARCHIVE, False)),
        ("images.tgz", gzip.compress(tar), (ARCHIVE, False)),
        ("IM0002.dcm.gz", gzip.compress(whole), (GZIP, True)),
        ("table.tsv.gz", gzip.compress(b"hello"), ("neither DICOM nor NIfTI", False)),
        ("zeros", bytes(9000), ("neither DICOM nor NIfTI", False)),
        ("preamble.dcm", whole[:132], ("no SeriesInstanceUID", True)),
        ("half.dcm", whole[:1000], ("ends within its header", True)),
        ("no-study.dcm", encoded(instance(StudyInstanceUID=None)), ("no StudyInstanceUID", True)),
        ("no-series.dcm", encoded(instance(SeriesInstanceUID="")), ("no SeriesInstanceUID", True)),
        (
            "pixels.dcm",
            encoded(instance(PixelData=None)),
            ("no pixel data (MR Image Storage)", True),
        ),
        ("void.dcm", encoded(instance(PixelData=b"")), ("pixel data has 0 of 8192 bytes", True)),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert told(path) == expected, name
    assert told(tmp_path / "notes.txt", str(tmp_path / "notes.txt")) == (
        "neither DICOM nor NIfTI",
        True,
    ), "what was named must be an image"
    assert told(tmp_path / "empty.nii", str(tmp_path / "empty.nii")) == ("empty file", True)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "link.dcm").symlink_to(pydicom_file("MR_small.dcm"))
    assert told(tmp_path / "pipe.dcm") == ("not a regular file", False)
    assert told(tmp_path / "link.dcm") == ("symbolic link", False)
    assert told(tmp_path / "gone.dcm") == ("no such file or directory", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii")
    path.chmod(0)
    assert told(path) == ("permission denied", True)


def test_walking_follows_no_links_and_goes_on(tmp_path: Path) -> None:
    write_series(tmp_path / "b" / "inner", 2)
    (tmp_path / "a\n'\"é \udce9").write_bytes(b"x")
    (tmp_path / "-rf").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "file").symlink_to(pydicom_file("MR_small.dcm"))
    os.mkfifo(tmp_path / "pipe")
    found = list(walk([str(tmp_path)], lambda _: False))
    names = [os.path.relpath(entry.path, tmp_path) for entry in found if entry.stamp]
    assert names == ["-rf", "a\n'\"é \udce9", "b/inner/IM1.dcm", "b/inner/IM2.dcm"]
    left = {os.path.relpath(entry.path, tmp_path): entry.reason for entry in found if entry.reason}
    assert left == {
        "loop": "symbolic link",
        "file": "symbolic link",
        "pipe": "not a regular file",
    }


def test_a_folder_can_be_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "home", 1)
    inode = (tmp_path / "home").stat().st_ino
    found = list(walk([str(tmp_path)], lambda found: found.st_ino == inode))
    assert [(entry.path, entry.reason) for entry in found] == [
        (str(tmp_path / "home"), "the grid's own folder")
    ]


def many(folder: Path, count: int) -> list[tuple[str, str]]:
    folder.mkdir()
    data = encoded(instance())
    files = []
    for number in range(count):
        path = folder / f"{number:05d}"
        path.write_bytes(data if number % 10 else b"no image")
        files.append((str(path), str(folder)))
    return files


def test_several_processes_say_the_same_in_the_same_order(tmp_path: Path) -> None:
    files = many(tmp_path / "many", 1100)
    assert list(scan(files, 2)) == list(scan(files, 1))


def test_an_error_of_the_disk_is_none_of_the_file() -> None:
    """Else an import would never look at that file again."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 200:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        full_header(Failing(encoded(instance())))


def test_stopping_early_leaves_no_process(tmp_path: Path) -> None:
    files = many(tmp_path / "many", 3000)
    others = _children(os.getpid())  # of tests before this one
    found = scan(files, 2)
    next(found)
    children = [pid for pid in _children(os.getpid()) if pid not in others]
    assert len(children) >= 2
    found.close()  # type: ignore[attr-defined]
    _wait_gone(children)


def test_processes_end_with_a_killed_parent(tmp_path: Path) -> None:
    files = many(tmp_path / "many", 1100)
    program = (
        "import sys, time\n"
        "from medgrid.images.scan import scan\n"
        "if __name__ == '__main__':\n"
        f"    files = {files!r} * 3\n"
        "    found = scan(files, 2)\n"
        "    next(found)\n"
        "    print('started', flush=True)\n"
        "    time.sleep(60)\n"
    )
    script = tmp_path / "scan.py"
    script.write_text(program)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"started\n"
        children = _children(parent.pid)
        assert len(children) >= 2
        parent.send_signal(signal.SIGKILL)
        parent.wait(PATIENCE_S)
    _wait_gone(children)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    pids = [int(word) for word in text.split()]
    # multiprocessing's own helper stays as long as the process that started it
    return [pid for pid in pids if b"resource_tracker" not in _command(pid)]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _wait_gone(pids: list[int]) -> None:
    wait_for(lambda: not any(map(_is_alive, pids)), f"the end of the processes {pids}")


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
