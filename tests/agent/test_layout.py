"""Files below the agent's root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medgrid.agent.launches import needs_of
from medgrid.agent.layout import read_json, write_json


def test_what_must_last_is_flushed_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "result"
    write_json(str(path), {"cause": "ok"})
    assert flushed == []
    write_json(str(path), {"cause": "lost"}, durable=True)
    assert flushed == [f"{path}.tmp", str(tmp_path)]
    assert read_json(str(path)) == {"cause": "lost"}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_launch_needs_of_the_cache() -> None:
    launch = {
        "inputs": [{"sha256": "a"}, {"sha256": "b"}, {"sha256": "a"}],
        "bundle": {"sha256": "c"},
        "environment": {"digest": "d", "wheels": {"sha256": "e"}},
    }
    assert needs_of(launch) == set("abcde")
