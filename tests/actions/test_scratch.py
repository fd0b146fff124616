"""Files that name patients do not outlive the command that made them, however it ended."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from medgrid.actions.scratch import scratch_folder, sweep_scratch
from medgrid.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "grid"
    home.mkdir()
    return Settings(home=home)


def test_what_a_killed_process_left_goes_with_the_next(settings: Settings) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with scratch_folder(settings) as folder:
            (folder / "IM1.dcm").write_bytes(b"DOE^JANE")
            os.write(writer, os.fsencode(folder))
            signal.pause()
        os._exit(0)
    left = Path(os.fsdecode(os.read(reader, 4096)))
    os.close(reader)
    os.close(writer)
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    sweep_scratch(settings)
    assert (left / "IM1.dcm").exists(), "its process works"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with scratch_folder(settings) as folder:
        assert [*settings.cache_dir.iterdir()] == [folder]
        sweep_scratch(settings)
        assert folder.exists()
    assert [*settings.cache_dir.iterdir()] == []
