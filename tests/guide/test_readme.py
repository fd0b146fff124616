"""The README's tour, typed as it stands: every command must print what the README says.

Pseudonyms, ids, days, times and the place of the grid home differ from run to run, and with the
pseudonyms the order of lines; all else is compared.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.lab.prompt import ROOT, Prompt

README = (ROOT / "README.md").read_text(encoding="utf-8")
MARK = "@@ next @@"


def tour() -> list[tuple[str, str]]:
    """(command, what the README says it prints)"""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                command, shown = found[-1]
                found[-1] = (command, f"{shown}{line}\n")
    return found


def neutral(text: str, home: str) -> list[str]:
    """Lines without what differs from run to run, sorted."""
    for pattern, word in (
        (re.escape(home), "HOME"),
        (r"P-[0-9A-Z]{10}", "P-XXXXXXXXXX"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "NOW"),
        (r"\d{4}-\d\d-\d\d\b", "DAY"),
        (r"(catalog +)[0-9a-f]{16}", r"\1 ID"),
        (r"\d+ slots?", "N slots"),
        (r"-{3,}", "---"),
        (r" +", " "),
    ):
        text = re.sub(pattern, word, text)
    return sorted(line.rstrip() for line in text.splitlines())


def type_all(prompt: Prompt, folder: Path, commands: list[str]) -> list[str]:
    """Run commands in one shell, in `folder`, stdout a terminal; what each printed there."""
    program = folder / "bin" / "medgrid"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m medgrid "$@"\n')
    program.chmod(0o755)
    env = {
        **prompt.environ(),
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "NO_COLOR": "1",
        "MEDGRID": str(ROOT),
        "TERM": "xterm",
        "COLUMNS": "200",
    }
    script = "".join(f"{command}\necho '{MARK}'\n" for command in commands)
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:
        pass
    finally:
        os.close(ours)
    assert child.stderr is not None
    err = child.stderr.read()
    assert child.wait() == 0, err + seen.decode()
    assert "error" not in err, err
    return seen.decode().replace("\r\n", "\n").split(f"{MARK}\n")[:-1]


def test_every_command_has_its_place() -> None:
    """The README's blocks are told apart by their kind; none is left out by a typing mistake."""
    assert len(tour()) >= 15
    assert README.count("```") == 2 * README.count("```console\n")


@pytest.mark.slow
@pytest.mark.usefixtures("similarity_wheels")
@pytest.mark.skipif(
    find_spec("nilearn") is None, reason="the template comes inside nilearn's wheel"
)
def test_the_tour(prompt: Prompt, tmp_path: Path) -> None:
    steps = tour()
    prompt.env["MEDGRID_USER"] = "ana"
    try:
        printed = type_all(prompt, tmp_path / "tour", [command for command, _ in steps])
    finally:
        prompt("broker", "stop")
    for (command, said), found in zip(steps, printed, strict=True):
        expected = neutral(said, "/home/ana/.medgrid")
        assert neutral(found, str(prompt.home)) == expected, command
