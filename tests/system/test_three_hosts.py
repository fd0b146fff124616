"""A laptop, three hosts by SSH and 300 jobs; its lid is closed while they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.hosts import Lab
from tests.lab.lid import close_the_lid
from tests.lab.prompt import Prompt

TARGETS = 300


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.usefixtures("similarity_wheels")
def test_the_lid_is_closed_while_300_jobs_run_on_three_hosts(
    hosts: Lab, prompt: Prompt, tmp_path: Path
) -> None:
    found = close_the_lid(prompt, hosts, tmp_path, TARGETS, closed_s=60)
    assert found.done == TARGETS

    # each job was tried once, started once, ended once, and gave one result
    assert found.once == {f"1.{number}" for number in range(1, TARGETS + 1)}
    assert len(found.used) == 3
    assert all(count > TARGETS // 10 for count in found.used.values()), found.used

    registered = prompt.ok("register", "1", "--to", "/trial/results")
    assert len(registered.lines) == TARGETS
    ranked = prompt.ok(
        "query", "algorithm=similarity", "--sort", "-nmi", "--columns", "input.targets"
    )
    assert ranked.rows[0] == ["/trial/results/1.1/measures-1", "/trial/v001"]
    assert len(ranked.lines) == TARGETS
    assert prompt("fsck").code == 0
    prompt("broker", "stop")
