"""Many jobs at once: how many one plan places, and how many are told a worker in one message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from medgrid.actions.broker import run_broker
from medgrid.broker import assigning, driver
from medgrid.broker.assigning import Assigner, Plan
from medgrid.model import JobState, Priority
from medgrid.workers.base import Launch
from medgrid.workers.link import AgentLink
from tests.lab.field import Field


@pytest.fixture
def wide(field: Field) -> Field:
    """A worker that takes all jobs at once."""
    with field.grid() as grid:
        local = grid.catalog.places.worker("local")
    field.worker(replace(local, slots=40))
    field.algorithm("copy", 'ran "$1"\n')
    return field


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many launches each message has."""
    found: list[int] = []
    launch = AgentLink.launch

    def counted(link: AgentLink, launches: Sequence[Launch]) -> None:
        found.append(len(launches))
        launch(link, launches)

    monkeypatch.setattr(AgentLink, "launch", counted)
    return found


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[list[Priority]]:
    """The priorities of the jobs that each plan placed."""
    found: list[list[Priority]] = []
    plan = Assigner.plan

    def kept(assigner: Assigner, *, anew: bool = False) -> Plan:
        made = plan(assigner, anew=anew)
        found.append([work.priority for _, work in made.works.values()])
        return made

    monkeypatch.setattr(Assigner, "plan", kept)
    return found


def run(field: Field) -> None:
    with field.grid() as grid:
        run_broker(grid, until_stuck=True)


def test_a_worker_with_nothing_to_do_gets_few_first(
    wide: Field, messages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_FIRST", 3)
    monkeypatch.setattr(driver, "_BATCH", 8)
    names = [f"f{number}" for number in range(30)]
    wide.submit("copy", *wide.put(*names))
    run(wide)
    assert wide.runs == sorted(names)
    assert sum(messages) == 30
    assert messages[0] <= 3
    assert max(messages) <= 8


def test_a_message_has_no_more_inputs_than_an_agent_takes(
    wide: Field, messages: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_BATCH_INPUTS", 4)
    names = [f"f{number}" for number in range(20)]
    wide.submit("copy", *wide.put(*names))
    run(wide)
    assert wide.runs == sorted(names)
    assert max(messages) <= 4


def test_a_plan_places_some_and_the_next_one_the_others(
    wide: Field, plans: list[list[Priority]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assigning, "_AT_ONCE", 5)
    names = [f"f{number}" for number in range(12)]
    lfns = wide.put(*names)
    wide.submit("copy", *lfns)
    wide.submit("copy", "--priority", "batch", *lfns[:4])
    wide.submit("copy", "--priority", "emergency", *lfns[:7])
    run(wide)
    assert {job.state for job in wide.jobs("1", "2", "3")} == {JobState.DONE}
    assert len(wide.runs) == 12 + 4 + 7
    assert max(map(len, plans)) == 5
    placed = [one for plan in plans for one in plan]
    assert placed == sorted(placed, key=lambda one: one.rank)
