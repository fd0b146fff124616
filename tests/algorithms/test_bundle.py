"""Bundles: the same folder is always the same bytes; nothing from outside gets in."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from medgrid.algorithms import bundle
from medgrid.algorithms.bundle import pack_folder
from medgrid.errors import ConfigError


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.getnames()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "code"
    (path / "sub" / "__pycache__").mkdir(parents=True)
    (path / ".git").mkdir()
    (path / ".git" / "config").write_text("secret")
    (path / "sub" / "__pycache__" / "b.pyc").write_bytes(b"x")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    (path / "sub" / "b é.py").write_text("x = 1\n")
    (path / "sub" / "b.py~").write_text("old")
    return path


def test_what_is_packed(folder: Path) -> None:
    content = pack_folder(folder)
    assert names(content) == ["run.sh", "sub/b é.py"]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        run, code = tar.getmembers()
        assert (run.mode, code.mode) == (0o755, 0o644)
        assert {(m.uid, m.uname, m.mtime) for m in (run, code)} == {(0, "", 0)}


def test_the_same_folder_gives_the_same_bytes(folder: Path) -> None:
    first = pack_folder(folder)
    os.utime(folder / "run.sh", (1, 1))
    (folder / "sub" / "b é.py").chmod(0o600)
    assert pack_folder(folder) == first


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        pack_folder(folder)
    return error.value.message


def test_a_link_inside_is_packed_as_a_file(folder: Path) -> None:
    (folder / "same.sh").symlink_to("run.sh")
    assert names(pack_folder(folder)) == ["run.sh", "same.sh", "sub/b é.py"]


def test_links_that_lead_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    link = folder / "in.py"
    link.symlink_to(tmp_path / "secret")
    assert refused(folder) == (
        f"the bundle {folder} holds 'in.py', a symbolic link that leads out of it"
    )
    link.unlink()
    (folder / "more").symlink_to(tmp_path)
    assert refused(folder) == f"the bundle {folder} holds 'more', a symbolic link to a folder"


def test_what_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert refused(folder) == f"the bundle {folder} holds 'pipe', which is no file"
    assert refused(folder / "run.sh") == f"the bundle {folder / 'run.sh'} is not a folder"


def test_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 2**20)
    with (folder / "model.bin").open("wb") as stream:
        stream.truncate(2**20)
    assert refused(folder) == f"the bundle {folder} is larger than 1 MiB"
