"""The room of a protected job: its plain files lie in memory, or nowhere."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from medgrid.agent import libcrypto, sealed_room
from medgrid.agent.layout import Layout
from medgrid.agent.private import NoRoom
from medgrid.agent.sealed_room import SealedRoom
from medgrid.agent.staging import StageError


def test_inputs_that_are_too_large_for_the_memory_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def full(_agent_id: str, _keeper: dict[str, Any], needed_bytes: int) -> str:
        asked.append(needed_bytes)
        raise NoRoom

    monkeypatch.setattr(sealed_room, "make_private", full)
    library = libcrypto.load()
    assert library is not None, "this host has a libcrypto"
    inputs = [{"key": "k", "plain_bytes": 30, "sha256": "a"}, {"key": "k", "plain_bytes": 12}]
    launch = {"seal_to": base64.b64encode(bytes(32)).decode(), "inputs": inputs}
    order = {"attempt": "1.1.1", "launch": launch}
    layout = Layout(str(tmp_path))
    room = SealedRoom(layout, order, {}, "agent", library)
    with pytest.raises(StageError) as caught:
        room.stage()
    assert asked == [42]
    assert caught.value.cause == "no-space"
    assert str(caught.value) == "the worker's memory file system is too small for the inputs"
    assert list(tmp_path.iterdir()) == []
    assert room.folders_to_fill == [layout.attempt("1.1.1", "private"), layout.attempt("1.1.1")]
