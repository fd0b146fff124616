"""Outputs are regular files inside the job's directory, whatever their names lead to."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from medgrid.agent.outputs import OutputProblem, digest_file, open_inside


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "mask.nii").write_bytes(b"mask")
    return folder


def test_an_output_and_a_link_to_it_are_opened(job: Path) -> None:
    (job / "link").symlink_to("mask.nii")
    for name in ("mask.nii", "link"):
        descriptor = open_inside(str(job), name)
        assert not os.get_inheritable(descriptor)
        assert digest_file(descriptor)[0] == len(b"mask")


def test_what_is_no_regular_file_of_the_job_is_refused(job: Path) -> None:
    (job.parent / "secret").write_bytes(b"another's")
    (job.parent / "jobs").mkdir()
    (job.parent / "jobs" / "mask.nii").write_bytes(b"another's")
    (job / "out").symlink_to("../secret")
    (job / "beside").symlink_to("../jobs/mask.nii")
    (job / "nowhere").symlink_to("none")
    (job / "loop").symlink_to("loop")
    (job / "folder").mkdir()
    os.mkfifo(job / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(job / "socket"))
        found = {path.name: _refusal(job, path.name) for path in job.iterdir()}
    found |= {name: _refusal(job, name) for name in ("../secret", str(job.parent / "secret"))}
    assert found == {
        "mask.nii": None,
        "out": "leads out of the job's directory",
        "beside": "leads out of the job's directory",
        "../secret": "leads out of the job's directory",
        str(job.parent / "secret"): "leads out of the job's directory",
        "nowhere": "cannot be read: No such file or directory",
        "loop": "cannot be read: Too many levels of symbolic links",
        "folder": "is not a regular file",
        "pipe": "is not a regular file",
        "socket": "cannot be read: No such device or address",
    }


def _refusal(job: Path, name: str) -> str | None:
    """What is wrong with an output, as it is told of a job of protected data."""
    try:
        os.close(open_inside(str(job), name, "mask"))
    except OutputProblem as exc:
        assert (
            str(exc) == f"output mask: {name!r} {exc.neutral.removeprefix('output mask: a file ')}"
        )
        return exc.neutral.removeprefix("output mask: a file ")
    return None
