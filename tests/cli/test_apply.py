"""``medgrid apply``: the grid as a file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from medgrid.actions.apply import make_plan
from medgrid.actions.grid import Grid
from medgrid.catalog import Catalog
from medgrid.config import Settings
from medgrid.errors import ConfigError
from tests.lab.prompt import ROOT, Prompt

GRID = """\
sites:
  hospA: {class: compute}
storage:
  store1: {url: "sftp://grid@host1/data", site: hospA}
workers:
  w1: {url: "ssh://grid@host1", site: hospA, slots: 8, tags: [python], memory: 32G}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(GRID)
    return path


def state(prompt: Prompt) -> str:
    return "".join(prompt.ok(kind, "ls").out for kind in ("site", "se", "worker"))


def test_shows_the_difference_and_makes_it(grid_prompt: Prompt, file: Path) -> None:
    ran = grid_prompt("apply", file)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "+ site hospA\n"
        "    site_class: compute\n"
        "+ se store1\n"
        "    url: sftp://grid@host1/data\n"
        "    site: hospA\n"
        "    enabled: yes\n"
        "+ worker w1\n"
        "    url: ssh://grid@host1\n"
        "    site: hospA\n"
        "    slots: 8\n"
        "    tags: python\n"
        "    memory_bytes: 34359738368\n"
        "    enabled: yes\n"
        "= worker local\n"
        "= se local\n"
        "= site here\n"
    )
    assert "w1\tssh://grid@host1\thospA\t8\t32.0G\t\tpython\tenabled" in state(grid_prompt)


def test_second_time_there_is_nothing_to_do(grid_prompt: Prompt, file: Path) -> None:
    grid_prompt.ok("apply", file)
    assert grid_prompt.ok("apply", file).lines == ["= worker local", "= se local", "= site here"]


def test_a_change_is_shown_with_before_and_after(grid_prompt: Prompt, file: Path) -> None:
    grid_prompt.ok("apply", file)
    file.write_text(GRID.replace("slots: 8", "slots: 4").replace("[python]", "[]"))
    assert grid_prompt.ok("apply", file).lines[:3] == [
        "~ worker w1",
        "    slots: 8 -> 4",
        "    tags: python -> none",
    ]


def test_dry_run_changes_nothing(grid_prompt: Prompt, file: Path) -> None:
    before = state(grid_prompt)
    assert grid_prompt.ok("apply", file, "--dry-run").lines[0] == "+ site hospA"
    assert state(grid_prompt) == before


def test_prune_asks_or_wants_yes(grid_prompt: Prompt, file: Path) -> None:
    before = state(grid_prompt)
    ran = grid_prompt("apply", file, "--prune")
    assert ran.code == 2
    assert ran.err == (
        "medgrid: error: remove 3 from the catalog? cannot be asked here\n"
        "medgrid: hint: say --yes to go on\n"
    )
    assert state(grid_prompt) == before
    assert grid_prompt.ok("apply", file, "--prune", "--yes").lines[-3:] == [
        "- worker local",
        "- se local",
        "- site here",
    ]
    assert "local" not in state(grid_prompt)


def test_prune_asks_on_a_terminal(grid_prompt: Prompt, file: Path) -> None:
    question = "remove 3 from the catalog? [y/N]: "
    ran = grid_prompt.on_terminal("apply", file, "--prune", typed=[(question, "n\n")])
    assert ran.code == 130
    assert "local" in state(grid_prompt)
    ran = grid_prompt.on_terminal("apply", file, "--prune", typed=[(question, "y\n")])
    assert ran.code == 0
    assert "local" not in state(grid_prompt)


def test_all_or_nothing(grid_prompt: Prompt, file: Path, tmp_path: Path) -> None:
    """A removal that is refused takes the additions before it back."""
    data = tmp_path / "notes.txt"
    data.write_text("hello")
    grid_prompt.ok("register", data, "--to", "/notes")
    before = state(grid_prompt)
    ran = grid_prompt("apply", file, "--prune", "--yes")
    assert ran.code == 2
    assert ran.err.startswith("medgrid: error: storage element 'local' is in use by 1 replica")
    assert state(grid_prompt) == before


def test_json_lines(grid_prompt: Prompt, file: Path) -> None:
    documents = grid_prompt.ok("apply", file, "--json").documents
    assert documents[0] == {
        "schema": "medgrid.change/1",
        "change": "add",
        "kind": "site",
        "name": "hospA",
        "details": ["site_class: compute"],
        "made": True,
    }
    assert documents[-1]["change"] == "keep"
    assert documents[-1]["made"] is False


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("workers: [w1]", "workers: expected 'name: value' lines, found a list"),
        ("worker: {}", "worker: unknown key"),
        ("workers: {w1: {url: 'local:', slots: many}}", "workers.w1.slots: expected a whole "),
        ("workers: {w1: {url: 'local:', slots: 0}}", "workers.w1.slots: expected at least 1"),
        ("workers: {w1: {url: 'local:', slots: true}}", "workers.w1.slots: expected a whole "),
        ("workers: {w1: {url: 'local:', memory: lots}}", "workers.w1.memory: 'lots' is no amount"),
        ("workers: {w1: {url: 'local:', cache: x}}", "workers.w1.cache: 'x' is no amount of bytes"),
        ("workers: {w1: {url: 'local:', tags: x}}", "workers.w1.tags: expected a list, found 'x'"),
        ("workers: {w1: {slots: 2}}", "workers.w1.url: missing"),
        ("workers: {w1: {url: host1}}", "workers.w1.url: 'host1' is no worker's URL"),
        ("workers: {w1: {url: 'local:', slot: 2}}", "workers.w1.slot: unknown key"),
        ("workers: {a b: {url: 'local:'}}", "workers.a b: not a name"),
        ("workers: {1: {url: 'local:'}}", "workers.1: expected a name in quotes"),
        ("workers: {w1: {url: 'ssh://h', site: nowhere}}", "workers.w1.site: no site 'nowhere'"),
        ("workers: {w1: {url: 'ssh://h', jump: 'x/y'}}", "workers.w1.jump: "),
        ("storage: {s: {url: 'sftp://h'}}", "storage.s.url: 'sftp://h' names no absolute dir"),
        ("sites: {a: {class: secret}}", "sites.a.class: expected one of keys, compute, store"),
        ("sites: {a: {}, a: {}}", "not valid YAML: the key 'a' stands twice"),
        ("sites: {a: &x {}, b: *x}", "not valid YAML: aliases are not allowed"),
        ("sites: {a: !!python/object:os.system {}}", "not valid YAML: could not determine a cons"),
        ("sites: {a", "not valid YAML: expected ',' or '}', but got "),
    ],
)
def test_a_wrong_file_is_told_by_its_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text(text + "\n")
    settings = Settings(home=tmp_path)
    Catalog.create(settings.catalog_url).close()
    with Grid(settings) as grid, pytest.raises(ConfigError) as caught:
        make_plan(grid, file)
    assert caught.value.message.startswith(f"{file}: {message}")


def test_a_wrong_file_changes_nothing(grid_prompt: Prompt, file: Path) -> None:
    before = state(grid_prompt)
    file.write_text(GRID.replace("slots: 8", "slots: many"))
    ran = grid_prompt("apply", file)
    assert (ran.code, ran.out) == (9, "")
    assert ran.err == (
        f"medgrid: error: {file}: workers.w1.slots: expected a whole number, found 'many'\n"
    )
    assert state(grid_prompt) == before


def test_a_file_that_is_not_there(grid_prompt: Prompt, tmp_path: Path) -> None:
    ran = grid_prompt("apply", tmp_path / "none.yaml")
    assert ran.code == 9
    assert ran.err == (
        f"medgrid: error: {tmp_path}/none.yaml: cannot be read: No such file or directory\n"
    )


def test_the_commented_sample(grid_prompt: Prompt) -> None:
    grid_prompt.ok("apply", ROOT / "config" / "grid.yaml")
    names = [row[0] for row in grid_prompt.ok("worker", "ls").rows]
    assert names == ["local", "w1", "w2"]
    assert ["archive", "store", "", "tape"] in grid_prompt.ok("site", "ls").rows
