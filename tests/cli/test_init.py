"""``medgrid init``: the first thing that anybody types."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from medgrid.actions import init
from medgrid.actions.grid import Grid
from medgrid.config import load_settings
from tests.lab.prompt import Prompt


def test_makes_a_grid_home(prompt: Prompt) -> None:
    prompt.env["MEDGRID_USER"] = "alice"
    ran = prompt("init", "--slots", "3")
    home = prompt.home
    grid_id = ran.rows[0][1]
    assert (ran.code, ran.err) == (0, "")
    assert ran.rows == [
        ["catalog", grid_id, "made", f"sqlite:///{home}/catalog.db"],
        ["key store", "1", "made", f"sqlite:///{home}/keystore.db"],
        ["key", "pseudonym", "made", f"{home}/keys/pseudonym.key"],
        ["registration", "registration", "made", f"{home}/keys/registration.key"],
        ["identity", "alice", "made", f"{home}/keys/identities/alice.pub"],
        ["identity", "broker", "made", f"{home}/keys/identities/broker.pub"],
        [
            *("recovery", "recovery", "made"),
            f"{home}/keys/recovery: 3 shares for 3 people, 2 are needed",
        ],
        ["site", "here", "made", "keys"],
        ["se", "local", "made", f"file://{home}/storage"],
        ["worker", "local", "made", "local: 3 slots"],
    ]
    assert prompt.ok("worker", "ls").rows == [
        ["local", "local:", "here", "3", "", "", "", "enabled", ""]
    ]


def test_home_is_private(prompt: Prompt) -> None:
    prompt.ok("init")

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(prompt.home) == 0o700
    assert mode(prompt.home / "keys") == 0o700
    assert mode(prompt.home / "storage") == 0o700
    secrets = [path for path in (prompt.home / "keys").rglob("*") if path.is_file()]
    assert {mode(path) for path in secrets if path.suffix not in (".pub", ".cert")} == {0o600}


def test_second_run_changes_nothing(grid_prompt: Prompt) -> None:
    key = (grid_prompt.home / "keys" / "pseudonym.key").read_bytes()
    ran = grid_prompt("init")
    assert ran.code == 0
    assert [row[2] for row in ran.rows] == ["there"] * len(ran.rows)
    assert (grid_prompt.home / "keys" / "pseudonym.key").read_bytes() == key


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_lost_catalog_is_not_made_anew(grid_prompt: Prompt, is_empty: bool) -> None:
    catalog = grid_prompt.home / "catalog.db"
    for part in grid_prompt.home.glob("catalog.db*"):
        part.unlink()
    message = f"there is no catalog at {catalog}"
    if is_empty:
        catalog.touch()
        message = f"{catalog} holds no catalog"
    for words in (["init"], ["ls"], ["catalog", "show"], ["catalog", "upgrade"]):
        ran = grid_prompt(*words)
        assert (ran.code, ran.err.splitlines()) == (
            9,
            [
                f"medgrid: error: {message}",
                "medgrid: hint: restore it from a backup, or from its .schema- copy",
            ],
        )
    assert [catalog.read_bytes()] == [b""] if is_empty else not catalog.exists()


@pytest.mark.parametrize(
    "stage", ["_keystores", "_key", "_identities", "_recovery", "_site", "_storage", "_worker"]
)
def test_an_interrupted_one_goes_on(
    stage: str, prompt: Prompt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, Grid(load_settings(prompt.home, {})) as grid:
        patch.setattr(init, stage, interrupt)
        with pytest.raises(KeyboardInterrupt):
            init.initialise(grid)
    prompt.ok("init")
    prompt.ok("se", "check")


def test_one_that_was_interrupted_before_the_tables_of_the_catalog_goes_on(prompt: Prompt) -> None:
    prompt.home.mkdir()
    (prompt.home / "catalog.db").touch()
    ran = prompt("ls")
    assert ran.err.splitlines()[1] == "medgrid: hint: make a grid home with 'medgrid init'"
    prompt.ok("init")


def test_slots_of_a_second_run_are_taken(grid_prompt: Prompt) -> None:
    ran = grid_prompt("init", "--slots", "1")
    assert ran.rows[-1] == ["worker", "local", "changed", "local: 1 slot"]
    assert grid_prompt.ok("worker", "ls").rows[0][3] == "1"


def test_json_is_one_document(prompt: Prompt) -> None:
    (document,) = prompt.ok("init", "--json").documents
    assert document["schema"] == "medgrid.init/1"
    assert document["home"] == str(prompt.home)
    assert [part["what"] for part in document["parts"]] == [
        "catalog",
        "key store",
        "key",
        "registration",
        "identity",
        "identity",
        "recovery",
        "site",
        "se",
        "worker",
    ]


def test_a_lost_key_is_not_drawn_anew(grid_prompt: Prompt) -> None:
    key = grid_prompt.home / "keys" / "pseudonym.key"
    key.unlink()
    ran = grid_prompt("init")
    assert ran.code == 0
    assert ran.rows[2] == ["key", "pseudonym", "missing", str(key)]
    assert ran.err == (
        "medgrid: warning: this grid was made elsewhere and its pseudonym key is not here; "
        f"copy it to {key} before you import\n"
    )
    assert not key.exists()


def test_no_slots_is_refused_and_leaves_nothing(prompt: Prompt) -> None:
    ran = prompt("init", "--slots", "0")
    assert ran.code == 2
    assert ran.err == "medgrid: error: a worker needs at least 1 slot, not 0\n"
    assert not prompt.home.exists()


def test_home_that_is_a_file(prompt: Prompt) -> None:
    prompt.home.write_text("mine")
    ran = prompt("init")
    assert ran.code == 9
    assert ran.err == f"medgrid: error: {prompt.home}: cannot be made private: File exists\n"
    assert prompt.home.read_text() == "mine"


def test_home_with_a_space_and_an_accent(prompt: Prompt) -> None:
    prompt.home = prompt.home.with_name("ma grille é")
    prompt.ok("init")
    prompt.ok("se", "check")


def test_without_a_home_every_command_says_what_to_do(prompt: Prompt) -> None:
    ran = prompt("worker", "ls")
    assert ran.code == 9
    assert ran.err == (
        f"medgrid: error: no grid at {prompt.home}\n"
        "medgrid: hint: make one with 'medgrid init', or set MEDGRID_HOME\n"
    )
