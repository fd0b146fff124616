"""Whoever runs storage and workers, and reads all disks, finds nothing that names a patient.

A patient of whom everything says who it is comes into the grid; jobs print and write what names
the patient, fail, are cancelled, killed and cut off; then every byte that the machines hold is
searched.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from medgrid.model import JobState
from tests.lab.hosts import Lab, LabHost
from tests.lab.patient import Traces, write_patient
from tests.lab.prompt import Prompt, Ran
from tests.lab.searching import Leak, Search
from tests.lab.waiting import PATIENCE_S, linger, wait_for
from tests.lab.watching import Watcher

_DUMP = r"""
import os, re, sys, time

given, mode = sys.argv[1:3]
paths = [given]
if os.path.isdir(given):
    paths = [os.path.join(top, name) for top, _, names in os.walk(given) for name in names]
data = b""
for path in paths:
    data += path.encode() + b"\n" + open(path, "rb").read()
texts = [one.decode() for one in re.findall(rb"[A-Za-z0-9^ .-]{8,}", data)]
for stream in (sys.stdout, sys.stderr):
    print("\n".join(texts), file=stream, flush=True)
for number, text in enumerate(texts):
    name = text.strip(" .")[:60]
    if number % 5 == 0 and name:
        open("found-" + name + ".txt", "w").write(text)
        open(os.path.join(os.environ["TMPDIR"], name), "w").write(text)
open("ready", "w").close()
if mode == "hang":
    time.sleep(600)
sys.exit(1 if mode == "fail" else 0)
"""

_DATABASES = ("catalog", "keystore")
_READER = """
import sqlite3, sys

databases = [sqlite3.connect(path, isolation_level=None) for path in sys.argv[1:]]
for one in databases:
    one.execute("BEGIN")
    one.execute("SELECT count(*) FROM sqlite_master").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def _descriptor(mode: str) -> dict[str, object]:
    return {
        "name": mode,
        "tool-version": "1",
        "schema-version": "0.5",
        "description": "Tells all it sees.",
        "command-line": f"python3 [BUNDLE]/dump.py [FILE] {mode}",
        "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
        "output-files": [
            {"id": "found", "name": "Found", "path-template": "found-*.txt", "list": True}
        ],
        "custom": {"medgrid": {"bundle": "dump"}},
    }


@dataclass
class Scene:
    """The grid, and what its commands said."""

    prompt: Prompt
    folder: Path
    traces: Traces
    search: Search
    compute: LabHost
    store: LabHost
    said: list[str] = field(default_factory=list)

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        user: str = "alice",
        code: int = 0,
        private: bool = False,
    ) -> Ran:
        """Run a command that ends with exit code `code`; what is not `private` is kept."""
        self.prompt.env["MEDGRID_USER"] = user
        ran = self.prompt(*words, stdin=stdin, timeout_s=PATIENCE_S)
        assert ran.code == code, (words, ran.code, ran.err)
        if not private:
            self.said.append(ran.out + ran.err)
        return ran

    def wait_for(self, what: Callable[[], object]) -> None:
        """Wait until something is so."""
        wait_for(what, lambda: f"what does not come: {self.prompt('status').out}")

    def states(self, number: str) -> list[str]:
        """States of the jobs of a submission."""
        return [row[1] for row in self.prompt.ok("status", number).rows]

    def runs_again(self) -> bool:
        """Whether all jobs of submission 3 that have not ended run, and were tried before."""
        jobs = self.prompt.ok("status", "3", "--json").documents
        left = [one for one in jobs if one["state"] not in ("Done", "Cancelled")]
        return bool(left) and all(one["state"] == "Running" and one["attempt"] > 1 for one in left)

    def kill_import(self, folder: str) -> None:
        """Kill an import when its first bytes have come to the storage element `archive`."""
        words = ("import", self.folder / "in" / folder, "--to", "/trial", "--se", "archive")
        running = self.prompt.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(
            lambda: self.store.exec("find /home/grid/se -type f -size +1k"),
            "the first bytes to come",
            while_=lambda: running.poll() is None,
        )
        running.kill()
        assert running.wait() == -signal.SIGKILL

    def kill_broker(self) -> None:
        """Kill the broker as it stands."""
        holder = json.loads(self.prompt.ok("broker", "status", "--json").out)["holder"]
        os.kill(int(holder.split()[-1]), signal.SIGKILL)

    def leaks_in(self, *places: Path) -> list[Leak]:
        """What is found below some folders."""
        return [leak for place in places for leak in self.search.in_files(place)]

    def everywhere(self) -> list[Leak]:
        """What is found on the machines that hold data, and in this grid home."""
        machines = (self.compute, self.store)
        theirs = [place for one in machines for place in (one.disk, *one.memory())]
        return self.leaks_in(*theirs, *(self.folder / name for name in ("grid", "tmp", "user")))


def _grid(hosts: Lab, tmp_path: Path) -> Scene:
    compute, store = hosts.host(1, size="900m"), hosts.host(4, size="64m")
    traces = write_patient(tmp_path / "in")
    prompt = Prompt(tmp_path / "grid")
    for name in ("tmp", "user"):
        (tmp_path / name).mkdir(mode=0o700)
    prompt.env |= {
        "MEDGRID_IDENTITY": str(hosts.identity),
        "MEDGRID_KNOWN_HOSTS": str(hosts.known_hosts),
        "MEDGRID_CONNECT_TIMEOUT_S": "5",
        "MEDGRID_KEEPALIVE_S": "2",
        "TMPDIR": str(tmp_path / "tmp"),
        "HOME": str(tmp_path / "user"),
    }
    scene = Scene(prompt, tmp_path, traces, Search(traces.canaries), compute, store)
    run = scene.run
    run("init")
    run("identity", "create", "bob", "--no-passphrase")
    run("identity", "certify", "bob", "--role", "researcher")
    run("identity", "add", prompt.home / "keys" / "identities" / "bob.cert")
    run("worker", "rm", "local")
    run("site", "add", "hospital", "--class", "compute")
    run("site", "add", "cloud", "--class", "store")
    run("worker", "add", "w1", compute.url, "--slots", "6", "--site", "hospital")
    for name, machine, site in (("scratch", compute, "hospital"), ("archive", store, "cloud")):
        url = f"{machine.url.replace('ssh:', 'sftp:')}/home/grid/se"
        run("se", "add", name, url, "--site", site)
        run("se", "check", name, "--create")
    (tmp_path / "code" / "dump").mkdir(parents=True)
    (tmp_path / "code" / "dump" / "dump.py").write_text(_DUMP)
    for mode in ("tell", "fail", "hang"):
        file = tmp_path / "code" / f"{mode}.json"
        file.write_text(json.dumps(_descriptor(mode)))
        run("algorithm", "add", file)
    return scene


def _bring_in(scene: Scene) -> list[str]:
    """Import all of it, let others see some of it; gives the LFNs of the originals."""
    run, traces = scene.run, scene.traces
    scene.kill_import("dicom")
    scene.store.fill()
    run("import", scene.folder / "in" / "bids", "--to", "/trial", "--se", "archive", code=7)
    scene.store.restore()
    assert scene.everywhere() == []
    for name, code, se in (("dicom", 3, "archive"), ("bids", 0, "scratch")):
        words = ("import", scene.folder / "in" / name, "--to", "/trial", "--se", se)
        ran = run(*words, code=code, private=True)  # stderr lists the user's own files
        scene.said.append(ran.out)
    originals = run("query", "class=nominative").lines
    unseen = run("query", "review=needed").lines
    twins = [lfn for lfn in run("query", "/").lines if lfn not in unseen]
    assert (len(originals), len(twins), len(unseen)) == (7, 4, 1)
    patients = sorted({lfn.split("/")[2] for lfn in originals})
    named = scene.prompt.ok("whois", "--json", *patients).out
    assert len(traces.canaries.named_in([named])) >= 20
    name = "^".join(list(traces.canaries.words)[:2])
    question = f"PatientName='{name}'"
    assert scene.prompt.ok("query", "-", stdin=question).lines
    assert run("query", "-", stdin=question, user="bob").lines == []
    run("grant", "to", "bob", *twins, "--for", "7d")
    run("grant", "to", "bob", *originals, *unseen, "--for", "7d", code=5)
    run("review", "show", *unseen, "--dir", scene.folder / "out" / "look")
    assert sorted(run("query", "/", user="bob").lines) == sorted(twins)
    run("fetch", *twins, "--dir", scene.folder / "bob", user="bob")
    return originals


def _work(scene: Scene, originals: list[str]) -> None:
    """Jobs that tell all they see, and end in every way."""
    run = scene.run
    run("submit", "tell", *originals, "--wait")
    run("submit", "fail", *originals, "--wait", code=8)
    run("submit", "hang", *originals)

    # cancelled while they run; killed from outside; the agent and the broker killed as they stand
    scene.wait_for(lambda: scene.states("3").count(str(JobState.RUNNING)) >= 3)
    scene.wait_for(lambda: len(scene.compute.exec("pgrep -f '^python3 .*dump[.]py'").split()) >= 3)
    named_in = scene.traces.canaries.named_in
    scene.wait_for(lambda: named_in([run("peek", "3.1", private=True).out]))
    # a worker sees what it works on, but in memory alone
    assert scene.leaks_in(*scene.compute.memory()) != []
    assert scene.leaks_in(scene.compute.disk) == []
    assert run("peek", "3.1", user="bob", code=4).out == ""
    run("cancel", "3.1")
    scene.wait_for(lambda: scene.states("3")[0] == str(JobState.CANCELLED))
    scene.compute.exec("kill -9 $(pgrep -u grid -o -f '^python3 .*dump[.]py')")
    linger(1, "broker and agent are killed in the midst of what follows from it")
    scene.kill_broker()
    scene.compute.exec("for p in $(pgrep -u grid python3); do kill -9 $p; done")
    scene.prompt("status", "3")  # starts another broker
    # it tries the worker again after a minute, with one job, and half a minute later with all
    scene.wait_for(scene.runs_again)
    scene.compute.crash()
    assert scene.leaks_in(scene.compute.disk) == []
    scene.compute.boot()
    run("cancel", "3", code=3)
    scene.wait_for(lambda: not {"Running", "Unknown", "Scheduled", "Ready"} & {*scene.states("3")})


def _take_out(scene: Scene, originals: list[str]) -> None:
    """Results and originals for the physician; what fails; what is taken back."""
    run, folder = scene.run, scene.folder
    run("fetch", "1", *originals, "--dir", folder / "out", private=True)
    run("fetch", "2", "--dir", folder / "out", code=8, private=True)
    results = run("register", "1", "--to", "/trial/results").lines
    run("query", "algorithm=tell")
    run("provenance", results[0])
    run("explain", "2.1", private=True)
    run("status", "2.1", "--json", private=True)
    assert run("status", "2.1", user="bob", code=4).out == ""
    for job in ("1.1", "2.1", "3.1", "3.2"):
        run("log", job)
    run("status", "--count")
    run("top")
    run("broker", "metrics")
    run("ls", "-l", "/trial/results")
    run("rekey", originals[0])
    run("team", "ls", originals[0].split("/")[2])
    run("audit", "ls")
    run("revoke", "bob", "--all")
    run("fetch", results[0], "--dir", folder / "bob", user="bob", code=4)
    for se in ("archive", "scratch"):
        machine = scene.store if se == "archive" else scene.compute
        machine.exec("for f in $(find /home/grid/se -type f | head -40); do echo x >> $f; done")
    run("fetch", *originals, "--dir", folder / "again", code=3)
    run("fsck", code=6)
    run("rm", "--yes", results[0])


@pytest.mark.slow
@pytest.mark.lab
def test_nobody_who_may_not_know_finds_whose_images_they_are(hosts: Lab, tmp_path: Path) -> None:
    scene = _grid(hosts, tmp_path)
    traces, search = scene.traces, scene.search
    assert len(traces.canaries) > 200
    watcher = Watcher(search)
    watcher.start()
    with _reader(scene.prompt.home):
        originals = _bring_in(scene)
        _work(scene, originals)
        assert scene.everywhere() == []
        _take_out(scene, originals)
        watcher.stop()
        assert scene.everywhere() == []
    assert watcher.found == []
    for text in scene.said:
        assert search("what commands said", text.encode()) == [], text
    # the researcher has a copy of what was granted, and it says no more
    assert len(list((tmp_path / "bob").rglob("*.*"))) >= 4
    assert scene.leaks_in(tmp_path / "bob") == []
    _the_physician_has_all_of_it(scene)
    _everything_was_looked_at(scene, watcher)
    _what_is_planted_is_found(scene)
    scene.prompt("broker", "stop")


@contextmanager
def _reader(home: Path) -> Iterator[None]:
    """Somebody who reads the databases all the time, so that their journals keep all changes."""
    argv = [sys.executable, "-c", _READER, *(str(home / f"{name}.db") for name in _DATABASES)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        yield
        process.kill()


def _the_physician_has_all_of_it(scene: Scene) -> None:
    canaries, texts = scene.traces.canaries, {}
    for path in (scene.folder / "out").rglob("*.*"):
        data = path.read_bytes() if path.is_file() else b""
        texts[path] = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("latin-1")
    images = scene.traces.in_dicom | scene.traces.in_nifti
    assert len(images) > 150
    assert images <= canaries.named_in(texts.values())
    for name in ("stdout.txt", "stderr.txt"):
        last_words = [text for path, text in texts.items() if path.name == name]
        assert canaries.named_in(last_words)


def _everything_was_looked_at(scene: Scene, watcher: Watcher) -> None:
    home = {"catalog.db", "catalog.db-wal", "keystore.db", "keystore.db-wal", "broker.log"}
    worker = {"journal", "agent.log", "dump.py", "sshd.log", "cache", "private", "stdout"}
    assert home | worker <= scene.search.names
    assert sum(len(name) == 32 for name in scene.search.names) > 50  # encrypted bodies
    assert scene.search.searched_bytes > 10_000_000
    for words in (
        "dump.py in/file/series tell",
        ".pyz serve /home/grid/.medgrid-agent/",
        ".pyz connect /home/grid/.medgrid-agent/",
        ".pyz bulk /home/grid/.medgrid-agent/",
        "sshd: grid",
        "-m medgrid broker run --background",
        f"MEDGRID_HOME={scene.prompt.home}",
    ):
        assert watcher.saw(words), words


def _what_is_planted_is_found(scene: Scene) -> None:
    word = next(iter(scene.traces.canaries.words))
    for machine in (scene.compute, scene.store):
        for path in ("/home/grid/.planted", "/dev/shm/planted"):
            machine.exec(f"echo {word} > {path}")
    (scene.prompt.home / "log" / "planted").write_text(word.upper())
    (scene.folder / "tmp" / "planted").write_bytes(gzip.compress(word.encode("utf-16-be")))
    found = {leak.where for leak in scene.everywhere()}
    assert {where.rpartition("/")[2] for where in found} == {
        ".planted (its bytes)",
        "planted (its bytes)",
        "planted (its bytes) (packed at 0)",
    }
    assert len(found) == 6
