"""Command lines of container runtimes: what a job in a container sees and may."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.agent.container import Container, find_runtime, runtimes

BINDS = {"work": "/a/work", "tmp": "/a/tmp", "bundle": "/b/1"}
ENV = {"PATH": "/bin", "HOME": "/root", "TMPDIR": "/a/tmp", "THREADS": "2"}


@pytest.mark.parametrize(
    ("image", "called"),
    [
        ("docker.io/fsl:6", "docker://docker.io/fsl:6"),
        ("oras://host/fsl", "oras://host/fsl"),
        ("/images/fsl", "/images/fsl"),
        ("fsl.sif", "fsl.sif"),
    ],
)
def test_apptainer(image: str, called: str) -> None:
    container = Container("/usr/bin/apptainer", image, "mg-1", BINDS)
    assert container.argv(["/b/1/run", "-x"], ENV) == [
        *("/usr/bin/apptainer", "exec", "--containall", "--net", "--network=none"),
        *("--pwd=/medgrid/work", "--bind=/a/work:/medgrid/work:rw"),
        *("--bind=/a/tmp:/medgrid/tmp:rw", "--bind=/b/1:/medgrid/bundle:ro"),
        *("--env=HOME=/medgrid/tmp", "--env=THREADS=2", "--env=TMPDIR=/medgrid/tmp"),
        *(called, "/medgrid/bundle/run", "-x"),
    ]


@pytest.mark.parametrize("is_private", [False, True])
def test_podman(is_private: bool) -> None:
    binds = {name: BINDS[name] for name in ("work", "tmp")}
    container = Container("/usr/bin/podman", "fsl:6", "mg-1", binds, is_private)
    private = ["--read-only", "--read-only-tmpfs=true", "--log-driver=none"] if is_private else []
    assert container.argv(["run"], ENV) == [
        *("/usr/bin/podman", "run", "--rm", "--name=mg-1", "--network=none", "--user=0:0"),
        *("--pull=missing", "--security-opt=label=disable", "--workdir=/medgrid/work"),
        *private,
        *("--volume=/a/work:/medgrid/work:rw", "--volume=/a/tmp:/medgrid/tmp:rw"),
        *("--env=HOME=/medgrid/tmp", "--env=THREADS=2", "--env=TMPDIR=/medgrid/tmp"),
        *("--entrypoint=", "fsl:6", "run"),
    ]


def test_what_a_killed_container_leaves_is_removed_from_podmans_books(tmp_path: Path) -> None:
    for name in ("podman", "apptainer"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$@" >"$0.told"\n')
        program.chmod(0o700)
        Container(str(program), "fsl:6", "mg-1", BINDS).remove(ENV)
    assert (tmp_path / "podman.told").read_text() == "rm --force --ignore --time=0 mg-1\n"
    assert not (tmp_path / "apptainer.told").exists()
    Container(str(tmp_path / "gone" / "podman"), "fsl:6", "mg-1", BINDS).remove(ENV)  # no matter


def test_an_image_file_needs_apptainer(tmp_path: Path) -> None:
    podman = tmp_path / "podman"
    podman.touch(0o700)
    assert runtimes(str(tmp_path)) == ["podman"]
    assert find_runtime(str(tmp_path), "fsl:6") == str(podman)
    assert find_runtime(str(tmp_path), "fsl.sif") is None
    apptainer = tmp_path / "apptainer"
    apptainer.touch(0o700)
    assert find_runtime(str(tmp_path), "fsl.sif") == str(apptainer)
