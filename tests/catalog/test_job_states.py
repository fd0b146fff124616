"""The rules of jobs' states; ``test_job_machine.py`` tries them on a catalog."""

from __future__ import annotations

from pathlib import Path

from medgrid.catalog.job_states import ACTIVE, PENDING, RULES, Event, step, table
from medgrid.model import JobState


def test_final_states_are_left_only_by_their_owner() -> None:
    for state in JobState:
        ways = {event for event in Event if step(state, event) is not None}
        if state is JobState.DONE:
            assert ways == {Event.CLEAR, Event.RESUBMIT}
        elif state in (JobState.ABORTED, JobState.CANCELLED):
            assert ways == {Event.RESUBMIT}
        elif state.is_final:
            assert ways == set()


def test_the_rules_are_written_down() -> None:
    text = (Path(__file__).parents[2] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert table() in text, f"ARCHITECTURE.md lacks this table:\n{table()}"


def test_each_event_has_its_rule() -> None:
    assert set(RULES) == set(Event)
    assert all(rule.writers for rule in RULES.values())


def test_only_assigning_makes_an_attempt() -> None:
    for state in JobState:
        for event in Event:
            after = step(state, event)
            if after in ACTIVE and state in PENDING:
                assert event is Event.ASSIGN
