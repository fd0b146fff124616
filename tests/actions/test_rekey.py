"""Rekey: old keys open nothing, grants go on, and whatever happens the object can be read."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medgrid.crypto.crypt4gh import open_header
from medgrid.crypto.identity_files import load_identity
from medgrid.errors import Denied
from medgrid.model import ObjectId
from tests.lab.hospital import JANE, OTHER, SES, Hospital, Person
from tests.lab.waiting import put_clock_on

TWIN = f"/trial/{JANE}/T1w"
ORIGINAL = f"{TWIN}.original"


def headers(hospital: Hospital, who: str, *ids: ObjectId) -> set[ObjectId]:
    """Objects, as the key store calls them, that somebody gets a header of."""
    with hospital.keystore(who) as store:
        return set(store.release(ids, "test"))


def on_storage(hospital: Hospital) -> set[str]:
    return {path.name for se in SES for path in hospital.stored(se)}


def test_a_new_key_and_a_new_body_on_the_same_storage(hospital: Hospital) -> None:
    alice = hospital.alice
    alice.ok("replica", "add", TWIN, "--se", "far")
    before = hospital.object(TWIN)
    old = {se: set(hospital.stored(se)) for se in SES}
    (document,) = alice.ok("rekey", TWIN, "--json").documents
    after = hospital.object(TWIN)
    assert document == {
        "schema": "medgrid.rekeyed/1",
        "lfn": TWIN,
        "object": before.id,
        "key": after.key_id,
    }
    assert after.id == before.id
    assert after.key_id not in (before.id, before.key_id)
    assert (after.sha256 != before.sha256, after.digest) == (True, before.digest)
    assert alice.read(TWIN) == b"twin of jane"
    for se in SES:
        gone, new = old[se] - set(hospital.stored(se)), set(hospital.stored(se)) - old[se]
        assert [path.name for path in gone] == [before.key_id]
        assert [path.name for path in new] == [after.key_id]
    assert alice.ok("replica", "verify", TWIN).rows == [
        [TWIN, "far", "ok", ""],
        [TWIN, "near", "ok", ""],
    ]
    assert alice.ok("fsck", "--deep").out == ""
    assert headers(hospital, "alice", before.key_id, after.key_id) == {after.key_id}
    alice.ok("rekey", TWIN)
    assert alice.read(TWIN) == b"twin of jane"
    alice.ok("replica", "rm", TWIN, "--se", "near")
    alice.ok("replica", "add", TWIN, "--se", "near")
    assert alice.read(TWIN) == b"twin of jane"


def test_a_kept_header_opens_nothing_any_more(hospital: Hospital) -> None:
    """Who kept the old header and has the key to it still cannot read the new body."""
    from medgrid.crypto.crypt4gh import decrypt_foreign
    from medgrid.errors import IntegrityError

    hospital.alice.ok("grant", "bob", TWIN)
    item = hospital.object(TWIN)
    with hospital.keystore("bob") as store:
        kept = store.release([item.key_id], "read")[item.key_id].header
    bob = load_identity(hospital.bob.settings.keys_dir, "bob")
    data_key = open_header(kept, bob.encryption_private)
    (body,) = [path for path in hospital.stored() if path.name == item.key_id]
    assert b"".join(decrypt_foreign([body.read_bytes()], data_key)) == b"twin of jane"
    hospital.alice.ok("rekey", TWIN)
    assert not body.exists()
    new = hospital.object(TWIN).key_id
    (body,) = [path for path in hospital.stored() if path.name == new]
    with pytest.raises(IntegrityError):
        b"".join(decrypt_foreign([body.read_bytes()], data_key))
    assert hospital.bob.read(TWIN) == b"twin of jane"


def test_grants_that_hold_go_on_and_others_do_not(hospital: Hospital) -> None:
    hospital.alice.ok("grant", "bob", TWIN, "--until", "2100-06-30")
    hospital.alice.ok("grant", "carol", TWIN)
    hospital.alice.ok("revoke", "carol", TWIN)
    hospital.alice.ok("rekey", TWIN)
    new = hospital.object(TWIN).key_id
    assert hospital.bob.read(TWIN) == b"twin of jane"
    assert headers(hospital, "carol", new) == set()
    with hospital.keystore("bob") as store:
        end_s = store.release([new], "test")[new].until_s
    assert end_s is not None
    assert hospital.alice.ok("grant", "ls", "bob").rows[0][2] == "2100-06-30"
    hospital.alice.ok("revoke", "bob", TWIN)
    assert headers(hospital, "bob", new) == set()


def test_whom_nobody_certifies_any_more_is_left_out(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medgrid.crypto.certificate import Role

    hospital.alice.ok("grant", "bob", TWIN)
    hospital.certify("bob", [Role.RESEARCHER], days=1)
    put_clock_on(monkeypatch, 2 * 86400)
    ran = hospital.alice.ok("rekey", TWIN)
    assert ran.err == "medgrid: warning: bob got no new keys: nobody certifies bob any more\n"


def test_older_versions_go_along(hospital: Hospital) -> None:
    hospital.put("/v", b"one")
    hospital.put("/v", b"two", replace=True)
    ids = on_storage(hospital)
    assert len(hospital.alice.ok("rekey", "/v", "--json").documents) == 2
    assert len(on_storage(hospital) & ids) == len(ids) - 2
    assert hospital.alice.read("/v") == b"two"


def test_a_patient_gets_new_keys_all_over(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "dave")
    with hospital.keystore("dave") as store:
        before = set(store.compartments_of("dave"))
    documents = hospital.alice.ok("rekey", "--patient", JANE, "--json").documents
    assert {one["lfn"] for one in documents} == {TWIN, ORIGINAL, f"/trial/{JANE}/US"}
    with hospital.keystore("dave") as store:
        new = set(store.compartments_of("dave")) - before
        assert {(one.patient, one.revision) for one in new} == {(JANE, 2)}
        item = hospital.object(ORIGINAL)
        assert store.release([item.key_id], "read")[item.key_id].revision == 2
    assert hospital.dave.read(ORIGINAL) == b"original of jane"
    assert hospital.dave.ok("whois", JANE).rows[0][1] == "DOE^JANE^Q"
    assert hospital.carol.read(f"/trial/{OTHER}/T1w") == b"twin of other"


def test_readers_with_a_key_of_their_own_keep_one(hospital: Hospital) -> None:
    hospital.put("/mean", b"mean", patient=None, by="bob")
    hospital.bob.ok("rekey", "/mean")
    assert hospital.bob.read("/mean") == b"mean"
    assert headers(hospital, "alice", hospital.object("/mean").key_id) == set()


def test_only_a_physician_of_the_patient(hospital: Hospital) -> None:
    hospital.alice.ok("grant", "bob", TWIN)
    before = on_storage(hospital)
    ran = hospital.bob.run("rekey", TWIN)
    assert (ran.code, ran.err) == (
        5,
        f"medgrid: error: {TWIN}: only a physician of the patient may\n",
    )
    assert hospital.carol.run("rekey", TWIN).err.splitlines()[0] == (
        f"medgrid: error: no LFN {TWIN}"
    )
    assert hospital.bob.run("rekey", "--patient", JANE).code == 4
    ran = hospital.alice.run("rekey", "/code/mask")
    assert (ran.code, ran.err) == (5, "medgrid: error: /code/mask: it is public\n")
    assert on_storage(hospital) == before
    ran = hospital.alice.run("rekey", TWIN, "--patient", JANE)
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: say LFNs or --dataset NAME, or --patient PATIENT\n",
    )


def test_storage_that_is_down_is_listed_and_finished_later(hospital: Hospital) -> None:
    alice = hospital.alice
    alice.ok("replica", "add", TWIN, "--se", "far")
    old = hospital.object(TWIN).key_id
    root, away = hospital.root_of("far"), hospital.folder / "away"
    root.rename(away)
    ran = alice.run("rekey", TWIN)
    assert ran.code == 3
    assert f"medgrid: warning: {TWIN} at far: " in ran.err
    assert f"medgrid: warning: old bytes of {TWIN} at far: " in ran.err
    assert ran.err.endswith("medgrid: error: 2 of 3 failed\n")
    assert alice.read(TWIN) == b"twin of jane"
    away.rename(root)
    assert {path.name for path in hospital.stored("far")} == {old}
    assert headers(hospital, "alice", old) == set()
    alice.ok("rekey", TWIN)
    assert hospital.stored("far") == []
    assert alice.read(TWIN) == b"twin of jane"


def test_no_storage_at_all_changes_nothing(hospital: Hospital) -> None:
    before = hospital.object(TWIN)
    hospital.root_of("near").rename(hospital.folder / "away")
    assert hospital.alice.run("rekey", TWIN).code in (6, 7)
    (hospital.folder / "away").rename(hospital.root_of("near"))
    assert hospital.object(TWIN) == before
    assert hospital.alice.read(TWIN) == b"twin of jane"
    assert hospital.alice.ok("fsck").out == ""


def test_a_damaged_body_is_not_encrypted_anew(hospital: Hospital) -> None:
    item = hospital.object(TWIN)
    (body,) = [path for path in hospital.stored() if path.name == item.key_id]
    data = bytearray(body.read_bytes())
    data[-1] ^= 1
    body.write_bytes(data)
    before = on_storage(hospital)
    assert hospital.alice.run("rekey", TWIN).code == 6
    assert (on_storage(hospital), hospital.object(TWIN)) == (before, item)


def test_an_input_of_an_open_job_is_left_alone(hospital: Hospital) -> None:
    from medgrid.catalog.jobs import NewSubmission
    from medgrid.model import Algorithm, Sha256

    digest = Sha256("1" * 64)
    with hospital.alice.grid() as grid:
        grid.catalog.algorithms.add(Algorithm("measure", "1", digest, {"name": "measure"}))
        item = grid.catalog.objects.get(hospital.objects[TWIN].lfn or pytest.fail())
        new = NewSubmission(
            algorithm=digest,
            algorithm_label="measure@1",
            owner="alice",
            items=[[item.id]],
            item_role="in",
            inputs={},
            parameters={},
        )
        grid.catalog.jobs.create_submission(new)
    for words in (("rekey", TWIN), ("rekey", "--patient", JANE)):
        ran = hospital.alice.run(*words)
        assert (ran.code, ran.err) == (
            2,
            f"medgrid: error: {TWIN} is an input of a job that has not ended\n"
            "medgrid: hint: nothing was changed; wait for the job, or say --force, and it fails\n",
        )
    assert hospital.object(TWIN).rekeyed_as is None
    hospital.alice.ok("rekey", TWIN, "--force")
    assert hospital.alice.read(TWIN) == b"twin of jane"


# -- kill -9 ---------------------------------------------------------------------------------------


def killed_at(person: Person, moment: int, *words: str) -> bool:
    """Run a command in a process that kills itself at a moment; False when it came to its end.

    The moments are: before and after each commit of a database, before and after each rename and
    each deletion of a file.
    """
    pid = os.fork()
    if pid == 0:
        try:
            _die_at(moment)
            code = 0 if person.run(*words).code == 0 else 99
        except BaseException:
            code = 98
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _die_at(moment: int) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    count = 0

    def tick() -> None:
        nonlocal count
        count += 1
        if count == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: object, name: str) -> None:
        real: Callable[..., object] = getattr(owner, name)

        def wrapped(*args: object, **kwargs: object) -> object:
            tick()
            result = real(*args, **kwargs)
            tick()
            return result

        setattr(owner, name, wrapped)

    around(DefaultDialect, "do_commit")
    around(os, "rename")
    around(os, "replace")
    around(os, "link")
    around(os, "unlink")
    around(Path, "unlink")


@pytest.mark.slow
def test_killed_at_any_moment_it_can_be_read_and_the_next_run_finishes(
    hospital: Hospital, tmp_path: Path
) -> None:
    sys.stdout.flush()
    hospital.alice.ok("grant", "bob", TWIN)
    hospital.alice.ok("replica", "add", TWIN, "--se", "far")
    template = tmp_path / "template"
    shutil.copytree(hospital.folder, template)
    original = hospital.object(TWIN)
    switched = moment = 0
    while killed_at(hospital.alice, moment := moment + 1, "rekey", TWIN):
        assert hospital.alice.read(TWIN) == b"twin of jane"
        assert hospital.bob.read(TWIN) == b"twin of jane"
        switched += hospital.object(TWIN).rekeyed_as is not None
        hospital.alice.ok("rekey", TWIN)
        now = hospital.object(TWIN)
        assert hospital.alice.read(TWIN) == b"twin of jane"
        assert hospital.bob.read(TWIN) == b"twin of jane"
        assert headers(hospital, "alice", original.id) == set()
        assert headers(hospital, "bob", original.id) == set()
        for se in SES:
            names = {path.name for path in hospital.stored(se)}
            assert now.key_id in names
            assert original.id not in names
        shutil.rmtree(hospital.folder)
        shutil.copytree(template, hospital.folder)
    assert moment > 20
    assert 0 < switched < moment


def test_killed_at_some_moments(hospital: Hospital) -> None:
    """The same as the long test, on one grid and at few moments."""
    hospital.alice.ok("grant", "bob", TWIN)
    for moment in (3, 9, 12, 15, 18, 21):
        killed_at(hospital.alice, moment, "rekey", TWIN)
        assert hospital.alice.read(TWIN) == b"twin of jane"
        assert hospital.bob.read(TWIN) == b"twin of jane"
    hospital.alice.ok("rekey", TWIN)
    assert hospital.bob.read(TWIN) == b"twin of jane"
    with pytest.raises(Denied):
        hospital.alice.grid().__enter__().vault.key(hospital.objects[TWIN].id)
