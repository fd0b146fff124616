"""Lab hosts beside what a machine has already: accounts, networks, another lab."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.hosts import _ACCOUNTS, Lab, why_no_hosts


def test_a_host_has_accounts_of_its_own_whoever_lives_on_the_machine(tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "passwd").write_text(
        "root:x:0:0:Admin:/root:/bin/zsh\n"
        "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        "grid:x:1000:1000::/home/grid:/bin/sh\n"
        "eve:x:5213:5213::/home/eve:/bin/sh\n"
        "gridiron:x:1001:1001::/home/gridiron:/bin/sh\n"
    )
    (etc / "shadow").write_text("root:secret:1::::::\ngrid:!:1::::::\neve:!:1::::::\n")
    (etc / "group").write_text("root:x:0:\ngrid:x:1000:\neve:x:5213:\nwheel:x:9:grid\n")
    subprocess.run(["sh", "-euc", _ACCOUNTS], check=True, cwd=tmp_path)
    assert (etc / "passwd").read_text() == (
        "root:x:0:0:root:/root:/bin/bash\n"
        "grid:x:5213:5213:grid:/home/grid:/bin/bash\n"
        "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        "gridiron:x:1001:1001::/home/gridiron:/bin/sh\n"
    )
    assert (etc / "shadow").read_text() == (
        "root:*:19000:0:99999:7:::\ngrid:*:19000:0:99999:7:::\neve:!:1::::::\n"
    )
    assert (etc / "group").read_text() == "grid:x:5213:\nroot:x:0:\nwheel:x:9:grid\n"
    assert sorted(path.name for path in etc.iterdir()) == [
        "group",
        "nsswitch.conf",
        "passwd",
        "shadow",
    ]


@pytest.mark.lab
def test_two_labs_stand_beside_each_other(hosts: Lab) -> None:
    other = Lab()
    try:
        assert other.uplink != hosts.uplink
        assert not other.network.overlaps(hosts.network)
        assert other.host(1).exec("id -un grid; id -u grid") == "grid\n5213\n"
        assert hosts.host(1).answers() and other.host(1).answers()
    finally:
        other.close()
    assert hosts.host(1).answers()


@pytest.mark.lab
def test_a_lab_takes_no_addresses_that_the_machine_knows() -> None:
    if reason := why_no_hosts():
        pytest.skip(reason)
    look = "from tests.lab.hosts import _free_blocks; print(*next(_free_blocks()))"
    script = (
        "ip link add lan0 type veth && ip link set lan0 up && ip addr add 10.213.7.9/20 dev lan0"
        f" && '{sys.executable}' -c '{look}'"
    )
    argv = ["unshare", "-n", "sh", "-c", script]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    assert shown == "256 10.213.16.0/28\n"
