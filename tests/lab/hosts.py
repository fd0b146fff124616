"""Several real hosts on this machine, for root: fixture ``hosts``.

Each host has its own network namespace and address, process namespace, host name, accounts, root
file system (an overlay of this machine's on a tmpfs of limited size, so a full disk is real) and
sshd. All of them live below one process, which the kernel kills when the test run dies: mounts,
interfaces and processes go with it. Each lab takes addresses that lead nowhere on this machine; the
name of its network interface says to others that they are taken.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tests.lab.sshd import keygen
from tests.lab.waiting import wait_for

USER = "grid"
_BLOCK_BITS = 28  # 16 addresses of one lab: 13 hosts, and this machine
# a private network, and that for tests of network devices (RFC 2544)
_NETWORKS = (IPv4Network("10.213.0.0/16"), IPv4Network("198.18.0.0/16"))
_WIDE_BITS = 8  # a route to more than this is where all goes that has no other
_PR_SET_PDEATHSIG = 1
_NEEDED = ("ip", "tc", "unshare", "nsenter", "/usr/sbin/sshd", "setfattr", "ssh-keygen")
_HIDDEN = ("root", "home", "tmp", "run", "var/tmp", "srv", "mnt", "media")

_NO_FILES = ("proc", "sysfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "mqueue")

_ACCOUNTS = r"""
accounts() { # file, pattern of this machine's entries to leave out, entries of the host
  { printf '%s\n' "$3"; grep -Ev "$2" "etc/$1" || true; } > etc/.new
  cat etc/.new > "etc/$1"
  rm etc/.new
}
accounts passwd '^((root|grid):|[^:]*:[^:]*:5213:)' \
  'root:x:0:0:root:/root:/bin/bash
grid:x:5213:5213:grid:/home/grid:/bin/bash'
accounts shadow '^(root|grid):' 'root:*:19000:0:99999:7:::
grid:*:19000:0:99999:7:::'
accounts group '^(grid:|[^:]*:[^:]*:5213:)' 'grid:x:5213:'
printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files' > etc/nsswitch.conf
"""

_INIT = (
    r"""
set -eu
umask 022
disk=$1 name=$2
hostname "$name"
mkdir -p "$disk/root"
mount -t overlay lab -o lowerdir=/,upperdir="$disk/u",workdir="$disk/w" "$disk/root"
cd "$disk/root"
mkdir -p proc sys dev mnt/old
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs shm dev/shm
if [ ! -e etc/lab-host ]; then
  chmod 1777 tmp var/tmp
"""
    + _ACCOUNTS
    + r"""
  printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$name" > etc/hosts
  echo "$name" > etc/hostname
  for home in root home/grid; do
    mkdir -p "$home/.ssh"
    cp "$disk/authorized_keys" "$home/.ssh/authorized_keys"
    chmod 700 "$home" "$home/.ssh"
  done
  chown -R 5213:5213 home/grid
  echo "$name" > etc/lab-host
fi
pivot_root . mnt/old
cd /
umount -l /mnt/old
ip link set lo up
rm -rf /run/*
mkdir -p /run/sshd
cat /proc/sys/kernel/random/uuid > /run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
cat > /etc/ssh/lab_sshd_config <<CONFIG
HostKey /etc/ssh/lab_host_key
PidFile /run/sshd.pid
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200:30:400
Subsystem sftp internal-sftp
CONFIG
/usr/sbin/sshd -f /etc/ssh/lab_sshd_config -E /var/log/sshd.log
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $! || true; done
"""
)


def _sh(*argv: str) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _child_of(pid: int, name: str) -> int:
    """Pid of the only child of `pid`, once it runs the program `name`."""
    found: list[int] = []

    def look() -> bool:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found[:] = [int(one) for one in text if _comm(int(one)) == name]
        return bool(found)

    wait_for(look, f"{name} to start")
    return found[0]


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class LabHost:
    """One host: `name`, `address`, `url` (as user ``grid``)."""

    def __init__(self, lab: Lab, number: int, size: str) -> None:
        self.name = f"w{number:02d}"
        self.address = str(lab.network[number])
        self.url = f"ssh://{USER}@{self.address}"
        self._lab = lab
        self._number = number
        self._port = f"port{number}"
        self._disk = lab.directory / self.name
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init = 0
        upper = self._disk / "u"
        lab.run("mkdir", "-p", str(self._disk))
        lab.run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "lab", str(self._disk))
        lab.run("mkdir", "-p", str(self._disk / "w"), str(upper / "etc/ssh"))
        for name in (*_HIDDEN, *lab.hidden):
            lab.run("mkdir", "-p", str(upper / name))
            lab.run("setfattr", "-n", "trusted.overlay.opaque", "-v", "y", str(upper / name))
        lab.copy(lab.directory / "id.pub", self._disk / "authorized_keys")
        key = lab.directory / f"{self.name}.key"
        keygen(key)
        lab.copy(key, upper / "etc/ssh/lab_host_key")
        kind, public = key.with_suffix(".key.pub").read_text().split()[:2]
        with lab.known_hosts.open("a") as known:
            known.write(f"{self.address} {kind} {public}\n")
        self.boot()

    def boot(self) -> None:
        """Start the host; what was on its disk is there again."""
        log = (self._lab.directory / f"{self.name}.console").open("wb")
        with log:
            self._unshare = subprocess.Popen(
                [
                    *self._lab.enter,
                    *[
                        "unshare",
                        "-m",
                        "-u",
                        "-i",
                        "-n",
                        "-p",
                        "-f",
                        "--kill-child",
                        "--propagation",
                        "private",
                    ],
                    *("sh", "-c", _INIT, "init", str(self._disk), self.name),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_parent,
            )
        # nsenter forks into the process namespace, unshare forks the init
        self._init = _child_of(_child_of(self._unshare.pid, "unshare"), "sh")
        peer = ["peer", "name", "eth0", "netns", str(self._lab.pid_inside(self._init))]
        self._lab.run("ip", "link", "add", self._port, "type", "veth", *peer)
        self._lab.run("ip", "link", "set", self._port, "master", "br0", "up")
        self._inside("ip", "addr", "add", f"{self.address}/{_BLOCK_BITS}", "dev", "eth0")
        mac = "02:4d:" + IPv4Address(self.address).packed.hex(":")  # the same after a reboot
        self._inside("ip", "link", "set", "eth0", "address", mac, "up")
        wait_for(self.answers, f"{self.name} to answer")

    def crash(self) -> None:
        """Cut the power: everything on the host dies and nobody is told; its disk stays."""
        if self._unshare is not None:
            self._lab.run("ip", "link", "del", self._port)
            os.kill(self._init, signal.SIGKILL)
            self._unshare.wait()
            self._unshare = None

    def reboot(self) -> None:
        """Crash, then boot."""
        self.crash()
        self.boot()

    def cut(self) -> None:
        """Pull the network cable: no packet, no reset."""
        self._lab.run("ip", "link", "set", self._port, "down")

    def heal(self) -> None:
        """Plug the cable in again."""
        self._lab.run("ip", "link", "set", self._port, "up")

    def slow(self, rate: str) -> None:
        """Limit the network to `rate` both ways, for example ``8mbit``."""
        shape = f"root tbf rate {rate} burst 32k latency 400ms".split()
        self._lab.run("tc", "qdisc", "replace", "dev", self._port, *shape)
        self._inside("tc", "qdisc", "replace", "dev", "eth0", *shape)

    def lose(self, percent: int) -> None:
        """Drop so many of the packets that the host sends."""
        self.lose_nothing()
        table = f"lab{self._number}"
        chain = f"{{ type filter hook ingress device {self._port} priority 0; }}"
        self._lab.run("nft", "add", "table", "netdev", table)
        self._lab.run("nft", "add", "chain", "netdev", table, "loss", chain)
        rule = f"numgen random mod 100 < {percent} drop".split()
        self._lab.run("nft", "add", "rule", "netdev", table, "loss", *rule)

    def lose_nothing(self) -> None:
        """Undo `lose`."""
        self._lab.run("sh", "-c", f"nft delete table netdev lab{self._number} 2>/dev/null || true")

    def fill(self, leave_bytes: int = 0) -> None:
        """Fill the disk but for `leave_bytes`."""
        self.exec(
            "while rm -f /filler; free=$(df --output=avail -B1 / | tail -1); "
            f'size=$((free - {leave_bytes})); [ "$size" -gt 0 ]; do '
            'if fallocate -l "$size" /filler; then break; fi; done'  # somebody took some of it
        )

    def restore(self) -> None:
        """Undo `fill`, `slow`, `lose`, `cut` and `crash`."""
        if self._unshare is None:
            self.boot()
        self.heal()
        self.lose_nothing()
        self.exec("rm -f /filler; tc qdisc del dev eth0 root 2>/dev/null || true")
        self._lab.run("sh", "-c", f"tc qdisc del dev {self._port} root 2>/dev/null || true")

    def exec(self, script: str, user: str = "root") -> str:
        """Run a shell script on the host, not through the network; what it printed.

        Raises
        ------
        subprocess.CalledProcessError
            It ended with another exit code than 0.
        """
        shell = ["sh", "-c", script] if user == "root" else ["su", "-", user, "-c", script]
        argv = ["nsenter", "-t", str(self._init), "-a", *shell]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run(argv, check=True, capture_output=True, text=True, env=env).stdout

    @property
    def is_up(self) -> bool:
        """Whether it has power."""
        return self._unshare is not None

    @property
    def root(self) -> Path:
        """Where this machine's root finds all files that the host sees, while it is up."""
        return Path(f"/proc/{self._init}/root")

    @property
    def disk(self) -> Path:
        """Where this machine's root finds all that the host wrote to its disk."""
        return Path(f"/proc/{self._lab.pid}/root{self._disk}/u")

    def memory(self) -> list[Path]:
        """Where this machine's root finds the file systems that the host has in memory.

        Those are its own, and what any of its processes mounted for itself.
        """
        found: list[Path] = []
        own = Path(f"/proc/{self._init}/ns/pid").readlink()
        seen: set[Path] = set()
        oldest_first = sorted(int(path.name) for path in Path("/proc").glob("[0-9]*"))
        for process in (Path(f"/proc/{pid}") for pid in (self._init, *oldest_first)):
            try:
                space = (process / "ns/mnt").readlink()
                if (process / "ns/pid").readlink() != own or space in seen:
                    continue
                seen.add(space)
                mounts = [line.split() for line in (process / "mounts").read_text().splitlines()]
            except OSError:
                continue  # it has ended
            found += [
                Path(f"{process}/root{mount[1]}")
                for mount in mounts
                if mount[2] not in _NO_FILES and mount[1] != "/"
            ]
        return found

    def _inside(self, *argv: str) -> None:
        _sh("nsenter", "-t", str(self._init), "-n", *argv)

    def answers(self) -> bool:
        """Whether its sshd greets."""
        try:
            with socket.create_connection((self.address, 22), timeout=1) as stream:
                return stream.recv(4) == b"SSH-"
        except OSError:
            return False


class Lab:
    """The hosts of one test run; made when first asked for."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mglab-"))
        self.identity = self.directory / "id"
        self.known_hosts = self.directory / "known_hosts"
        self.hidden = _checkout_top()
        self.uplink = ""
        self._hosts: dict[int, LabHost] = {}
        keygen(self.identity)
        self.known_hosts.touch()
        self._holder = subprocess.Popen(
            [
                "unshare",
                "-m",
                "-n",
                "-p",
                "-f",
                "--kill-child",
                "--propagation",
                "private",
                "--mount-proc",
                "sleep",
                "inf",
            ],
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        try:
            self.pid = _child_of(self._holder.pid, "sleep")
            self.enter = ["nsenter", "-t", str(self.pid), "-m", "-n", "-p"]
            self.uplink, self.network = self._claim()
            self._wire()
        except BaseException:
            self.close()
            raise

    def _claim(self) -> tuple[str, IPv4Network]:
        """Name of a new cable to the lab, which no other has, and its block of addresses."""
        peer = ["peer", "name", "uplink", "netns", str(self.pid)]
        for number, network in _free_blocks():
            name = f"mglab{number}"
            argv = ["ip", "link", "add", name, "type", "veth", *peer]
            made = subprocess.run(argv, check=False, capture_output=True, text=True)
            if made.returncode == 0:
                return name, network
            if "File exists" not in made.stderr:
                raise RuntimeError(f"the lab gets no cable: {made.stderr.strip()}")
        raise RuntimeError("no addresses are free for lab hosts")

    def _wire(self) -> None:
        hub = self.network[-2]
        _sh("ip", "addr", "add", f"{hub}/{_BLOCK_BITS}", "dev", self.uplink)
        _sh("ip", "link", "set", self.uplink, "up")
        self.run("ip", "link", "add", "br0", "type", "bridge")
        self.run("ip", "link", "set", "br0", "up")
        self.run("ip", "link", "set", "uplink", "master", "br0", "up")

    def host(self, number: int = 1, size: str = "512m") -> LabHost:
        """Host `number` (from 1), booted; `size` of its disk counts when it is made."""
        if number not in self._hosts:
            self._hosts[number] = LabHost(self, number, size)
        return self._hosts[number]

    def restore(self) -> None:
        """Bring all hosts back to health."""
        for host in self._hosts.values():
            host.restore()

    def run(self, *argv: str) -> None:
        """Run a command where the hosts' cables and disks are."""
        _sh(*self.enter, *argv)

    def copy(self, source: Path, target: Path) -> None:
        """Copy a file of this machine to where the hosts' disks are."""
        with source.open("rb") as stream:
            script = f"umask 077; cat > '{target}'"
            subprocess.run([*self.enter, "sh", "-c", script], stdin=stream, check=True)

    def pid_inside(self, pid: int) -> int:
        """Pid of a process as the lab's own process namespace counts."""
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[2])
        raise AssertionError(f"process {pid} is not in the lab")

    def close(self) -> None:
        """End everything."""
        self._holder.kill()
        self._holder.wait()
        for host in self._hosts.values():
            if host._unshare is not None:
                host._unshare.wait()
        # its other end goes when the kernel comes to it; the next lab may want the name sooner
        subprocess.run(["ip", "link", "del", self.uplink], check=False, capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def _free_blocks() -> Iterator[tuple[int, IPv4Network]]:
    """Blocks of addresses to which this machine knows no way, with their numbers."""
    shown = subprocess.run(
        ["ip", "-j", "-4", "route", "show", "table", "all"], check=True, capture_output=True
    )
    targets = [route["dst"] for route in json.loads(shown.stdout or b"[]")]
    known = [IPv4Network(target, strict=False) for target in targets if target != "default"]
    taken = [network for network in known if network.prefixlen >= _WIDE_BITS]
    blocks = (block for network in _NETWORKS for block in network.subnets(new_prefix=_BLOCK_BITS))
    for number, block in enumerate(blocks):
        if not any(block.overlaps(network) for network in taken):
            yield number, block


def _checkout_top() -> list[str]:
    """Top-level directory of the checkout, which a host must not see."""
    top = Path(__file__).resolve().parts[1]
    return [] if top in ("usr", "opt", "var", *_HIDDEN) else [top]


def why_no_hosts() -> str | None:
    if os.geteuid() != 0:
        return "lab hosts need root"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        return f"lab hosts need {', '.join(missing)}"
    trial = subprocess.run(
        ["unshare", "-m", "-n", "-p", "-f", "ip", "link", "add", "mg0", "type", "veth"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"lab hosts need namespaces and veth: {trial.stderr}" if trial.returncode else None


@pytest.fixture(scope="session")
def _lab() -> Iterator[Lab]:
    reason = why_no_hosts()
    if reason:
        pytest.skip(reason)
    lab = Lab()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def hosts(_lab: Lab) -> Iterator[Lab]:
    """The lab: ``hosts.host(1)`` is a booted, healthy host."""
    yield _lab
    _lab.restore()
