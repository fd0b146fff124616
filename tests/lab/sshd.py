"""A private sshd on a loopback port, started by whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.prompt import Prompt
from tests.lab.surroundings import skip_without_account
from tests.lab.waiting import wait_for

SSHD = "/usr/sbin/sshd"

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/hostkey
PidFile {dir}/sshd.pid
AuthorizedKeysFile {dir}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200:30:400
MaxSessions {max_sessions}
Subsystem sftp internal-sftp
SetEnv HOME={dir}/home
"""


class Sshd:
    """One sshd: `url`, `identity` (private key), `known_hosts`, `home` (of sessions)."""

    def __init__(self, directory: Path, max_sessions: int = 10) -> None:
        self.directory = directory
        self.identity = directory / "id"
        self.known_hosts = directory / "known_hosts"
        self.home = directory / "home"
        self._place = reserve_port()
        self.port: int = self._place.getsockname()[1]
        directory.mkdir(mode=0o700, parents=True)
        self.home.mkdir(mode=0o700)
        keygen(self.identity)
        shutil.copy(directory / "id.pub", directory / "authorized_keys")
        self.new_host_key()
        config = _CONFIG.format(port=self.port, dir=directory, max_sessions=max_sessions)
        (directory / "sshd_config").write_text(config)
        self.trust()
        self.start()

    @property
    def url(self) -> str:
        """``ssh://127.0.0.1:PORT``, logging in as whoever runs the tests."""
        return f"ssh://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What sshd logged."""
        return (self.directory / "sshd.log").read_text(errors="replace")

    def new_host_key(self) -> None:
        """Draw the server another host key (before `restart`)."""
        (self.directory / "hostkey").unlink(missing_ok=True)
        keygen(self.directory / "hostkey")

    def trust(self) -> None:
        """Write the current host key to `known_hosts`."""
        kind, key = (self.directory / "hostkey.pub").read_text().split()[:2]
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def start(self) -> None:
        """Start the server and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        log = ["-E", str(self.directory / "sshd.log")]
        subprocess.run([SSHD, "-f", str(self.directory / "sshd_config"), *log], check=True)
        wait_for(lambda: self._listens, "sshd to start")

    def stop(self) -> None:
        """Stop listening; open connections stay."""
        if self._listens:
            os.kill(int((self.directory / "sshd.pid").read_text()), signal.SIGTERM)
            wait_for(lambda: not self._listens, "sshd to stop")

    @property
    def _listens(self) -> bool:
        """Whether it has written down who it is; the file is there a moment earlier."""
        try:
            return bool((self.directory / "sshd.pid").read_text())
        except FileNotFoundError:
            return False

    def restart(self) -> None:
        """Stop, then start."""
        self.stop()
        self.start()

    def drop_connections(self) -> int:
        """Kill the server side of every open connection; their number."""
        dropped = 0
        listener = (self.directory / "sshd.pid").read_text().strip() if self._listens else ""
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and process.name != listener and self._is_session(process):
                os.kill(int(process.name), signal.SIGKILL)
                dropped += 1
        return dropped

    def _is_session(self, process: Path) -> bool:
        """Whether `process` is an sshd that serves one of our connections (by its log file)."""
        try:
            if not (process / "comm").read_text().startswith("sshd"):
                return False
            files = [fd.readlink() for fd in (process / "fd").iterdir()]
        except OSError:
            return False
        return self.directory / "sshd.log" in files

    def close(self) -> None:
        """Stop, and end all connections."""
        self.stop()
        self.drop_connections()
        self._place.close()


def reserve_port() -> socket.socket:
    """A socket on a loopback TCP port that nobody gets who asks for any port.

    It does not listen; a server may, since servers ask for their port with ``SO_REUSEADDR``.
    """
    place = socket.socket()
    place.bind(("127.0.0.1", 0))
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return place


def keygen(file: Path, passphrase: str = "") -> None:
    """Make an ed25519 key pair."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "lab", "-f", str(file)]
    subprocess.run(command, check=True)


def physician(home: Path, sshd: Sshd, algorithm: Path) -> Prompt:
    """Alice, who has a grid with one algorithm; jobs run on the host."""
    found = Prompt(
        home,
        {
            "MEDGRID_USER": "alice",
            "MEDGRID_IDENTITY": str(sshd.identity),
            "MEDGRID_KNOWN_HOSTS": str(sshd.known_hosts),
        },
    )
    found.ok("init")
    found.ok("worker", "rm", "local")
    found.ok("worker", "add", "w1", sshd.url, "--slots", "2", "--site", "cluster")
    found.ok("algorithm", "add", algorithm)
    return found


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """A running private sshd."""
    if not Path(SSHD).exists():
        pytest.skip("needs an OpenSSH server (package openssh-server)")
    skip_without_account()
    server = Sshd(tmp_path / "sshd")
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port on which nobody listens."""
    with reserve_port() as place:
        yield place.getsockname()[1]
