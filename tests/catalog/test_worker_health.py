"""How workers behave, on SQLite and PostgreSQL."""

from __future__ import annotations

import re
import time

from medgrid.catalog import Catalog
from medgrid.catalog.worker_health import WorkerHealth


def test_health_is_kept_until_it_is_forgotten(catalog: Catalog) -> None:
    assert catalog.health.all() == {}
    first = WorkerHealth(1, 0, 0.0, 0.0, "lost: host gone")
    out = WorkerHealth(3, 2, 1e9, 1e9 + 0.25, "lost: host gone")
    catalog.health.save("w1", first)
    catalog.health.save("w2", first)
    catalog.health.save("w1", out)
    assert catalog.health.all() == {"w1": out, "w2": first}
    catalog.health.forget("w1")
    catalog.health.forget("w3")
    assert catalog.health.all() == {"w2": first}


def test_who_is_out_says_why_and_until_when() -> None:
    now_s = time.time()
    out = WorkerHealth(3, 1, now_s, now_s + 86400, "lost: host gone")
    assert (out.is_out(now_s), out.is_on_trial(now_s)) == (True, False)
    assert re.fullmatch(
        r"it is out until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d after failures: lost: host gone",
        out.trouble(now_s) or "",
    )
    later = now_s + 86400
    assert (out.is_out(later), out.is_on_trial(later), out.trouble(later)) == (False, True, None)
    failed = WorkerHealth(2, 0, 0.0, 0.0, "lost: host gone")
    assert (failed.is_out(now_s), failed.is_on_trial(now_s)) == (False, False)


def test_a_clock_that_was_set_back_keeps_no_worker_out() -> None:
    now_s = time.time()
    out = WorkerHealth(3, 1, now_s + 86400, now_s + 86460, "lost: host gone")
    assert (out.is_out(now_s), out.is_on_trial(now_s), out.trouble(now_s)) == (False, True, None)
