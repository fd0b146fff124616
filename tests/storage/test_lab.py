"""Storage on a real host: another user, a disk that is full, a network that is cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.config import Settings
from medgrid.errors import Denied, MedgridError, Unreachable
from medgrid.model import StorageElement, new_object_id
from medgrid.storage import open_storage
from medgrid.storage.base import Storage, physical_name
from medgrid.storage.errors import StorageFull
from tests.lab.hosts import Lab, LabHost

pytestmark = pytest.mark.lab

ROOT = "/srv/medgrid"


@pytest.fixture
def host(hosts: Lab) -> Iterator[LabHost]:
    found = hosts.host(1)
    found.exec(f"mkdir -p {ROOT} && chown grid: {ROOT}")
    yield found
    hosts.restore()
    found.exec(f"rm -rf {ROOT}")


@pytest.fixture
def storage(host: LabHost, hosts: Lab, tmp_path: Path) -> Iterator[Storage]:
    settings = Settings(
        home=tmp_path,
        known_hosts=str(hosts.known_hosts),
        identity=str(hosts.identity),
        connect_timeout_s=2.0,
        keepalive_s=1.0,
    )
    url = host.url.replace("ssh:", "sftp:") + ROOT
    found = open_storage(StorageElement("far", url, "there"), settings)
    yield found
    found.close()


def files(host: LabHost) -> list[str]:
    return host.exec(f"find {ROOT} -type f").split()


def test_what_is_put_is_read(storage: Storage, host: LabHost) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, [b"abc"])
    assert storage.digest(pfn).startswith("ba7816bf")
    assert list(storage.walk()) == [(pfn, 3)]
    assert host.exec(f"stat -c '%U %a' {ROOT}/{pfn}").strip() == "grid 600"
    assert storage.delete(pfn)


def test_a_full_disk(storage: Storage, host: LabHost) -> None:
    host.fill(leave_bytes=3_000_000)
    pfn = physical_name(new_object_id())
    with pytest.raises(StorageFull) as error:
        storage.put(pfn, (bytes(500_000) for _ in range(20)))
    assert error.value.message == f"storage element far: writing {pfn}: no space left on device"
    assert files(host) == []
    storage.put(pfn, [b"small"])


def test_a_directory_of_somebody_else(storage: Storage, host: LabHost) -> None:
    host.exec(f"chown root: {ROOT}; chmod 755 {ROOT}")
    pfn = physical_name(new_object_id())
    with pytest.raises(Denied) as error:
        storage.put(pfn, [b"abc"])
    assert error.value.message == f"storage element far: writing {pfn}: permission denied"
    assert files(host) == []
    with pytest.raises(Denied):
        storage.check()


def test_a_root_in_a_place_where_nobody_may_make_it(storage: Storage, host: LabHost) -> None:
    host.exec(f"rm -rf {ROOT}")
    with pytest.raises(Denied) as error:
        storage.create()
    assert error.value.message == (
        "storage element far: making its root directory: permission denied"
    )


def test_a_network_that_is_cut_while_writing(storage: Storage, host: LabHost) -> None:
    pfn = physical_name(new_object_id())

    def source() -> Iterator[bytes]:
        for turn in range(200):
            if turn == 5:
                host.cut()
            yield bytes(1_000_000)

    with pytest.raises(Unreachable):
        storage.put(pfn, source())
    assert [name for name in files(host) if not name.startswith(f"{ROOT}/.tmp/")] == []
    host.heal()
    storage.put(pfn, [b"abc"])
    # what the cut put left is there until fsck removes it
    for temporary in storage.temporaries():
        assert storage.delete(temporary.name)
    assert files(host) == [f"{ROOT}/{pfn}"]


def test_a_host_that_loses_power_while_reading(storage: Storage, host: LabHost) -> None:
    pfn = physical_name(new_object_id())
    storage.put(pfn, (bytes(1_000_000) for _ in range(60)))
    with pytest.raises(MedgridError) as error, storage.open(pfn) as stream:
        stream.read(1000)
        host.crash()
        while stream.read(1_000_000):
            pass
    assert isinstance(error.value, Unreachable)
    host.boot()
    with storage.open(pfn) as stream:
        assert len(stream.read()) == 60_000_000
