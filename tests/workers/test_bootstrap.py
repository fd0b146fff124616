"""Starting the agent on hosts that lack what it needs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from medgrid.errors import ConfigError
from tests.lab.hosts import Lab
from tests.workers.places import Place, run, script


def with_python(place: Place, python: str | Path) -> Place:
    """The same worker, told which Python to use."""
    options = {**place.worker.options, "python": str(python)}
    return dataclasses.replace(
        place, worker=dataclasses.replace(place.worker, options=options), links=[]
    )


@pytest.mark.sshd
def test_a_python_that_is_too_old_is_named(ssh_place: Place, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.6.9 && exit 0\necho 3.6.9\nexit 1\n')
    old.chmod(0o755)
    with pytest.raises(ConfigError) as caught:
        with_python(ssh_place, old).open()
    assert caught.value.message == (
        f"worker shelled: no python >= 3.8 on the PATH: {old} is Python 3.6.9"
    )
    assert caught.value.hint == "install one there, or name it with the worker's option python"


@pytest.mark.lab
def test_a_host_without_python(lab_place: Place, hosts: Lab) -> None:
    host = hosts.host(1)
    there = "for p in /usr/bin/python3* /usr/local/bin/python3*; do [ -e $p ] && "
    host.exec(f"{there} mv $p $p.away; done; true")
    try:
        with pytest.raises(ConfigError) as caught:
            lab_place.open()
    finally:
        host.exec(
            "for p in /usr/bin/python3*.away /usr/local/bin/python3*.away; do "
            "[ -e $p ] && mv $p ${p%.away}; done; true"
        )
    assert caught.value.message == "worker remote: no python >= 3.8 on the PATH: found none"
    assert run(lab_place.open(), script(lab_place.attempt(), "echo back")).stdout_tail == "back\n"
