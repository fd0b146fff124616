"""A small life of a grid, and in which order its files reach the disk: `tests.lab.durable`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab.dicoms import write_series
from tests.lab.durable import broken_rules, too_early
from tests.lab.prompt import ROOT
from tests.lab.shim import Shim, why_no_shim

_LARGE_BYTES = 8 << 20  # of such files parts are kept
_COMMANDS = """
import json, sys
from contextlib import redirect_stdout
from medgrid.cli.main import run
for words in json.load(sys.stdin):
    with open(f"{words[0]}.out", "w") as out, redirect_stdout(out):
        if run(words):
            sys.exit(f"{words[0]} failed")
"""
_DESCRIPTOR = {
    "name": "copy",
    "tool-version": "1",
    "schema-version": "0.5",
    "description": "Copies.",
    "command-line": "sh [BUNDLE]/run.sh [FILE]",
    "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
    "output-files": [{"id": "copy", "name": "Copy", "path-template": "copy.bin"}],
    "custom": {"medgrid": {"bundle": "copy"}},
}


def run(folder: Path, shim: Shim, commands: Sequence[Sequence[str]]) -> None:
    """Run commands in one process, which is what all of them cost but their work."""
    kept = {name: value for name, value in os.environ.items() if "MEDGRID" not in name}
    own = {
        "MEDGRID_HOME": str(folder / "life" / "grid"),
        "MEDGRID_BROKER_AUTOSTART": "0",
        "MEDGRID_BROKER_IDLE_S": "1",
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        env={**kept, **own, **shim.env},
        input=json.dumps(commands),
        cwd=folder,
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, if there is such: it is written down what is flushed, not waited for."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as found:
        yield Path(found)


def test_what_a_life_leaves_is_on_the_disk_in_its_order(folder: Path) -> None:
    reason = why_no_shim()
    if reason:
        pytest.skip(reason)
    shim = Shim(folder / "shim")
    write_series(folder / "dicom", 2)
    (folder / "large.bin").write_bytes(bytes(_LARGE_BYTES))
    (folder / "copy.json").write_text(json.dumps(_DESCRIPTOR))
    (folder / "new").write_text("a passphrase\n")
    (folder / "new").chmod(0o600)
    (folder / "copy").mkdir()
    (folder / "copy" / "run.sh").write_text('cp "$1" copy.bin\n')
    shim.record()
    run(
        folder,
        shim,
        [
            ["init", "--slots", "1"],
            ["identity", "create", "bob", "--no-passphrase"],
            ["identity", "certify", "bob", "--role", "researcher"],
            ["identity", "add", "life/grid/keys/identities/bob.cert"],
            ["identity", "revoke", "bob"],
            ["import", "dicom", "--to", "/trial", "--jobs", "1"],
            ["register", "large.bin", "--to", "/large", "--public"],
            ["fetch", "-i", "import.out", "--dir", "life/out"],
            ["algorithm", "add", "copy.json"],
            ["submit", "copy", "/large"],
            ["broker", "once"],
            ["fetch", "1", "--dir", "life/out"],
            ["register", "1", "--to", "/results/"],
            ["rm", "-r", "--yes", "/results"],
            ["audit", "verify"],
            ["audit", "copy", "--to", "life/audit"],
            ["fsck", "--deep"],
            ["passphrase", "--new-passphrase-file", "new"],
        ],
    )
    calls = shim.recorded()
    top = folder / "life"
    assert "\n".join(broken_rules(calls, str(top))) == ""
    # the catalog first, bytes later
    stored = re.compile(re.escape(f"{top}/grid/storage/") + r"\w\w/.*")
    deleted = list(
        too_early(
            calls,
            f"{top}/grid/catalog.db-wal",
            lambda call: call.name == "unlink" and stored.fullmatch(call.path) is not None,
        )
    )
    assert [is_early for _, is_early in deleted] == [False]
    # the journal first, then the answer
    journal = f"{top}/grid/agent/local/journal"
    (agent,) = {call.process for call in calls if call.path == journal}
    answers = list(
        too_early(
            calls,
            journal,
            lambda call: call.process == agent and call.path.startswith(("pipe:", "socket:")),
        )
    )
    assert len(answers) > 3
    assert not any(is_early for _, is_early in answers)
