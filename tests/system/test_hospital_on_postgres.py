"""Several people on one server: each connects as a role that sees what is theirs alone.

The catalog and the key store are databases of one PostgreSQL server. Alice owns them and is a
physician; bob, a researcher, and the broker work as roles that `medgrid catalog users` made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.lab.niftis import write_nifti
from tests.lab.postgres import PostgresServer
from tests.lab.prompt import Prompt

pytestmark = pytest.mark.postgres


def as_role(url: str, role: str) -> str:
    """The same database, as another role."""
    scheme, _, place = url.partition("://")
    return f"{scheme}://{role}@{place.rpartition('@')[2]}"


def plain(url: str) -> str:
    """A URL as psycopg wants it."""
    return url.replace("postgresql+psycopg", "postgresql")


@pytest.fixture
def urls(postgres_server: PostgresServer) -> Iterator[dict[str, str]]:
    """Two empty databases."""
    names = [postgres_server.make_database() for _ in range(2)]
    yield {
        "MEDGRID_CATALOG": postgres_server.url(names[0]),
        "MEDGRID_KEYSTORE": postgres_server.url(names[1]),
    }
    for name in names:
        postgres_server.drop_database(name)


@pytest.fixture
def alice(tmp_path: Path, urls: dict[str, str]) -> Iterator[Prompt]:
    """A physician, who owns the databases."""
    found = Prompt(tmp_path / "alice", {"MEDGRID_USER": "alice", **urls})
    found.env["MEDGRID_BROKER_AUTOSTART"] = "0"
    found.ok("init")
    yield found
    found("broker", "stop")


@pytest.fixture
def bob(tmp_path: Path, alice: Prompt, urls: dict[str, str]) -> Prompt:
    """A researcher, as his role of the server."""
    roles = {name: as_role(url, "bob") for name, url in urls.items()}
    found = Prompt(tmp_path / "bob", {"MEDGRID_USER": "bob", **roles})
    found.ok("identity", "pin", alice.home / "keys/registration.pub")
    found.ok("identity", "create", "bob", "--no-passphrase")
    request = found.home / "keys/identities/bob.pub"
    alice.ok("identity", "certify", request, "--role", "researcher", "-o", tmp_path)
    alice.ok("identity", "add", tmp_path / "bob.cert")
    alice.ok("catalog", "users")
    return found


@pytest.fixture
def broker(alice: Prompt, urls: dict[str, str]) -> Prompt:
    """The broker, in alice's home, as its role of the server."""
    roles = {name: as_role(url, "broker") for name, url in urls.items()}
    return Prompt(alice.home, {**alice.env, **roles, "MEDGRID_USER": "broker"})


def test_each_sees_what_is_theirs(
    alice: Prompt, bob: Prompt, broker: Prompt, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    for seed, subject in enumerate(("ann", "ben")):
        write_nifti(study / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", seed=seed)
    granted, kept = sorted(alice.ok("import", study, "--to", "/trial").lines)
    assert bob.ok("query", "/").lines == []
    alice.ok("grant", "bob", granted)
    assert bob.ok("query", "/").lines == [granted]
    out = tmp_path / "out"
    bob.ok("fetch", granted, "--dir", out)
    ran = bob("fetch", kept, "--dir", out)
    assert (ran.code, "no LFN" in ran.err) == (4, True)

    # around medgrid, with the password of the role alone
    with psycopg.connect(plain(bob.env["MEDGRID_CATALOG"])) as connection:
        found = connection.execute("SELECT lfn FROM object").fetchall()
        assert found == [(granted,)]
    with psycopg.connect(plain(bob.env["MEDGRID_KEYSTORE"])) as connection:
        for table in ("wrap", "header", "grant_header", "seal", "audit"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}")
            connection.rollback()

    # a job of bob's, moved by the broker's role
    alice.ok("algorithm", "add", _count(tmp_path))
    (job,) = bob.ok("submit", "count", granted).lines
    assert alice.ok("status").lines == []
    broker.ok("broker", "once")
    ended = bob("status", job, "--wait")
    assert ended.code == 0, ended.err
    bob.ok("fetch", job, "--dir", out)
    assert (out / job / "size.txt").read_text().split()[0] == str(
        (out / granted.removeprefix("/")).with_name("T1w.nii.gz").stat().st_size
    )
    bob.ok("register", job, "--to", "/bob")
    assert alice.ok("query", "/bob").lines == [f"/bob/{job}/size"]  # of one patient, in her care

    alice.ok("revoke", "bob", granted)
    assert bob("fetch", granted, "--dir", tmp_path / "later").code == 4
    assert bob.ok("query", "/").lines == [f"/bob/{job}/size"]
    assert alice.ok("audit", "verify").code == 0


def _count(folder: Path) -> Path:
    """An algorithm that counts the bytes of an image."""
    descriptor = folder / "count.json"
    descriptor.write_text(
        """{"name": "count", "tool-version": "1", "schema-version": "0.5",
        "description": "Counts bytes.", "command-line": "wc -c [FILE] > size.txt",
        "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}],
        "output-files": [{"id": "size", "name": "Size", "path-template": "size.txt"}]}"""
    )
    return descriptor
