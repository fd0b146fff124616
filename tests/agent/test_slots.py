"""Slots of a host: who gets them, who waits, and from whom an emergency takes some."""

from __future__ import annotations

from typing import Any

import pytest

from medgrid.agent.slots import Slots

EMERGENCY, NORMAL, BATCH = 0, 2, 3


def launch(slots: int = 1, rank: int = NORMAL, memory_bytes: int = 0) -> dict[str, Any]:
    return {"slots": slots, "rank": rank, "limits": {"memory_bytes": memory_bytes}}


@pytest.fixture
def slots() -> Slots:
    """A host of two slots and 100 bytes of memory."""
    found = Slots()
    found.limit, found.memory_bytes = 2, 100
    return found


def room_for(slots: Slots, wanted: dict[str, Any], used_bytes: int = 10) -> list[tuple[str, bool]]:
    return slots.make_room(wanted, lambda _: used_bytes)


def test_there_is_room_up_to_the_limit(slots: Slots) -> None:
    assert slots.has_room(launch(3)), "what is larger than the host runs alone"
    slots.take("a", launch())
    assert slots.has_room(launch(1))
    assert not slots.has_room(launch(2))
    slots.take("b", launch())
    assert not slots.has_room(launch())
    slots.give_back("a")
    assert slots.has_room(launch())
    slots.give_back("b")
    assert slots.has_room(launch(3))


def test_slots_of_the_suspended_are_kept_for_them(slots: Slots) -> None:
    slots.take("a", launch(2), 1.0)
    slots.suspended("a")
    slots.suspended("a")  # told twice, counted once
    assert slots.next_suspended() == "a"
    assert not slots.has_room(launch())
    assert slots.has_room(launch(2, EMERGENCY))
    slots.take("b", launch(1, EMERGENCY))
    assert slots.to_resume() == []
    slots.give_back("b")
    assert slots.to_resume() == ["a"]
    slots.resumed("a")
    assert slots.next_suspended() is None
    assert not slots.has_room(launch())
    slots.give_back("a")
    assert slots.has_room(launch(2))


def test_an_emergency_stops_as_few_as_it_can_the_least_first(slots: Slots) -> None:
    slots.limit = 4
    slots.take("normal", launch(), 4.0)
    slots.take("early", launch(rank=BATCH), 1.0)
    slots.take("late", launch(rank=BATCH), 2.0)
    slots.take("starting", launch(rank=BATCH))
    assert room_for(slots, launch(1, EMERGENCY)) == [("late", False)]
    assert room_for(slots, launch(1, EMERGENCY)) == [], "it is leaving, and that is enough"
    assert room_for(slots, launch(3, EMERGENCY)) == [("early", False), ("starting", False)]
    assert room_for(slots, launch(4, EMERGENCY)) == [("normal", False)]


def test_emergencies_are_left_alone_and_nobody_is_stopped_in_vain(slots: Slots) -> None:
    slots.take("other", launch(1, EMERGENCY), 1.0)
    slots.take("normal", launch(), 2.0)
    assert room_for(slots, launch(2, EMERGENCY)) == []
    assert room_for(slots, launch(1, EMERGENCY)) == [("normal", False)]


def test_too_little_memory_kills_and_the_suspended_give_no_slots(slots: Slots) -> None:
    slots.take("known", launch(memory_bytes=60), 1.0)
    slots.take("measured", launch(), 2.0)
    assert room_for(slots, launch(1, EMERGENCY, 40), used_bytes=1) == [("measured", True)]

    slots.suspended("measured")
    slots.limit = 1
    slots.take("other", launch(1, EMERGENCY), 3.0)
    slots.suspended("known")
    # to kill a suspended one would make room in memory, but the other emergency keeps the slot
    assert room_for(slots, launch(1, EMERGENCY, 60)) == []
    slots.give_back("other")
    assert room_for(slots, launch(1, EMERGENCY, 60), used_bytes=30) == [
        ("measured", True),
        ("known", True),
    ]
