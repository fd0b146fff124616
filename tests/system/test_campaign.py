"""A short, seeded part of ``python -m tests.campaign``: random faults lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.__main__ import campaign
from tests.campaign.drawing import draw
from tests.lab.shim import why_no_shim


def test_a_seed_draws_one_run() -> None:
    assert draw(7, 2, True) == draw(7, 2, True)
    assert draw(7, 2, True) != draw(8, 2, True)


@pytest.mark.slow
def test_random_faults_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    outcomes = list(campaign(runs=7, seed=100, hosts=2, minutes=None, directory=tmp_path))
    bad = [(one.seed, one.violations, one.log) for one in outcomes if one.violations]
    assert bad == []
    assert sum(one.faults for one in outcomes) >= 30
