"""What the shell offers while a command is typed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab.prompt import Prompt
from tests.lab.waiting import PATIENCE_S


def offered(prompt: Prompt, *words: str) -> list[str]:
    """Words that bash offers for the last of `words`."""
    env = {
        **prompt.environ(),
        "_MEDGRID_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["medgrid", *words]),
        "COMP_CWORD": str(len(words)),
    }
    ran = subprocess.run(
        prompt.command(), env=env, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(prompt: Prompt, shell: str) -> None:
    script = prompt.ok("completion", shell).out
    assert "_MEDGRID_COMPLETE" in script
    assert not prompt.home.exists()


def test_bash_takes_its_script(prompt: Prompt) -> None:
    script = prompt.ok("completion", "bash").out
    ran = subprocess.run(
        ["bash", "-c", f"{script}\ncomplete -p medgrid"], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "_medgrid_completion medgrid" in ran.stdout


def test_commands_and_options(prompt: Prompt) -> None:
    assert offered(prompt, "wor") == ["worker"]
    assert "--slots" in offered(prompt, "worker", "add", "--s")


def test_what_the_grid_knows(grid_prompt: Prompt, tmp_path: Path) -> None:
    grid_prompt.ok("worker", "add", "w1", "ssh://grid@host1", "--site", "hospA")
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    grid_prompt.ok("register", file, "--to", "/trial/notes.txt")
    assert offered(grid_prompt, "worker", "check", "") == ["local", "w1"]
    assert offered(grid_prompt, "worker", "add", "w2", "ssh://h", "--site", "ho") == ["hospA"]
    assert offered(grid_prompt, "se", "check", "lo") == ["local"]
    assert offered(grid_prompt, "stat", "/tr") == ["/trial/"]
    assert offered(grid_prompt, "stat", "/trial/") == ["/trial/notes.txt"]
    assert offered(grid_prompt, "stat", "/nowhere/") == []


def test_without_a_grid_nothing_is_offered_and_nothing_said(prompt: Prompt) -> None:
    assert offered(prompt, "worker", "check", "") == []
