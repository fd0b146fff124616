"""``medgrid site``, ``se`` and ``worker``: what stands where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from medgrid.actions.demo import stop_agents
from tests.lab.prompt import Prompt
from tests.lab.sshd import Sshd
from tests.lab.waiting import PATIENCE_S, wait_for


def test_worker_of_an_unknown_site_makes_it(grid_prompt: Prompt) -> None:
    words = "worker add w1 ssh://grid@host1:22 --slots 8 --site hospA --tag python --tag fsl"
    ran = grid_prompt.ok(*words.split(), "--memory", "16G")
    row = ["w1", "ssh://grid@host1:22", "hospA", "8", "16.0G", "", "fsl,python", "enabled", ""]
    assert ran.rows == [row]
    assert grid_prompt.ok("worker", "ls").rows[-1] == row
    assert ["hospA", "compute", "w1", ""] in grid_prompt.ok("site", "ls").rows


def test_worker_without_a_site_stands_at_its_host(grid_prompt: Prompt) -> None:
    grid_prompt.ok("worker", "add", "w1", "ssh://grid@host1:22")
    grid_prompt.ok("se", "add", "s1", "sftp://grid@host1/data")
    assert ["host1", "compute", "w1", "s1"] in grid_prompt.ok("site", "ls").rows


def test_options_of_a_worker_are_kept(grid_prompt: Prompt) -> None:
    words = "worker add w1 ssh://h --jump ssh://gate --root /scratch/g --identity ~/key"
    (document,) = grid_prompt.ok(*words.split(), "--cache", "2K", "--json").documents
    assert document["schema"] == "medgrid.worker/1"
    assert document["options"] == {
        "jump": "ssh://gate",
        "root": "/scratch/g",
        "identity": "~/key",
        "cache": "2048",
    }


def test_a_name_that_is_taken(grid_prompt: Prompt) -> None:
    ran = grid_prompt("worker", "add", "local", "ssh://grid@host1")
    assert ran.code == 2
    assert ran.err == (
        "medgrid: error: there is a worker 'local' already\n"
        "medgrid: hint: say --replace to put this one in its place\n"
    )
    grid_prompt.ok("worker", "add", "local", "ssh://grid@host1", "--replace")
    assert grid_prompt.ok("worker", "ls").rows[0][1] == "ssh://grid@host1"


REFUSED = [
    ("worker add w1 host1", "'host1' is no worker's URL"),
    ("worker add w1 ssh://", "'ssh://' names no host"),
    ("worker add w1 ssh://-oProxyCommand=x/", "'ssh://-oProxyCommand=x/' names no host"),
    ("worker add w1 ssh://h:port", "'ssh://h:port' is no URL"),
    ("worker add w1 ssh://h/dir", "'ssh://h/dir' names a directory after the host"),
    ("worker add w1 ssh://u:secret@h", "a URL of a place must not hold a password"),
    ("worker add ../w ssh://h", "'../w' cannot be the name of a worker"),
    ("worker add w1 ssh://h --site -x", "'-x' cannot be the name of a site"),
    ("se add s1 sftp://h", "'sftp://h' names no absolute directory"),
    ("se add s1 sftp://h/a/../b", "'sftp://h/a/../b' names no absolute directory"),
    ("se add s1 http://h/a", "'http://h/a' is no storage element's URL"),
    ("site add -- -x", "'-x' cannot be the name of a site"),
]


def test_words_that_are_refused(grid_prompt: Prompt) -> None:
    for words, message in REFUSED:
        ran = grid_prompt(*words.split())
        assert ran.code == 2
        assert ran.err.splitlines()[0] == f"medgrid: error: {message}"
        assert "secret" not in ran.err
    assert len(grid_prompt.ok("worker", "ls").rows) == 1
    assert len(grid_prompt.ok("site", "ls").rows) == 1


def test_removing_what_is_in_use(grid_prompt: Prompt) -> None:
    ran = grid_prompt("site", "rm", "here")
    assert ran.code == 2
    assert ran.err.startswith("medgrid: error: site 'here' is in use by ")
    ran = grid_prompt("worker", "rm", "locale")
    assert ran.code == 4
    assert ran.err.startswith("medgrid: error: no worker 'locale'\n")


def test_remove(grid_prompt: Prompt) -> None:
    grid_prompt.ok("site", "add", "tape", "--class", "store")
    assert grid_prompt.ok("site", "rm", "tape").out == ""
    grid_prompt.ok("se", "rm", "local")
    assert grid_prompt.ok("se", "ls").out == ""
    (document,) = grid_prompt.ok("worker", "rm", "local", "--json").documents
    assert document == {"schema": "medgrid.worker/1", "name": "local", "state": "removed"}


def test_disable_and_enable(grid_prompt: Prompt) -> None:
    grid_prompt.ok("worker", "disable", "local")
    assert grid_prompt.ok("worker", "ls").rows[0][-2] == "disabled"
    grid_prompt.ok("worker", "enable", "local")
    assert grid_prompt.ok("worker", "ls").rows[0][-2] == "enabled"


def test_check_of_local_storage(grid_prompt: Prompt) -> None:
    ran = grid_prompt("se", "check")
    assert (ran.code, ran.err) == (0, "")
    name, state, free, problem = ran.rows[0]
    assert (name, state, problem) == ("local", "ok", "")
    assert free.endswith(("M", "G", "T"))


def test_check_of_storage_that_is_gone(grid_prompt: Prompt) -> None:
    (grid_prompt.home / "storage").rmdir()
    (grid_prompt.home / "storage").write_text("")
    ran = grid_prompt("se", "check", "local")
    assert ran.code == 7
    assert ran.rows[0][:2] == ["local", "failed"]
    assert ran.err.startswith("medgrid: error: ")


def test_check_of_several_is_partly_done(grid_prompt: Prompt) -> None:
    grid_prompt.ok("se", "add", "far", "sftp://grid@127.0.0.1:1/data")
    ran = grid_prompt("se", "check")
    assert ran.code == 3
    assert [row[:2] for row in ran.rows] == [["far", "failed"], ["local", "ok"]]
    warning, error = ran.err.splitlines()
    assert warning.startswith("medgrid: warning: far: ")
    assert error == "medgrid: error: 1 of 2 checks failed"


def test_check_of_the_local_worker(grid_prompt: Prompt) -> None:
    (document,) = grid_prompt.ok("worker", "check", "--json").documents
    assert document["schema"] == "medgrid.worker-check/1"
    assert document["state"] == "ok"
    assert document["cpus"] >= 1


def test_a_place_of_this_machine_has_no_host_key(grid_prompt: Prompt) -> None:
    ran = grid_prompt("worker", "check", "local", "--accept-hostkey", "SHA256:x")
    assert ran.code == 2
    assert ran.err == "medgrid: error: local is on this machine and has no host key\n"
    ran = grid_prompt("worker", "check", "--accept-hostkey", "SHA256:x")
    assert ran.code == 2
    assert ran.err.splitlines()[0] == "medgrid: error: --accept-hostkey goes with one name"


def test_a_worker_with_a_job_is_not_removed(grid_prompt: Prompt, tmp_path: Path) -> None:
    """Until the job has ended; what would remove it with others changes nothing."""
    descriptor = {
        "name": "nap",
        "tool-version": "1",
        "schema-version": "0.5",
        "description": "Never ends.",
        "command-line": "tail -f [FILE]",
        "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
    }
    (tmp_path / "nap.json").write_text(json.dumps(descriptor))
    (tmp_path / "x").write_text("x")
    grid_prompt.ok("algorithm", "add", tmp_path / "nap.json")
    grid_prompt.ok("register", tmp_path / "x", "--to", "/x")
    try:
        grid_prompt.ok("submit", "nap", "/x")
        wait_for(
            lambda: grid_prompt.ok("status", "1").rows[0][1] in ("Scheduled", "Running"),
            "the job to have a worker",
        )
        ran = grid_prompt("worker", "rm", "local")
        assert ran.code == 2
        assert ran.err == (
            "medgrid: error: worker 'local' has 1 job\n"
            "medgrid: hint: let it end them with 'medgrid worker disable local', or cancel them\n"
        )
        (tmp_path / "none.yaml").write_text("{}\n")
        ran = grid_prompt("apply", tmp_path / "none.yaml", "--prune", "--yes")
        assert ran.code == 2
        assert grid_prompt.ok("worker", "ls").rows[0][0] == "local"
        grid_prompt.ok("cancel", "1")
        grid_prompt("status", "1", "--wait", "--timeout", str(PATIENCE_S))
        grid_prompt.ok("worker", "rm", "local")
    finally:
        grid_prompt("cancel", "1")
        grid_prompt("broker", "stop")
        stop_agents(grid_prompt.home)


@pytest.mark.sshd
def test_host_keys_are_accepted_by_fingerprint(
    grid_prompt: Prompt, sshd: Sshd, tmp_path: Path
) -> None:
    """The refusal says the very command that accepts the key; another fingerprint is refused."""
    grid_prompt.env["HOME"] = str(tmp_path / "home")
    identity = ["--identity", str(sshd.identity)]
    root = ["--root", str(sshd.home / "agent")]
    grid_prompt.ok("worker", "add", "w1", sshd.url, *identity, *root)
    (tmp_path / "store").mkdir()
    store = sshd.url.replace("ssh:", "sftp:") + str(tmp_path / "store")
    grid_prompt.ok("se", "add", "s1", store, *identity)
    for kind, name in (("worker", "w1"), ("se", "s1")):
        ran = grid_prompt(kind, "check", name)
        assert ran.code == 5
        found = re.search(rf"'medgrid {kind} check {name} --accept-hostkey (SHA256:\S+)'", ran.err)
        assert found is not None, ran.err
        wrong = grid_prompt(kind, "check", name, "--accept-hostkey", "SHA256:" + "A" * 43)
        assert wrong.code == 5
        assert f"expected the host key SHA256:{'A' * 43}, found {found[1]}" in wrong.err
        assert not (grid_prompt.home / "known_hosts").exists()
        ran = grid_prompt(kind, "check", name, "--accept-hostkey", found[1])
        assert (ran.code, ran.err) == (0, "")
        assert ran.rows[0][:2] == [name, "ok"]
        (grid_prompt.home / "known_hosts").unlink()
