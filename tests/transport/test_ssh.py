"""Connecting by SSH, running commands, and every way in which that is refused."""

from __future__ import annotations

import getpass
import hashlib
import subprocess
import threading
from pathlib import Path

import pytest

from medgrid.config import Settings
from medgrid.errors import Denied, Unreachable, UsageError
from medgrid.transport import ssh
from tests.lab.sshd import Sshd, keygen
from tests.lab.waiting import PATIENCE_S

pytestmark = pytest.mark.sshd


@pytest.fixture
def settings(tmp_path: Path, sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Settings(
        home=tmp_path / "grid",
        known_hosts=str(sshd.known_hosts),
        identity=str(sshd.identity),
        connect_timeout_s=5,
    )


def test_a_command_gets_its_streams_and_its_exit_status(sshd: Sshd, settings: Settings) -> None:
    with ssh.connect(sshd.url, settings) as connection:
        process = connection.exec("cat; echo oops >&2; exit 3")
        process.stdin.write(b"hello\n")
        process.stdin.close()
        assert process.stdout.read() == b"hello\n"
        assert process.wait(PATIENCE_S) == 3
        assert process.stderr == b"oops\n"


def test_much_stderr_never_blocks(sshd: Sshd, settings: Settings) -> None:
    with ssh.connect(sshd.url, settings) as connection:
        process = connection.exec("head -c 50000000 /dev/zero >&2; echo done")
        assert process.stdout.read() == b"done\n"
        assert process.wait(PATIENCE_S) == 0
        assert len(process.stderr) == 64 * 1024


def test_bytes_go_both_ways_unchanged(sshd: Sshd, settings: Settings) -> None:
    data = bytes(range(256)) * 100_000
    with ssh.connect(sshd.url, settings) as connection:
        process = connection.exec("cat")

        def feed() -> None:
            process.stdin.write(data)
            process.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        assert hashlib.sha256(process.stdout.read()).digest() == hashlib.sha256(data).digest()
        feeder.join()
        assert process.wait(PATIENCE_S) == 0


def test_sftp(sshd: Sshd, settings: Settings, tmp_path: Path) -> None:
    with ssh.connect(sshd.url.replace("ssh:", "sftp:") + "/dir", settings) as connection:
        with connection.sftp() as client, client.open(str(tmp_path / "x"), "wb") as file:
            file.write(b"abc")
        assert (tmp_path / "x").read_bytes() == b"abc"


def test_an_unknown_host_key_is_refused_then_accepted(sshd: Sshd, settings: Settings) -> None:
    sshd.known_hosts.unlink()
    me = getpass.getuser()
    with pytest.raises(Denied) as caught:
        ssh.connect(sshd.url, settings, subject="worker check w1")
    words = caught.value.message.split()
    shown = next(word for word in words if word.startswith("SHA256:"))
    place = f"{me}@127.0.0.1:{sshd.port}"
    assert caught.value.message == f"{place}: the host key ssh-ed25519 {shown} is not known"
    assert caught.value.hint == (
        f"compare it with the host's own, then 'medgrid worker check w1 --accept-hostkey {shown}'"
    )
    with pytest.raises(Denied, match="expected the host key SHA256:other, found SHA256:"):
        ssh.accept_host_key(sshd.url, settings, None, "SHA256:other")
    assert not sshd.known_hosts.exists()
    ssh.accept_host_key(sshd.url, settings, None, shown)
    ssh.connect(sshd.url, settings).close()


def test_a_changed_host_key_is_refused_loudly(sshd: Sshd, settings: Settings) -> None:
    sshd.new_host_key()
    sshd.restart()
    with pytest.raises(Denied, match="THE HOST KEY HAS CHANGED: expected ssh-ed25519 SHA256:"):
        ssh.connect(sshd.url, settings)


def test_a_wrong_key_is_denied(sshd: Sshd, settings: Settings, tmp_path: Path) -> None:
    keygen(tmp_path / "stranger")
    with pytest.raises(Denied) as caught:
        ssh.connect(sshd.url, settings, {"identity": str(tmp_path / "stranger")})
    me = getpass.getuser()
    assert caught.value.message == (
        f"{me}@127.0.0.1:{sshd.port}: the server refuses user {me}: tried {tmp_path}/stranger"
    )
    assert caught.value.hint is not None
    assert f"ssh -p {sshd.port} {me}@127.0.0.1" in caught.value.hint


def test_a_key_with_a_passphrase_is_named(sshd: Sshd, settings: Settings, tmp_path: Path) -> None:
    keygen(tmp_path / "locked", "secret")
    with pytest.raises(Denied, match=r"found no key to try; .*/locked needs a passphrase"):
        ssh.connect(sshd.url, settings, {"identity": str(tmp_path / "locked")})


def test_a_wrong_user_is_denied(sshd: Sshd, settings: Settings) -> None:
    with pytest.raises(Denied, match="the server refuses user nobody-here: tried"):
        ssh.connect(f"ssh://nobody-here@127.0.0.1:{sshd.port}", settings)


def test_nobody_listens(settings: Settings, closed_port: int) -> None:
    with pytest.raises(Unreachable, match=f"127.0.0.1:{closed_port}: connection refused"):
        ssh.connect(f"ssh://127.0.0.1:{closed_port}", settings)


def test_an_unknown_host(sshd: Sshd, settings: Settings) -> None:
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        ssh.connect("ssh://no-such-host.invalid", settings)


def test_not_a_url(settings: Settings) -> None:
    with pytest.raises(UsageError, match="'host:22' is not an SSH URL"):
        ssh.connect("host:22", settings)


def test_a_lost_connection_is_unreachable(sshd: Sshd, settings: Settings) -> None:
    with ssh.connect(sshd.url, settings) as connection:
        process = connection.exec("sleep 60")
        assert sshd.drop_connections() > 0
        with pytest.raises(Unreachable, match="the connection was lost"):
            process.wait(PATIENCE_S)


def test_the_users_ssh_config_is_honoured(sshd: Sshd, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "user" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "known_hosts").write_text(sshd.known_hosts.read_text())
    (folder / "config").write_text(
        f"Host gate\n HostName 127.0.0.1\n Port {sshd.port}\n IdentityFile {sshd.identity}\n"
        f"Host behind\n HostName 127.0.0.1\n Port {sshd.port}\n ProxyJump gate\n"
        f" IdentityFile {sshd.identity}\n"
    )
    plain = Settings(home=tmp_path / "grid", connect_timeout_s=5)
    for name in ("gate", "behind"):
        with ssh.connect(f"ssh://{name}", plain) as connection:
            process = connection.exec("echo here")
            assert process.stdout.read() == b"here\n"


def test_an_unknown_jump_host_is_accepted_first(
    sshd: Sshd, settings: Settings, tmp_path: Path
) -> None:
    other = Sshd(tmp_path / "other")
    try:
        (other.directory / "authorized_keys").write_text((sshd.directory / "id.pub").read_text())
        options = {"jump": f"127.0.0.1:{other.port}"}
        with pytest.raises(Denied, match="is not known") as caught:
            ssh.connect(sshd.url, settings, options, subject="worker check w1")
        assert f":{other.port}: the host key" in caught.value.message
        shown = next(word for word in caught.value.message.split() if word.startswith("SHA256:"))
        assert caught.value.hint is not None
        assert f"medgrid worker check w1 --accept-hostkey {shown}" in caught.value.hint
        ssh.accept_host_key(sshd.url, settings, options, shown)
        with ssh.connect(sshd.url, settings, options) as connection:
            process = connection.exec("echo behind")
            assert process.stdout.read() == b"behind\n"
        other.stop()
        with pytest.raises(Unreachable, match="connection refused"):
            ssh.connect(sshd.url, settings, options)
    finally:
        other.close()


def test_hashed_and_revoked_known_hosts(sshd: Sshd, settings: Settings) -> None:
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)], check=True)
    assert "127.0.0.1" not in sshd.known_hosts.read_text()
    ssh.connect(sshd.url, settings).close()
    revoked = "@revoked * " + " ".join((sshd.directory / "hostkey.pub").read_text().split()[:2])
    with sshd.known_hosts.open("a") as known:
        known.write(revoked + "\n")
    with pytest.raises(Denied, match=r"the host key SHA256:.* is revoked"):
        ssh.connect(sshd.url, settings)
