"""Directories in memory: ours alone, and gone when their keeper is."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medgrid.agent import private, processes, secrecy
from medgrid.agent.private import NoRoom, make_private, remove_private, room_bytes, sweep_private

BOOT = processes.boot_id()
GONE = {"pid": 2**22 + 1, "start": 1, "boot": BOOT}


@pytest.fixture(autouse=True)
def memory() -> None:
    """These need what nearly every host has."""
    if room_bytes() < 1 << 22:
        pytest.skip("needs a tmpfs that we may write to")


@pytest.fixture
def agent_id() -> Iterator[str]:
    """An agent of our own, whose directories go with it."""
    found = os.urandom(8).hex()
    yield found
    for place in private._places():
        for path in Path(place).glob(private._prefix(found) + "*"):
            shutil.rmtree(path)


def me() -> dict[str, Any]:
    return processes.identity(os.getpid(), BOOT)


def made(agent_id: str, keeper: dict[str, Any]) -> Path:
    path = make_private(agent_id, keeper, 0)
    assert path is not None
    return Path(path)


def test_a_directory_lies_in_memory_and_lets_nobody_else_in(agent_id: str) -> None:
    path = made(agent_id, me())
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", str(path)], check=True, capture_output=True, text=True
    ).stdout
    assert kind == "tmpfs\n"
    found = path.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.geteuid())
    assert agent_id not in path.name


def test_only_what_a_gone_keeper_left_is_swept(agent_id: str) -> None:
    living, left, foreign = made(agent_id, me()), made(agent_id, GONE), made("ff", GONE)
    (left / "work").mkdir()
    (left / "work" / "x").write_bytes(b"x")
    (left / "work").chmod(0)
    try:
        sweep_private(agent_id, BOOT)
        assert (living.exists(), left.exists(), foreign.exists()) == (True, False, True)
        sweep_private("ff", BOOT)
        assert not foreign.exists()
    finally:
        shutil.rmtree(foreign, ignore_errors=True)


def test_what_merely_looks_like_one_is_left_alone(agent_id: str, tmp_path: Path) -> None:
    real = made(agent_id, GONE)
    (tmp_path / "kept").touch()
    link = real.with_name(real.name + "0")
    link.symlink_to(tmp_path)
    odd = real.with_name(private._prefix(agent_id) + "odd")
    odd.mkdir()
    try:
        sweep_private(agent_id, BOOT)
        assert not real.exists()
        assert (tmp_path / "kept").exists()
        assert odd.exists()
    finally:
        link.unlink()


def test_a_link_leads_only_to_a_private_directory(agent_id: str, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    for target in (tmp_path, made("ff", GONE)):
        link = tmp_path.with_name("private")
        link.symlink_to(target)
        remove_private(agent_id, str(link))
        assert target.exists()
        assert not link.is_symlink()
    sweep_private("ff", BOOT)
    path, link = made(agent_id, me()), tmp_path / "private"
    link.symlink_to(path)
    remove_private(agent_id, str(link))
    assert not path.exists()
    assert not link.is_symlink()


def test_a_name_that_somebody_took_is_refused(
    agent_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private.secrets, "token_hex", lambda _: "taken")  # type: ignore[attr-defined]
    made(agent_id, me())
    with pytest.raises(FileExistsError):
        make_private(agent_id, me(), 0)


def test_more_than_there_is_room_for(agent_id: str) -> None:
    with pytest.raises(NoRoom):
        make_private(agent_id, me(), room_bytes() * 2)


def test_places_that_are_no_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as shared:
        good = Path(shared, "good")
        good.mkdir(0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(good))
        assert str(good) in private._places()
        good.chmod(0o777)
        assert str(good) not in private._places(), "others may rename what is in it"
        good.chmod(0o1777)
        assert str(good) in private._places()
        monkeypatch.setenv("XDG_RUNTIME_DIR", "good")
        monkeypatch.chdir(shared)
        assert "good" not in private._places()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert str(tmp_path / "none") not in private._places()
    home = Path.home()
    if Path("/dev/shm").stat().st_dev != home.stat().st_dev:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
        assert str(home) not in private._places(), "it lies on a disk"


def test_a_core_dump_is_forbidden_to_children_too() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from medgrid.agent import secrecy; secrecy.forbid_core_dumps(); secrecy.hide_memory()\n"
        "import subprocess\n"
        "print(subprocess.run(['sh', '-c', 'kill -SEGV $$']).returncode)\n"
        "print(open('/proc/self/limits').read())\n"
    )
    top = str(Path(secrecy.__file__).parents[2])
    done = subprocess.run(
        ["python3", "-c", code, top], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert done[0] == "-11"
    core = next(line.split() for line in done if line.startswith("Max core"))
    assert core[4:6] in (["1", "1"], ["0", "0"])


def test_a_group_that_is_not_ours_is_left(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").write_text("cpu\n")
    assert not secrecy._swapless_group(str(tmp_path))
    assert not secrecy._swapless_group(str(tmp_path / "none"))
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.subtree_control"]


def test_groups_of_processes_that_are_gone_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("medgrid.1", "medgrid.2/busy", "other"):
        for folder in (tmp_path / "above" / "own", tmp_path / "above"):
            (folder / name).mkdir(parents=True)
    monkeypatch.setattr(secrecy, "_own_group", lambda: "/above/own")
    secrecy.drop_empty_groups(str(tmp_path))
    for folder in (tmp_path / "above" / "own", tmp_path / "above"):
        assert {path.name for path in folder.iterdir()} - {"own"} == {"medgrid.2", "other"}
