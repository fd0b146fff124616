"""Leases: one holder at a time, proven inside each write."""

from __future__ import annotations

import pytest
from sqlalchemy import text, update

from medgrid.catalog import Catalog
from medgrid.catalog.job_schema import lease as table
from medgrid.catalog.leases import BROKER, TTL_S, LeaseHeld, LeaseLost
from medgrid.errors import Unreachable


def _silent(catalog: Catalog) -> None:
    """Let the holder's last sign of life be an hour old."""
    with catalog.db.write() as connection:
        connection.execute(update(table).values(heartbeat_s=table.c.heartbeat_s - 3600))


def test_a_held_lease_is_refused(catalog: Catalog) -> None:
    catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    with pytest.raises(LeaseHeld) as caught:
        catalog.leases.acquire(BROKER, "host2 pid 8", "boot2/8/1")
    assert caught.value.message == "a broker works on this catalog: host1 pid 7"


def test_a_released_lease_is_free(catalog: Catalog) -> None:
    first = catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    catalog.leases.release(first)
    assert catalog.leases.holder(BROKER) is None
    second = catalog.leases.acquire(BROKER, "host2 pid 8", "boot2/8/1")
    assert second.token == first.token + 1


def test_the_lease_of_a_dead_process_is_free_at_once(catalog: Catalog) -> None:
    catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    second = catalog.leases.acquire(BROKER, "host1 pid 9", "boot/9/5", gone="boot/7/1")
    assert second.token == 2


def test_a_silent_holder_is_replaced_and_fenced(catalog: Catalog) -> None:
    first = catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    _silent(catalog)
    assert catalog.leases.holder(BROKER) is None
    second = catalog.leases.acquire(BROKER, "host2 pid 8", "boot2/8/1")
    with (
        pytest.raises(LeaseLost, match="another broker has taken over"),
        catalog.leases.writing(first),
    ):
        pytest.fail("a fenced broker writes")
    with catalog.leases.writing(second):
        pass
    catalog.leases.release(first)
    holder = catalog.leases.holder(BROKER)
    assert holder is not None
    assert holder.holder == "host2 pid 8"


def test_writing_says_that_the_holder_lives(catalog: Catalog) -> None:
    lease = catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    _silent(catalog)
    with catalog.leases.writing(lease):
        pass
    holder = catalog.leases.holder(BROKER)
    assert holder is not None
    assert holder.silent_s < 5


def test_a_holder_can_be_asked_to_stop(catalog: Catalog) -> None:
    assert not catalog.leases.ask_to_stop(BROKER)
    catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    assert catalog.leases.ask_to_stop(BROKER)
    holder = catalog.leases.holder(BROKER)
    assert holder is not None
    assert holder.stop_asked


def test_a_clock_that_was_set_back_does_not_keep_a_lease(catalog: Catalog) -> None:
    first = catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    with catalog.db.write() as connection:
        connection.execute(update(table).values(heartbeat_s=table.c.heartbeat_s + 3600))
    with catalog.leases.writing(first):  # whoever holds it says so by the new time
        pass
    assert catalog.leases.holder(BROKER) is not None
    with catalog.db.write() as connection:
        connection.execute(update(table).values(heartbeat_s=table.c.heartbeat_s + 3600))
    assert catalog.leases.holder(BROKER) is None
    assert catalog.leases.acquire(BROKER, "host2 pid 8", "boot2/8/1").token == 2


@pytest.mark.postgres
@pytest.mark.parametrize("database", ["postgres"])
def test_a_holder_that_stands_still_in_a_write_keeps_nobody_out(catalog: Catalog) -> None:
    first = catalog.leases.acquire(BROKER, "host1 pid 7", "boot/7/1")
    with (
        pytest.raises(Unreachable, match="the server has gone away"),
        catalog.leases.writing(first),
        catalog.db.write() as connection,
    ):
        limit = "idle_in_transaction_session_timeout"
        assert connection.execute(text(f"SHOW {limit}")).scalar_one() == f"{TTL_S:g}s"
        connection.execute(text(f"SET LOCAL {limit} = '100ms'"))
        other = Catalog.open(catalog.db.url)
        other.leases.acquire(BROKER, "host2 pid 8", "boot2/8/1", gone="boot/7/1")
        other.close()
        connection.execute(update(table).values(holder="host1 again"))
    holder = catalog.leases.holder(BROKER)
    assert holder is not None
    assert holder.holder == "host2 pid 8"
