"""What a checkout is told apart by."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.lab.checkout import state_of


def made(root: Path) -> Path:
    """A checkout with a file."""
    root.mkdir(exist_ok=True)
    (root / "file").write_text("as it was committed")
    (root / ".gitignore").write_text(".nightly\n__pycache__\n")
    me = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for words in (("init", "-q"), ("add", "."), (*me, "commit", "-q", "-m", "Begin")):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def test_a_commit_and_what_is_changed_in_it(tmp_path: Path) -> None:
    root = made(tmp_path / "checkout")
    (root / ".nightly").write_text("is ignored")
    clean = state_of(root)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    found = {clean}
    for name, text in {"file": "changed", "new": "one", "newer": "two"}.items():
        (root / name).write_text(text)
        found.add(state_of(root))
        (root / name).write_bytes(b"\0" + text.encode())
        found.add(state_of(root))
    assert len(found) == 7
    assert all(re.fullmatch(rf"{clean}\+[0-9a-f]{{8}}", one) for one in found - {clean})


def test_a_file_that_does_not_count(tmp_path: Path) -> None:
    root = made(tmp_path / "checkout")
    clean = state_of(root, but="file")
    (root / "file").write_text("changed")
    assert state_of(root, but="file") == clean
    assert state_of(root, but="other") != clean


def test_what_git_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DISCOVERY_ACROSS_FILESYSTEM", "1")  # it says where it looked
    with pytest.raises(SystemExit) as told:
        state_of(tmp_path)
    assert str(told.value) == (
        f"cannot tell which commit {tmp_path} is at: git rev-parse: fatal: not a git repository"
        " (or any of the parent directories): .git"
    )
