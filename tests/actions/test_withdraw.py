"""Withdraw: nothing of a patient is left, and nothing made from it."""

from __future__ import annotations

import json

import pytest

from medgrid.errors import Denied
from medgrid.model import GridObject
from tests.lab.hospital import JANE, JOHN, SES, Hospital

TWIN, JOHNS = f"/trial/{JANE}/T1w", f"/trial/{JOHN}/T1w"
WARNING = (
    "medgrid: warning: backups of the key store made before still open what is left in backups of "
    "storage; files that were fetched, and what was learnt from them, stay with who has them\n"
)


@pytest.fixture
def results(hospital: Hospital) -> dict[str, GridObject]:
    """What bob made: of jane, of jane and john, of that, and of john alone."""
    twin, johns = hospital.objects[TWIN], hospital.objects[JOHNS]
    found = {
        "/r/jane": hospital.put("/r/jane", b"1", by="bob"),
        "/r/both": hospital.put("/r/both", b"2", patient=None, by="bob"),
        "/r/next": hospital.put("/r/next", b"3", patient=None, by="bob"),
        "/r/john": hospital.put("/r/john", b"4", patient=None, by="bob"),
    }
    hospital.derived("n4@1", [twin], [found["/r/jane"]])
    hospital.derived("mean@1", [found["/r/jane"], johns], [found["/r/both"]])
    hospital.derived("look@1", [found["/r/both"]], [found["/r/next"]])
    hospital.derived("n4@1", [johns], [found["/r/john"]])
    return found


def left(hospital: Hospital) -> set[str]:
    return {path.name for se in SES for path in hospital.stored(se)}


def test_all_of_the_patient_and_all_made_from_it(
    hospital: Hospital, results: dict[str, GridObject]
) -> None:
    alice = hospital.alice
    alice.ok("grant", "bob", TWIN)
    alice.ok("replica", "add", TWIN, "--se", "far")
    alice.ok("query", "/", "--save", "all", "--freeze")
    hospital.put(TWIN, b"newer", replace=True)
    names = alice.ok("withdraw", JANE, "--dry-run").lines
    assert len(names) == 5
    assert set(names) >= {TWIN, f"{TWIN}.original", f"/trial/{JANE}/US", "/r/jane"}
    ran = alice.ok("withdraw", JANE, "--yes", "--json")
    assert ran.documents == [
        {
            "schema": "medgrid.withdrawn/1",
            "patient": JANE,
            "objects": 5,
            "derived": 0,  # both are bob's
            "complete": True,
        }
    ]
    with hospital.catalog() as catalog:
        assert catalog.objects.of_patient(JANE) == []
        assert catalog.access.team(JANE) == []
        kept = set(catalog.objects.by_ids(one.id for one in results.values()))
    assert kept == {results["/r/john"].id}
    there = {hospital.objects[name].id for name in (JOHNS, f"{JOHNS}.original", "/code/mask")}
    assert left(hospital) >= there | kept
    assert len(left(hospital)) == len(there) + 1 + 2  # and carol's
    assert hospital.bob.read("/r/john") == b"4"
    assert hospital.bob.ok("query", "/").lines == ["/code/mask", "/r/john"]
    assert alice.ok("dataset", "show", "all").lines == ["/code/mask", JOHNS]
    assert hospital.bob.ok("grant", "ls").out == ""
    assert alice.ok("fsck", "--deep").out == ""
    with hospital.keystore("alice") as store:
        ids = [one.id for one in hospital.objects.values()]
        assert set(store.release(ids, "test")) == {
            hospital.objects[name].id for name in (JOHNS, f"{JOHNS}.original")
        }
        assert store.objects_of(JANE) == []
        assert store.compartments_of("alice") == [
            one for one in store.compartments_of("alice") if one.patient == JOHN
        ]
        records = [(one.verb, one.detail) for one in store.audit.records(what=JANE)]
    assert records[-1] == ("withdrawn", "complete")


def test_nothing_is_in_the_files_of_catalog_and_key_store(hospital: Hospital) -> None:
    with hospital.keystore("alice") as store:
        sealed = store.seals([JANE], "test")[JANE].sealed
    hospital.put("/r/x", b"1", attributes={"SeriesDescription": "canary-description"})
    hospital.alice.ok("withdraw", JANE, "--yes")
    for file in hospital.folder.glob("keystore.db*"):
        assert sealed[8:40] not in file.read_bytes()
    with hospital.catalog() as catalog, catalog.db.read() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    assert "canary-description" not in dump
    assert JANE not in dump


def test_the_patient_can_come_back(hospital: Hospital) -> None:
    hospital.alice.ok("withdraw", JANE, "--yes")
    hospital.put("/again", b"again")
    assert hospital.alice.read("/again") == b"again"
    assert hospital.alice.ok("whois", JANE).rows[0][1] == "DOE^JANE^Q"


def test_storage_that_is_down_is_listed_and_finished_later(
    hospital: Hospital, results: dict[str, GridObject]
) -> None:
    alice = hospital.alice
    alice.ok("replica", "add", TWIN, "--se", "far")
    alice.ok("replica", "add", "/r/jane", "--se", "far")
    root, away = hospital.root_of("far"), hospital.folder / "away"
    root.rename(away)
    ran = alice.run("withdraw", JANE, "--yes")
    assert ran.code == 3
    first = hospital.objects[TWIN].id
    assert f"medgrid: warning: bytes {first[:2]}/{first[2:4]}/{first} at far: " in ran.err
    assert ran.err.startswith(WARNING)
    # nothing of it is seen or opened any more, by anybody
    assert alice.ok("query", "/").lines == ["/code/mask", JOHNS]
    with pytest.raises(Denied), alice.grid() as grid:
        grid.vault.key(first)
    assert alice.ok("team", "ls").rows == [[JANE, "physician"], [JOHN, "physician"]]
    away.rename(root)
    assert len(hospital.stored("far")) == 2
    (document,) = alice.ok("withdraw", JANE, "--yes", "--json").documents
    assert (document["objects"], document["complete"]) == (2, True)
    assert hospital.stored("far") == []
    assert alice.ok("team", "ls").rows == [[JOHN, "physician"]]


def test_only_a_physician_of_the_patient_and_only_when_sure(hospital: Hospital) -> None:
    before = left(hospital)
    for who in ("bob", "carol", "paula"):
        for patient in (JANE, "P-NOBODY"):
            ran = hospital.people[who].run("withdraw", patient, "--yes")
            assert (ran.code, ran.err.splitlines()[0]) == (
                4,
                f"medgrid: error: no patient {patient}",
            )
    ran = hospital.alice.run("withdraw", JANE)
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: destroy 3 objects of P-JANE and 0 made from them, and what others made "
        "from them, for ever? cannot be asked here\nmedgrid: hint: say --yes to go on\n",
    )
    assert left(hospital) == before
    assert hospital.alice.run("withdraw", JANE, "--yes").err == WARNING
    assert hospital.alice.run("withdraw", JANE, "--yes").code == 4


def test_the_patient_is_no_physician(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "paula", "--role", "patient")
    before = left(hospital)
    for words in (("rekey", "--patient", JANE), ("withdraw", JANE, "--yes")):
        ran = hospital.paula.run(*words)
        assert (ran.code, ran.err.splitlines()[0]) == (
            5,
            f"medgrid: error: {JANE}: only a physician of the patient may",
        )
    assert hospital.paula.run("rekey", TWIN).code == 5
    assert hospital.paula.run("grant", "bob", TWIN).code == 5
    assert left(hospital) == before


def test_open_jobs_are_cancelled(hospital: Hospital) -> None:
    from medgrid.catalog.jobs import NewSubmission
    from medgrid.model import Algorithm, Sha256

    digest = Sha256("1" * 64)
    item = hospital.objects[TWIN]
    hospital.alice.ok("grant", "bob", TWIN)
    with hospital.bob.grid() as grid:
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
    assert hospital.alice.ok("withdraw", JANE, "--yes").err == WARNING  # the job is bob's
    status = json.loads(hospital.bob.ok("status", f"{number}.1", "--json").out)
    assert status["state"] == "Cancelled"
    with hospital.keystore("broker") as store:
        assert store.delegations() == {}


def test_killed_in_the_middle_the_next_run_finishes(hospital: Hospital) -> None:
    from tests.actions.test_rekey import killed_at

    for moment in (3, 6, 9, 12):
        killed_at(hospital.alice, moment, "withdraw", JANE, "--yes")
    hospital.alice.run("withdraw", JANE, "--yes")
    assert hospital.alice.run("withdraw", JANE, "--yes").code == 4
    with hospital.catalog() as catalog:
        assert catalog.objects.of_patient(JANE) == []
    assert hospital.alice.ok("fsck").out == ""
