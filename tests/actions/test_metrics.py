"""Numbers for a monitoring system: their format, and whom they say nothing of."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from medgrid.actions.grid import Grid
from medgrid.actions.metrics import Metric, as_text, metrics
from medgrid.config import load_settings
from medgrid.errors import ConfigError, Denied
from medgrid.model import Cause, JobState
from tests.lab.exposition import exposition
from tests.lab.field import Field
from tests.lab.hospital import Hospital
from tests.lab.prompt import Prompt


def test_metrics_of_a_grid(field: Field) -> None:
    field.algorithm("fail", '[ "$(cat "$1")" = a ]\n')
    field.submit("fail", *field.put("a", "b", "c"))
    field.once()
    field.submit("fail", "/t/a", "/t/b")
    text = field.prompt.ok("broker", "metrics").out
    found = exposition(text)
    by_name: dict[str, dict[str, float]] = {}
    for (name, labels), value in found.items():
        by_name.setdefault(name, {})[" ".join(value for _, value in labels)] = value
    age_s = by_name.pop("medgrid_broker_heartbeat_age_seconds")[""]
    assert 0 <= age_s < 60
    assert by_name == {
        "medgrid_jobs": {**dict.fromkeys(map(str, JobState), 0), "Submitted": 2, "Done": 3},
        "medgrid_attempts_total": {**dict.fromkeys(map(str, Cause), 0), "ok": 1, "exit": 2},
        "medgrid_worker_up": {"local": 0},  # no broker is there to reach it
        "medgrid_worker_enabled": {"local": 1},
        "medgrid_worker_slots": {"local": 2},
        "medgrid_worker_slots_used": {"local": 0},
        "medgrid_worker_slots_queued": {"local": 0},
        "medgrid_broker_lease_held": {"": 0},
    }
    # and as the client library of Prometheus reads it
    again = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert again == found
    (document,) = field.prompt.ok("broker", "metrics", "--json").documents
    assert document["schema"] == "medgrid.broker-metrics/1"
    assert [one["name"] for one in document["metrics"]] == re.findall(
        r"^# TYPE (\S+)", text, re.MULTILINE
    )


def test_a_grid_where_nothing_ever_ran(field: Field) -> None:
    found = exposition(field.prompt.ok("broker", "metrics").out)
    assert ("medgrid_broker_lease_held", frozenset()) in found
    assert ("medgrid_broker_heartbeat_age_seconds", frozenset()) not in found


def test_labels_say_nothing_of_people_and_data(field: Field) -> None:
    field.algorithm("touch", 'ran "$1"\n')
    (lfn,) = field.put("a")
    field.submit("touch", lfn)
    field.once()
    with field.grid() as grid:
        found = metrics(grid)
    labels = {name for one in found for sample, _ in one.samples for name in sample}
    assert labels == {"state", "cause", "worker"}
    values = {text for one in found for sample, _ in one.samples for text in sample.values()}
    assert values == {*map(str, JobState), *map(str, Cause), "local"}


def test_no_grid(prompt: Prompt) -> None:
    with Grid(load_settings(prompt.home)) as grid, pytest.raises(ConfigError) as caught:
        metrics(grid)
    assert caught.value.message == f"no grid at {prompt.home}"


def test_only_where_the_broker_is_at_home(hospital: Hospital) -> None:
    with hospital.bob.grid() as grid:
        assert not list((grid.settings.keys_dir / "identities").glob("broker*"))
        with pytest.raises(Denied) as caught:
            metrics(grid)
    assert caught.value.message == "the numbers of all jobs are the broker's to tell"


@pytest.mark.parametrize("text", ["plain", 'a "quoted" \\ back\\slash', "two\nlines", ",}="])
def test_texts_that_must_be_escaped(text: str) -> None:
    lines = as_text([Metric("x_total", "counter", text, (({"worker": text}, 1.5),))])
    found = exposition("".join(f"{line}\n" for line in lines))
    assert found == {("x_total", frozenset([("worker", text)])): 1.5}
