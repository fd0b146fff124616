"""Connections to an SFTP storage element that nobody uses now."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from medgrid.config import Settings
from medgrid.errors import NotFound, Unreachable
from medgrid.model import StorageElement
from medgrid.storage import lanes
from medgrid.storage.lanes import Lanes


class Connection:
    """As much of a lane as is needed to keep or to close it."""

    def __init__(self, element: StorageElement, settings: Settings) -> None:
        self.is_active = True

    def close(self) -> None:
        self.is_active = False


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Lanes:
    monkeypatch.setattr(lanes, "Lane", Connection)
    return Lanes(StorageElement("far", "sftp://far/data", "there"), Settings(home=tmp_path))


def test_four_stay_open_and_are_used_again(many: Lanes) -> None:
    with ExitStack() as stack:
        used = [stack.enter_context(many.take()) for _ in range(6)]
        assert len(set(map(id, used))) == 6
    kept = [one for one in used if one.is_active]
    assert len(kept) == 4
    with many.take() as again:
        assert again in kept
    many.close()
    assert not any(one.is_active for one in used)


def test_one_that_is_gone_is_not_used_again(many: Lanes) -> None:
    with many.take() as first:
        pass
    first.close()
    with many.take() as second:
        assert second is not first


def test_an_error_of_the_connection_closes_it(many: Lanes) -> None:
    with pytest.raises(NotFound), many.take() as first:
        raise NotFound("no such file")
    assert first.is_active
    with pytest.raises(Unreachable), many.take() as second:
        raise Unreachable("timed out")
    assert second is first
    assert not second.is_active
