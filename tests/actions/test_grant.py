"""Grants: what is let see, refused, taken back, and what the key store then gives out."""

from __future__ import annotations

import time

import pytest

from medgrid.crypto.certificate import Role
from medgrid.errors import Denied, NotFound
from medgrid.model import DataClass, ObjectKind, Review
from tests.lab.hospital import JANE, JOHN, OTHER, Hospital
from tests.lab.waiting import put_clock_on

TWIN, US = f"/trial/{JANE}/T1w", f"/trial/{JANE}/US"
STAYS = (
    "medgrid: warning: what bob has fetched stays fetched, and so do results made from it; if bob "
    "may have kept keys, 'medgrid rekey' encrypts the objects anew\n"
)


@pytest.fixture
def body(hospital: Hospital) -> Hospital:
    """With an image that shows no head, ``/abdomen``."""
    hospital.put("/abdomen", b"abdomen", attributes={"BodyPartExamined": "ABDOMEN"})
    return hospital


def test_what_is_granted_is_seen_and_read_until_it_is_taken_back(body: Hospital) -> None:
    bob = body.bob
    before = bob.ok("query", "/", "--count").out
    with pytest.raises(NotFound, match="no LFN /abdomen"):
        bob.read("/abdomen")
    ran = body.alice.ok("grant", "bob", "/abdomen", "--for", "90d")
    assert (ran.out, ran.err) == ("", "")
    assert bob.read("/abdomen") == b"abdomen"
    assert bob.ok("query", "/").lines == ["/abdomen", "/code/mask"]
    assert body.carol.ok("query", "/abdomen").out == ""
    ran = body.alice.ok("revoke", "bob", "/abdomen")
    assert (ran.out, ran.err) == ("", STAYS)
    assert bob.ok("query", "/", "--count").out == before
    with body.keystore("bob") as store:
        assert store.release([body.objects["/abdomen"].id], "read") == {}


def test_what_may_not_be_granted_is_listed_and_the_rest_is_done(body: Hospital) -> None:
    lfns = [US, f"{TWIN}.original", "/abdomen", f"/trial/{OTHER}/T1w", "/nothing", "/code/mask"]
    ran = body.alice.run("grant", "bob", *lfns)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == (
        "medgrid: warning: no LFN /trial/P-OTHER/T1w\n"
        "medgrid: warning: no LFN /nothing\n"
        "medgrid: warning: /trial/P-JANE/US: its pixels were not reviewed\n"
        "medgrid: warning: /trial/P-JANE/T1w.original: data that names the patient is never "
        "granted\n"
        "medgrid: error: 4 of 5 failed\n"
        "medgrid: hint: look at them with 'medgrid review show', then 'medgrid review release'\n"
    )
    assert body.bob.ok("query", "/").lines == ["/abdomen", "/code/mask"]


def test_one_that_waits_for_a_review_is_denied(hospital: Hospital) -> None:
    ran = hospital.alice.run("grant", "bob", US)
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: /trial/P-JANE/US: its pixels were not reviewed\n"
        "medgrid: hint: look at them with 'medgrid review show', then 'medgrid review release'\n",
    )


def test_only_physicians_of_the_patient_grant(body: Hospital) -> None:
    body.alice.ok("grant", "bob", "/abdomen")
    for who in ("bob", "carol"):
        assert body.people[who].run("grant", "carol", "/abdomen").code in (4, 5)
    ran = body.bob.run("grant", "carol", "/abdomen")
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: /abdomen: only a physician of the patient may\n",
    )


def test_a_result_of_several_patients_is_its_owners_to_grant(hospital: Hospital) -> None:
    hospital.put("/mean", b"mean", patient=None, by="alice")
    hospital.alice.ok("grant", "bob", "/mean")
    assert hospital.bob.read("/mean") == b"mean"
    hospital.put("/bobs", b"mean", patient=None, by="bob")
    ran = hospital.bob.run("grant", "carol", "/bobs")
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: /bobs: only a physician of the patient may\n",
    )


def test_whom_one_can_grant_to(body: Hospital) -> None:
    ran = body.alice.run("grant", "paula", "/abdomen")
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: paula cannot be granted data: its certificate says neither researcher "
        "nor physician\nmedgrid: hint: it says patient\n",
    )
    assert body.alice.run("grant", "eve", "/abdomen").code == 4
    ran = body.alice.run("grant", "bob", "/abdomen", "--until", "2020-01-01")
    assert (ran.code, ran.err) == (2, "medgrid: error: a grant must end in the future\n")
    assert body.alice.run("grant", "bob").err == (
        "medgrid: error: no LFN given\n"
        "medgrid: hint: name them, or give '-i FILE', or '-' to read stdin\n"
    )
    assert body.alice.ok("grant", "ls").out == ""


def test_a_swapped_key_gets_nothing(body: Hospital) -> None:
    """Who can write the directory of certificates cannot get a grant meant for another."""
    with body.keystore() as store:
        store.put_certificate("bob", store.certificates()["carol"])
    ran = body.alice.run("grant", "bob", "/abdomen")
    assert (ran.code, ran.err.splitlines()[0]) == (
        5,
        "medgrid: error: what the directory has for bob is the certificate of carol",
    )
    with body.keystore("bob") as store:
        assert store.release([body.objects["/abdomen"].id], "read") == {}


def test_a_dataset_is_granted_as_it_is_now(body: Hospital) -> None:
    alice, bob = body.alice, body.bob
    alice.ok("query", "BodyPartExamined=ABDOMEN", "--save", "bellies")
    alice.ok("grant", "bob", "--dataset", "bellies", "--until", "2100-06-30")
    body.put("/later", b"later", attributes={"BodyPartExamined": "ABDOMEN"})
    assert bob.ok("query", "/").lines == ["/abdomen", "/code/mask"]
    assert alice.ok("grant", "ls").rows == [
        ["bob", "/abdomen", "2100-06-30", "alice", "bellies", "valid"]
    ]
    assert bob.ok("grant", "ls").rows == alice.ok("grant", "ls").rows
    assert body.carol.ok("grant", "ls").out == ""
    ran = alice.run("revoke", "bob", "--dataset", "others")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: bob has no grant with dataset others that is yours to take back\n"
        "medgrid: hint: see 'medgrid grant ls bob'\n",
    )
    # what was granted with it is taken back, whatever it holds now
    alice.ok("query", "BodyPartExamined=NONE", "--save", "bellies", "--replace")
    alice.ok("revoke", "bob", "--dataset", "bellies")
    assert bob.ok("query", "/").lines == ["/code/mask"]
    assert alice.run("grant", "bob", "--dataset", "nothing").code == 4


def test_a_grant_that_ends(body: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    from medgrid.actions.grant import grant

    item = body.objects["/abdomen"]
    with body.alice.grid() as grid:
        grant(grid, "bob", ["/abdomen"], time.time() + 3600)
    put_clock_on(monkeypatch, 3601)
    assert body.bob.ok("query", "/").lines == ["/code/mask"]
    with body.keystore("bob") as store:
        assert store.release([item.id], "read") == {}
    assert body.alice.ok("grant", "ls", "bob").rows[0][-1] == "ended"


def test_of_two_grants_the_longer_one_holds_until_it_is_taken_back(body: Hospital) -> None:
    body.alice.ok("team", "add", JANE, "dave")
    body.alice.ok("grant", "bob", "/abdomen", "--until", "2100-06-30")
    body.dave.ok("grant", "bob", "/abdomen", "--for", "1d")
    item = body.objects["/abdomen"]

    def end_s() -> float | None:
        with body.keystore("bob") as store:
            return store.release([item.id], "read")[item.id].until_s

    assert (end_s() or 0) > time.time() + 86400 * 365
    with body.alice.grid() as grid, grid.catalog.transaction():
        grid.catalog.access.revoke("bob", granted_by="alice")
    body.alice.ok("grant", "bob", "/abdomen", "--for", "2d")
    assert time.time() + 86400 < (end_s() or 0) < time.time() + 3 * 86400
    body.dave.ok("query", "/abdomen", "--save", "d")
    body.dave.ok("grant", "bob", "--dataset", "d", "--for", "1h")
    body.dave.ok("revoke", "bob", "--dataset", "d")
    assert body.bob.read("/abdomen") == b"abdomen"
    body.alice.ok("revoke", "bob", "--all")
    assert body.bob.ok("query", "/").lines == ["/code/mask"]


def test_faces_are_warned_of_unless_they_were_taken_out(hospital: Hospital) -> None:
    twin = hospital.objects[TWIN]
    ran = hospital.alice.ok("grant", "bob", TWIN)
    assert ran.err == (
        f"medgrid: warning: images of heads show faces: {TWIN}\n"
        "medgrid: hint: 'medgrid submit deface' takes them out; 'medgrid revoke bob LFN' takes "
        "this grant back\n"
    )
    head = {"suffix": "T1w"}
    kind = ObjectKind.VOLUME
    defaced = hospital.put("/defaced", b"d", attributes=head, kind=kind)
    smoothed = hospital.put("/smoothed", b"s", attributes=head, kind=kind)
    direct = hospital.put("/direct", b"x", attributes=head, kind=kind)
    mixed = hospital.put("/mixed", b"m", attributes=head, kind=kind)
    hospital.derived("deface@1", [twin], [defaced])
    hospital.derived("n4@1", [defaced], [smoothed])
    hospital.derived("n4@1", [twin], [direct])
    hospital.derived("mean@1", [smoothed, direct], [mixed])
    assert hospital.alice.ok("grant", "bob", "/defaced", "/smoothed").err == ""
    ran = hospital.alice.ok("grant", "bob", "/direct", "/mixed", "/defaced")
    assert ran.err.splitlines()[0] == (
        "medgrid: warning: images of heads show faces: /direct, /mixed"
    )


def test_revoke_takes_back_what_was_lent_to_open_jobs(body: Hospital) -> None:
    from medgrid.catalog.jobs import NewSubmission
    from medgrid.model import Algorithm, Sha256

    body.alice.ok("grant", "bob", "/abdomen")
    item = body.objects["/abdomen"]
    digest = Sha256("1" * 64)
    with body.bob.grid() as grid:
        grid.catalog.algorithms.add(Algorithm("measure", "1", digest, {"name": "measure"}))
        new = NewSubmission(
            algorithm=digest,
            algorithm_label="measure@1",
            owner="bob",
            items=[[item.id]],
            item_role="in",
            inputs={},
            parameters={},
        )
        number, _ = grid.catalog.jobs.create_submission(new)
        grid.vault.lend(number, {1: [item.id]})
    ran = body.alice.ok("revoke", "bob", "--all")
    assert ran.err == (
        f"medgrid: warning: job {number}.1 of bob gets no more keys; if it runs, it has them "
        "already\n" + STAYS
    )
    with body.keystore("broker") as store:
        assert store.delegations() == {}


def test_a_review_makes_it_grantable_and_can_be_taken_back(hospital: Hospital) -> None:
    alice, bob = hospital.alice, hospital.bob
    assert alice.ok("review").lines == [US]
    assert bob.ok("review").out == ""
    assert hospital.carol.ok("review", "ls").out == ""
    ran = bob.run("review", "release", US)
    assert (ran.code, ran.err.splitlines()[0]) == (4, f"medgrid: error: no LFN {US}")
    ran = alice.run("review", "release", TWIN)
    assert (ran.code, ran.err) == (2, f"medgrid: error: {TWIN} needs no review\n")
    alice.ok("review", "release", US, "--note", "no text")
    assert alice.ok("review").out == ""
    alice.ok("grant", "bob", US)
    assert bob.read(US) == b"picture with text"
    assert bob.run("review", "release", US).code == 5
    alice.ok("review", "reject", US)
    assert hospital.object(US).review is Review.NEEDED
    assert alice.ok("review").lines == [US]
    assert bob.ok("query", "/").lines == ["/code/mask"]
    with hospital.keystore("bob") as store:
        assert store.release([hospital.objects[US].id], "read") == {}
        verdicts = [
            (one.verb, one.patient, one.detail)
            for one in store.audit.records(who="alice", what=hospital.objects[US].id)
            if one.verb.endswith("-review")
        ]
    assert verdicts == [("release-review", JANE, "no text"), ("reject-review", JANE, "")]


def test_pictures_to_look_at(hospital: Hospital) -> None:
    from typing import Any

    import nibabel
    import numpy as np

    nifti: Any = nibabel
    voxels = np.arange(8 * 8 * 5, dtype=np.int16).reshape(8, 8, 5)
    content = nifti.Nifti1Image(voxels, np.eye(4)).to_bytes()
    hospital.put("/scan", content, kind=ObjectKind.VOLUME, review=Review.NEEDED)
    folder = hospital.folder / "look"
    ran = hospital.alice.run("review", "show", "/scan", US, "--dir", folder, "--frames", "4")
    assert ran.code == 3
    assert ran.lines == [str(folder / "scan.png")]
    assert (folder / "scan.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert ran.err.splitlines()[:2] == [
        "medgrid: warning: /scan: 4 of 5 frames are shown",
        "medgrid: hint: '--frames' shows more",
    ]
    assert not (folder / US[1:]).with_suffix(".png").exists()
    scratch = hospital.alice.home / "cache"
    assert list(scratch.rglob("*")) == []


def test_what_names_a_patient_is_never_granted_whatever_the_catalog_says(
    hospital: Hospital,
) -> None:
    """The key store knows the class of an object by itself."""
    from medgrid.catalog.access import Grant

    original = hospital.objects[f"{TWIN}.original"]
    assert original.data_class is DataClass.NOMINATIVE
    with hospital.catalog() as catalog:
        catalog.access.grant(Grant(original.id, "bob", "alice"))
    assert hospital.bob.ok("query", "/").lines == ["/code/mask"]
    with hospital.keystore("bob") as store:
        assert store.release([original.id], "read") == {}


def test_many_at_once_from_stdin(hospital: Hospital) -> None:
    lfns = [f"/many/{number}" for number in range(20)]
    for lfn in lfns:
        hospital.put(lfn, lfn.encode())
    hospital.alice.ok("grant", "bob", "-", stdin="\n".join(lfns))
    assert hospital.bob.ok("query", "/many/*").lines == sorted(lfns)
    assert hospital.bob.read("/many/7") == b"/many/7"
    with pytest.raises((Denied, NotFound)):
        hospital.carol.read("/many/7")
    documents = hospital.alice.ok("revoke", "bob", "-", "--json", stdin=lfns[3]).documents
    assert [(one["schema"], one["lfn"]) for one in documents] == [("medgrid.revoked/1", "/many/3")]


def test_a_researcher_of_two_roles_is_granted_like_any(hospital: Hospital) -> None:
    hospital.certify("paula", [Role.PATIENT, Role.RESEARCHER])
    hospital.put("/one", b"1", patient=JOHN)
    hospital.alice.ok("grant", "paula", "/one")
    assert hospital.paula.read("/one") == b"1"
