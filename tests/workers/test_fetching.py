"""Inputs that a worker fetches itself from a storage element, with a key of its site."""

from __future__ import annotations

import hashlib
import io
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from medgrid.model import Cause, Sha256, StorageElement, Worker
from medgrid.workers.base import SftpSource, StageItem
from tests.lab.field import Field
from tests.lab.hosts import Lab, LabHost
from tests.workers.places import Place

pytestmark = [pytest.mark.sshd, pytest.mark.lab]

SIZE_BYTES = 8 << 20
MOUNTED = "/home/grid/mounted"


@pytest.fixture
def store(hosts: Lab) -> Iterator[LabHost]:
    """A host with storage, which lets in the key of the first host's site, to read."""
    worker, found = hosts.host(1), hosts.host(2)
    worker.exec("rm -f .ssh/site*; ssh-keygen -q -t ed25519 -N '' -f .ssh/site", user="grid")
    public = worker.exec("cat .ssh/site.pub", user="grid").strip()
    known = [one for one in hosts.known_hosts.read_text().splitlines() if found.address in one]
    worker.exec(f"echo {shlex.quote(known[-1])} > .ssh/known_hosts", user="grid")
    found.exec("cp .ssh/authorized_keys .ssh/kept; mkdir -p data", user="grid")
    line = f'restrict,command="internal-sftp -R" {public}'
    found.exec(f"echo {shlex.quote(line)} >> .ssh/authorized_keys", user="grid")
    yield found
    found.exec("mv .ssh/kept .ssh/authorized_keys; rm -rf data se", user="grid")
    worker.exec(f"rm -rf .ssh/site* .ssh/known_hosts {MOUNTED}", user="grid")


def forget_key(store: LabHost) -> None:
    """Let the storage's host refuse the key of the worker's site."""
    store.exec("cp .ssh/kept .ssh/authorized_keys", user="grid")


def passed(hosts: Lab) -> int:
    """Bytes that went over this machine's own connection to the hosts."""
    counters = Path(f"/sys/class/net/{hosts.uplink}/statistics")
    return sum(int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes"))


@pytest.mark.parametrize("way", ["key", "mount", "none"])
def test_inputs_do_not_pass_this_machine_where_the_worker_reaches_them(
    field: Field, hosts: Lab, store: LabHost, tmp_path: Path, way: str
) -> None:
    machine = hosts.host(1)
    field.env |= {
        "MEDGRID_KNOWN_HOSTS": str(hosts.known_hosts),
        "MEDGRID_IDENTITY": str(hosts.identity),
    }
    field.without_local()
    url = store.url.replace("ssh:", "sftp:") + "/home/grid/se"
    store.exec("mkdir -p se", user="grid")
    field.se(StorageElement("store", url, "elsewhere"))
    options = {"se-key": "~/.ssh/site"} | ({"mounts": f"store={MOUNTED}"} if way == "mount" else {})
    field.worker(Worker("w", machine.url, "here", options=options))
    data = bytes(range(256)) * (SIZE_BYTES // 256)
    file = tmp_path / "volume.bin"
    file.write_bytes(data)
    field.prompt.ok("register", file, "--to", "/t/volume.bin", "--se", "store")
    right = f"{hashlib.sha256(data).hexdigest()}  -"
    field.algorithm("same", f'[ "$(sha256sum < "$1")" = "{right}" ]\n')
    field.submit("same", "/t/volume.bin")
    if way != "key":
        forget_key(store)
    if way == "mount":  # what a mount would show
        machine.exec(f"mkdir -p {MOUNTED}", user="grid")
        shutil.copytree(
            store.disk / "home/grid/se", machine.disk / f".{MOUNTED}", dirs_exist_ok=True
        )
        machine.exec(f"chown -R grid {MOUNTED}")
    before = passed(hosts)
    ended = field.prompt("broker", "once")
    assert ended.code == 0, ended.err
    job = field.job()
    assert (job.cause, job.worker) == (Cause.OK, "w")
    if way != "none":
        assert passed(hosts) - before < SIZE_BYTES // 8
        if way == "key":
            assert f"fetched {SIZE_BYTES // 65536 * (65536 + 28)} bytes" in ended.err
    else:
        assert passed(hosts) - before > 2 * SIZE_BYTES  # to this machine, and from it
        assert "could not fetch 1 of 1 files" in ended.err
        assert "Permission denied" in ended.err


def test_what_was_fetched_is_what_it_should_be(
    lab_place: Place, hosts: Lab, store: LabHost
) -> None:
    good, bad = b"right" * 1000, b"wrong" * 1000
    for name, data in (("good one", good), ("bad", bad)):
        store.exec(f"printf %s {data.decode()} > data/{shlex.quote(name)}", user="grid")
    source = SftpSource(store.address, 22, "grid", "~/.ssh/site")
    opened: list[str] = []

    def item(data: bytes, name: str, claimed: bytes) -> StageItem:
        @contextmanager
        def open_here() -> Iterator[BinaryIO]:
            opened.append(name)
            yield io.BytesIO(claimed)

        digest = Sha256(hashlib.sha256(claimed).hexdigest())
        return StageItem(digest, len(claimed), open_here, f"/home/grid/data/{name}", source)

    items = [
        item(good, "good one", good),
        item(bad, "bad", b"other" * 1000),
        item(b"", "nowhere", b"third" * 1000),
    ]
    link = lab_place.open()
    link.stage(items)
    assert opened == ["bad", "nowhere"]
    assert link.missing([one.sha256 for one in items]) == set()
    left = lab_place.shell(f"find {lab_place.root}/cache -name '*fetch*'")
    assert left == ""
