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


@pytest.mark.parametrize(
    ("disk_bytes", "spare_bytes"), [(100 * GIBIBYTE, GIBIBYTE), (5 * GIBIBYTE, GIBIBYTE // 4)]
)
def test_a_gibibyte_stays_free_or_a_twentieth_of_a_small_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk_bytes: int, spare_bytes: int
) -> None:
    nothing: Any = None
    cache = Cache(Layout(str(tmp_path)), nothing)
    free_bytes = disk_bytes // 2
    disk = SimpleNamespace(f_frsize=1, f_blocks=disk_bytes, f_bavail=free_bytes)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert cache.limit_bytes == free_bytes // 2
    cache.limit = disk_bytes
    assert cache.limit_bytes == disk_bytes
    assert cache._excess(free_bytes - spare_bytes) == 0
    assert cache._excess(free_bytes - spare_bytes + 7) == 7
