"""How much of a disk the cache leaves to jobs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medgrid.agent.cache import Cache
from medgrid.agent.layout import Layout

GIBIBYTE = 1 << 30


def disk(free_bytes: int, all_bytes: int) -> Any:
    """What statvfs(3) says of a disk."""
    return lambda _: SimpleNamespace(f_frsize=1, f_blocks=all_bytes, f_bavail=free_bytes)


@pytest.mark.parametrize(
    ("disk_bytes", "spare_bytes"), [(100 * GIBIBYTE, GIBIBYTE), (5 * GIBIBYTE, GIBIBYTE // 4)]
)
def test_a_gibibyte_stays_free_or_a_twentieth_of_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_bytes: int, spare_bytes: int
) -> None:
    nothing: Any = None
    cache = Cache(Layout(str(tmp_path)), nothing)
    free_bytes = disk_bytes // 2
    monkeypatch.setattr(os, "statvfs", disk(free_bytes, disk_bytes))
    assert cache.limit_bytes == free_bytes // 2
    cache.limit = disk_bytes
    assert cache.limit_bytes == disk_bytes
    assert cache._excess(free_bytes - spare_bytes) == 0
    assert cache._excess(free_bytes - spare_bytes + 7) == 7


def test_what_was_used_longest_ago_goes_and_what_is_needed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", disk(99 * GIBIBYTE, 100 * GIBIBYTE))
    layout = Layout(str(tmp_path))
    files = [Path(layout.cached(f"{number:064x}")) for number in range(4)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(100))
        os.utime(file, (1000 + number, 1000 + number))
    needed: Any = SimpleNamespace(needed=lambda: ({files[0].name}, float("inf")))
    cache = Cache(layout, needed)
    assert cache.size_bytes == 400
    cache.limit = 340
    cache.make_room()
    assert [file.exists() for file in files] == [True, False, True, True]
    assert cache.size_bytes == 300
    cache = Cache(layout, needed)  # one that has looked at all just now does not look again
    cache.limit = 340
    missing, near = cache.ask("client", [files[1].name, files[2].name], [100, 100])
    assert (missing, near) == ([files[1].name], {})
    assert [file.exists() for file in files] == [True, False, True, False], "one is held now"
    assert cache.size_bytes == 300, "with what is about to come"
