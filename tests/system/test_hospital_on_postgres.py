"""Several people on one server: each connects as a role that sees what is theirs alone.

The catalog and the key store are databases of one PostgreSQL server. Alice owns them and is a
physician; bob and carl, researchers, and the broker work as roles that `medgrid catalog users`
made.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from medgrid.catalog import Catalog
from medgrid.model import Cause, Job
from tests.lab.dicoms import write_series
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
    found.ok("init", "--slots", "2")
    yield found
    found("broker", "stop")


def somebody(
    name: str, tmp_path: Path, alice: Prompt, urls: dict[str, str], role: str = "researcher"
) -> Prompt:
    """Somebody new, as a role of the server of their own."""
    roles = {key: as_role(url, name) for key, url in urls.items()}
    found = Prompt(tmp_path / name, {"MEDGRID_USER": name, **roles})
    found.env["MEDGRID_BROKER_AUTOSTART"] = "0"
    found.ok("identity", "pin", alice.home / "keys/registration.pub")
    found.ok("identity", "create", name, "--no-passphrase")
    request = found.home / f"keys/identities/{name}.pub"
    alice.ok("identity", "certify", request, "--role", role, "-o", tmp_path)
    alice.ok("identity", "add", tmp_path / f"{name}.cert")
    alice.ok("catalog", "users")
    return found


@pytest.fixture
def bob(tmp_path: Path, alice: Prompt, urls: dict[str, str]) -> Prompt:
    """A researcher."""
    return somebody("bob", tmp_path, alice, urls)


@pytest.fixture
def carl(tmp_path: Path, alice: Prompt, urls: dict[str, str]) -> Prompt:
    """Another one."""
    return somebody("carl", tmp_path, alice, urls)


@pytest.fixture
def broker(alice: Prompt, urls: dict[str, str]) -> Prompt:
    """The broker, in alice's home, as its role of the server."""
    roles = {name: as_role(url, "broker") for name, url in urls.items()}
    return Prompt(alice.home, {**alice.env, **roles, "MEDGRID_USER": "broker"})


@pytest.mark.slow
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

    # a new version is bob's, too, until both are taken back
    for seed, subject in enumerate(("ann", "ben"), 7):
        write_nifti(study / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", seed=seed)
    assert sorted(alice.ok("import", study, "--to", "/trial").lines) == [granted, kept]
    assert bob.ok("query", "version=2").lines == [granted]
    bob.ok("fetch", granted, "--dir", tmp_path / "new")
    alice.ok("revoke", "bob", granted)
    assert bob("stat", granted, "--version", "1").code == 4
    assert bob("fetch", granted, "--dir", tmp_path / "later").code == 4
    assert bob.ok("query", "/").lines == [f"/bob/{job}/size"]
    assert alice.ok("audit", "verify").code == 0


@pytest.mark.slow
def test_a_physician_makes_two_patients_one(
    alice: Prompt, bob: Prompt, urls: dict[str, str], tmp_path: Path
) -> None:
    """As a role of the server, who sees only what is of patients in her care."""
    dora = somebody("dora", tmp_path, alice, urls, "physician")
    dora.env["MEDGRID_DEFAULT_SE"] = "local"
    shutil.copy(alice.home / "keys/pseudonym.key", dora.home / "keys/pseudonym.key")
    study = tmp_path / "study"
    for seed, subject in enumerate(("ann", "anne", "eve")):
        write_nifti(study / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz", seed=seed)
    write_series(study / "dicom", 2, PatientID="ann", IssuerOfPatientID="x")
    write_series(study / "dicom2", 2, study="2", PatientID="anne", IssuerOfPatientID="x")
    alice.ok("import", study / "sub-eve", "--to", "/trial")
    for subject in ("sub-ann", "sub-anne", "dicom", "dicom2"):
        dora.ok("import", study / subject, "--to", "/trial", "--issuer", "x")
    people = {lfn.split("/")[2] for lfn in dora.ok("query", "/").lines}
    assert len(people) == 2
    old, new = sorted(people)
    names = dora.ok("query", f"PatientID={old}").lines
    dora.ok("grant", "bob", *names)
    dora.ok("meta", "set", old, "arm=treated")
    moved = dora.ok("patient", "merge", old, new, "--yes")
    assert (sorted(row[0] for row in moved.rows), moved.err) == (sorted(names), "")
    assert sorted(bob.ok("query", "/").lines) == sorted(row[1] for row in moved.rows)
    bob.ok("fetch", *(row[1] for row in moved.rows), "--dir", tmp_path / "out")
    assert len(dora.ok("query", f"PatientID={new} and arm=treated").lines) == 4
    for subject in ("sub-ann", "sub-anne", "dicom", "dicom2"):
        assert dora.ok("import", study / subject, "--to", "/trial", "--issuer", "x").out == ""
    eve = alice.ok("query", "/trial").lines[0].split("/")[2]
    for pair in ((old, eve), (eve, new)):
        assert dora("patient", "merge", *pair, "--yes").code == 4
    assert alice.ok("audit", "verify").code == 0


def own_files(who: Prompt, count: int) -> list[str]:
    """Enter some files that are theirs alone."""
    name = who.env["MEDGRID_USER"]
    folder = who.home / "files"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"{name} {number}\n")
    return who.ok("register", *sorted(folder.iterdir()), "--to", f"/{name}/files").lines


def ran(urls: dict[str, str], submissions: list[str]) -> list[Job]:
    """Jobs that must have done what they should, in the order in which they started."""
    catalog = Catalog.open(urls["MEDGRID_CATALOG"])
    found = catalog.jobs.jobs(submissions)
    catalog.close()
    assert {(job.cause, job.attempt) for job in found} == {(Cause.OK, 1)}
    return sorted(found, key=lambda job: job.started_s or 0.0)


@pytest.mark.slow
def test_one_broker_runs_the_jobs_of_two_who_share_the_grid(
    alice: Prompt, bob: Prompt, carl: Prompt, broker: Prompt, urls: dict[str, str], tmp_path: Path
) -> None:
    alice.ok("algorithm", "add", _nap(tmp_path))
    files = {who.env["MEDGRID_USER"]: own_files(who, 6) for who in (bob, carl)}
    for who in (bob, carl):
        who.ok("submit", "nap", *files[who.env["MEDGRID_USER"]])
    broker.ok("broker", "once")
    order = [job.owner for job in ran(urls, ["1", "2"])]
    assert sorted(order) == ["bob"] * 6 + ["carl"] * 6
    assert 2 <= order[:6].count("bob") <= 4  # he came first

    # with a quota
    alice.ok("quota", "set", "bob", "--slots", "1", "--jobs", "6")
    refused = bob("quota", "set", "carl", "--jobs", "1")
    assert (refused.code, refused.err.splitlines()[0]) == (
        5,
        "medgrid: error: bob may not set a quota",
    )
    first, *_ = bob.ok("submit", "nap", *files["bob"]).lines
    refused = bob("submit", "nap", files["bob"][0])
    assert (refused.code, refused.err.splitlines()[0]) == (
        5,
        "medgrid: error: bob may have 6 open jobs, has 6 and wants 1 more",
    )
    other, *_ = carl.ok("submit", "nap", *files["carl"]).lines
    assert [row[0] for row in bob.ok("quota", "ls").rows] == ["bob"]
    assert [row[0] for row in carl.ok("quota", "ls").rows] == ["carl"]
    broker.ok("broker", "once")
    spans = [
        (job.started_s or 0.0, job.ended_s or 0.0)
        for job in ran(urls, ["3", "4"])
        if job.owner == "bob"
    ]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))

    # each sees their own
    for who, own, foreign in ((bob, first, other), (carl, other, first)):
        name = who.env["MEDGRID_USER"]
        assert {row[0].split(".")[0] for row in who.ok("status").rows} == {
            str(int(own.split(".")[0]) - 2),
            own.split(".")[0],
        }
        number = foreign.split(".")[0]
        for command in ("status", "explain", "log", "cancel", "resubmit"):
            unseen = who(command, foreign)
            assert (unseen.code, unseen.err.splitlines()[0]) == (
                4,
                f"medgrid: error: there is no submission {number}",
            ), command
        with psycopg.connect(plain(who.env["MEDGRID_CATALOG"])) as connection:
            for question in (
                "SELECT DISTINCT owner FROM submission",
                "SELECT DISTINCT owner FROM job JOIN submission ON id = submission",
                "SELECT DISTINCT owner FROM quota UNION SELECT owner FROM usage",
            ):
                assert set(connection.execute(question.encode())) <= {(name,)}
            for table in ("job", "job_attempt", "job_event"):
                question = f"SELECT count(*) FROM {table} WHERE submission = {number}"
                assert connection.execute(question.encode()).fetchone() == (0,)


def _nap(folder: Path) -> Path:
    """An algorithm that takes a moment."""
    descriptor = folder / "nap.json"
    descriptor.write_text(
        """{"name": "nap", "tool-version": "1", "schema-version": "0.5",
        "description": "Sleeps.", "command-line": "sleep 0.2; wc -c [FILE]",
        "inputs": [{"id": "file", "name": "File", "type": "File", "value-key": "[FILE]"}]}"""
    )
    return descriptor


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


@pytest.mark.slow
def test_a_registrar_imports_again(alice: Prompt, tmp_path: Path, urls: dict[str, str]) -> None:
    """Of what the registrar brought the registrar sees nothing any more."""
    desk = somebody("desk", tmp_path, alice, urls, "registrar")
    shutil.copy(alice.home / "keys/pseudonym.key", desk.home / "keys/pseudonym.key")
    words = ("import", tmp_path / "in", "--to", "/new", "--team", "alice")
    write_series(tmp_path / "in" / "1", 1)
    (lfn,) = desk.ok(*words).lines
    assert desk.ok(*words).err == "new: nothing; unchanged: 1 file\n"
    # a late slice, and a series of somebody else
    late = write_series(tmp_path / "in" / "1", 2)[-1]
    write_series(tmp_path / "in" / "2", 1, study="2", PatientID="PAT-2")
    ran = desk(*words)
    assert (ran.code, len(ran.lines)) == (3, 1)
    assert (
        f"medgrid: error: {late}: {lfn} already exists (and 1 more); where you do not see it, "
        f"the care team of {lfn.split('/')[2]} can import this\n"
    ) in ran.err
    assert alice.ok("stat", lfn, "--json").documents[0]["version"] == 1
    assert len(alice.ok("query", "/new").lines) == 2
    assert desk(*words).code == 3
    (added,) = alice.ok(*words).lines
    assert added == lfn
