"""Memory of processes: what they share counts once where it matters."""

from __future__ import annotations

import os

from medgrid.agent.processes import resident_bytes


def test_shared_pages_are_told_apart_beyond_the_limit_alone() -> None:
    us = [os.getpid()]
    whole = resident_bytes(us)
    assert resident_bytes(us * 2) > 1.5 * whole
    assert resident_bytes(us, 2 * whole) >= whole
    # the libraries of this process are those of others, too
    assert 0 < resident_bytes(us, whole // 2) < whole
    assert resident_bytes([2**22 + 1]) == 0, "one that is gone"
