"""What programs of others say of twins: nothing that they did not say of the originals."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import nibabel
import numpy as np
import pydicom.data
import pytest

from medgrid.images.derive import NoDerivative
from medgrid.images.nifti import clean_volume
from medgrid.images.patient import PatientKeys
from tests.lab.twins import derive_instance
from tests.lab.waiting import PATIENCE_S, wait_for
from tests.lanes import Sample

KEYS = PatientKeys.of(b"k" * 32, "P-7F3KQ2M9XA")
FILES = sorted(Path(pydicom.data.__file__).parent.glob("test_files/**/*.dcm"))
PACKAGES = {
    "dciodvfy": "dicom3tools",
    "dcmmkdir": "dcmtk",
    "gdcminfo": "libgdcm-tools",
    "nifti_tool": "nifti-bin",
    "Orthanc": "orthanc",  # which Debian starts as a server: so nothing here installs it
}
MAY = {
    r"</Laterality.*Conditional": "the original has its body part where the validator reads none",
    r"</InstanceNumber.*DICOMDIR": "its number cannot be read as one",
    r"</StudyDate.*DICOMDIR": "its date cannot be read as one",
    r"</PatientPosition.*Conditional": "its code is of no code table",
    r"</ICCProfile.*Required": "an ICC profile holds text of its own",
}
"""What a twin may have more, and why."""


def need(program: str) -> str:
    """The program, or a skipped test."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program}; install it with 'apt install {PACKAGES[program]}'")
    return program


def twin_of(path: Path, folder: Path) -> Path | None:
    target = folder / "TWIN"
    try:
        with path.open("rb") as source, target.open("wb") as stream:
            derive_instance(source, stream, KEYS)
    except NoDerivative:
        return None
    return target


def objections(path: Path) -> set[str]:
    """What dicom3tools' validator finds wrong, without the values that it quotes."""
    ran = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
    lines = (ran.stderr + ran.stdout).decode(errors="replace").splitlines()
    quoted = r"= <[^>]*>|Value is .*|`.*'|\"[^\"]*\""
    return {
        re.sub(r"\[\d+\]", "[]", re.sub(quoted, "", line)).strip()
        for line in lines
        if line.startswith(("Error", "Warning", "Abort"))
    }


def test_a_twin_has_no_error_that_its_original_had_not(sample: Sample, tmp_path: Path) -> None:
    need("dciodvfy")
    found = {}
    for path in sample(FILES, 25):
        twin = twin_of(path, tmp_path)
        if twin is not None:
            more = objections(twin) - objections(path)
            found[path.name] = [one for one in more if not any(re.search(may, one) for may in MAY)]
    assert {name: more for name, more in found.items() if more} == {}
    assert found


def test_a_twin_goes_into_a_dicomdir_where_its_original_does(
    sample: Sample, tmp_path: Path
) -> None:
    need("dcmmkdir")

    def enters(path: Path) -> bool:
        folder = tmp_path / "disk"
        folder.mkdir()
        shutil.copy(path, folder / "IMAGE")
        words: list[str | Path] = ["dcmmkdir", "+id", folder, "+D", folder / "DICOMDIR", "IMAGE"]
        code = subprocess.run(words, capture_output=True, check=False).returncode
        shutil.rmtree(folder)
        return code == 0

    both = [
        (path.name, enters(twin))
        for path in sample(FILES, 40)
        if (twin := twin_of(path, tmp_path)) is not None and enters(path)
    ]
    assert [name for name, is_in in both if not is_in] == []
    assert both


def test_gdcm_reads_a_twin_where_it_reads_its_original(sample: Sample, tmp_path: Path) -> None:
    need("gdcminfo")

    def reads(path: Path) -> bool:
        return subprocess.run(["gdcminfo", path], capture_output=True, check=False).returncode == 0

    both = [
        (path.name, reads(twin))
        for path in sample(FILES, 40)
        if (twin := twin_of(path, tmp_path)) is not None and reads(path)
    ]
    assert [name for name, is_read in both if not is_read] == []
    assert both


class Orthanc:
    """A PACS of this test alone."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(self, path: str, data: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of its answer."""
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)) as connection:
            connection.request("GET" if data is None else "POST", path, data)
            answer = connection.getresponse()
            return answer.status, answer.read() if answer.status == 200 else b""

    def listens(self) -> bool:
        try:
            return self.ask("/system")[0] == 200
        except OSError:
            return False


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    program = need("Orthanc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(tmp_path / "pacs"),
        "IndexDirectory": str(tmp_path / "pacs"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
    }
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs.json").write_text(json.dumps(settings))
    words = [program, str(tmp_path / "pacs.json")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet) as running:
        try:
            found = Orthanc(port)
            wait_for(found.listens, "Orthanc")
            yield found
        finally:
            running.terminate()


def test_a_pacs_stores_and_draws_a_twin_as_its_original(
    orthanc: Orthanc, sample: Sample, tmp_path: Path
) -> None:
    stored = 0
    for path in sample(FILES, 40):
        twin = twin_of(path, tmp_path)
        if twin is None:
            continue
        answers = [orthanc.ask("/instances", file.read_bytes()) for file in (path, twin)]
        assert answers[0][0] == answers[1][0], path.name
        if answers[0][0] != 200:
            continue
        stored += 1
        one, other = (json.loads(body)["ID"] for _, body in answers)
        drawn = [orthanc.ask(f"/instances/{name}/preview") for name in (one, other)]
        assert drawn[0] == drawn[1], path.name
        said = json.loads(orthanc.ask(f"/instances/{other}/simplified-tags")[1])
        assert said["PatientID"] == KEYS.pseudonym
    assert stored


def test_a_cleaned_volume_is_whole_to_the_reference_library(tmp_path: Path) -> None:
    need("nifti_tool")
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header["descrip"] = b"DOE^JANE"
    image.to_filename(tmp_path / "in.nii")
    clean_volume(tmp_path / "in.nii", tmp_path / "out.nii.gz")
    for check in ("-check_hdr", "-check_nim"):
        words = ["nifti_tool", check, "-infiles", tmp_path / "out.nii.gz"]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "BAD" not in ran.stdout + ran.stderr
        assert "GOOD" in ran.stdout + ran.stderr
