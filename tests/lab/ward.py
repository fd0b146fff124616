"""A ward of the hospital: one thing of each kind, and somebody for everything one can be to it.

All of it lies below ``/m`` and is of the patient `JANE`, who takes part herself, or of nobody. What
somebody is to a thing is said here again, apart from the catalog, so that tests can ask the policy
what it says.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from medgrid.actions.grant_keys import seal_grants
from medgrid.catalog.access import Grant
from medgrid.crypto.certificate import Role
from medgrid.crypto.identity_files import create_identity
from medgrid.crypto.policy import Care, Kind, Thing, Who
from medgrid.model import Algorithm, DataClass, GridObject, Review, Sha256
from tests.lab.hospital import JANE, JOHN, PEOPLE, Hospital
from tests.lab.prompt import ROOT

MORE_PEOPLE: Mapping[str, tuple[Role, ...]] = {
    "eve": (Role.RESEARCHER,),  # her grants have ended
    "otto": (Role.RESEARCHER,),  # owns results, a job and a dataset
    "rita": (Role.RESEARCHER,),  # has no grant
    "joe": (Role.PATIENT,),  # another patient
    "desk": (Role.REGISTRAR,),  # brought the images in
}
UNCERTIFIED = ("ned", "root")  # ned has keys that nobody certified, root has none
EVERYBODY = (*PEOPLE, *MORE_PEOPLE, *UNCERTIFIED)

THINGS: Mapping[str, Thing] = {
    "/m/original": Thing(Kind.ORIGINAL, DataClass.NOMINATIVE, patient=JANE),
    "/m/derivative": Thing(Kind.DERIVATIVE, patient=JANE),
    "/m/gated": Thing(Kind.DERIVATIVE, patient=JANE, review=Review.NEEDED),
    "/m/result": Thing(Kind.RESULT, owner="otto", patient=JANE),
    "/m/summary": Thing(Kind.SUMMARY, owner="otto"),
    "/m/public": Thing(Kind.PUBLIC, DataClass.PUBLIC, owner="otto"),
    "1.1": Thing(Kind.JOB, owner="otto"),
    "cohort": Thing(Kind.DATASET, owner="otto"),
    JANE: Thing(Kind.PATIENT, DataClass.NOMINATIVE, patient=JANE),
}
"""One thing of each kind, by the name it has at the prompt."""

_GRANTED = ("/m/derivative", "/m/gated", "/m/result", "/m/summary")
_HOUR_S = 3600.0


def who(name: str) -> Who:
    """Somebody as the policy sees them."""
    return Who(name, frozenset({**PEOPLE, **MORE_PEOPLE}.get(name, ())))


def thing(word: str, name: str) -> Thing:
    """A thing as it is to somebody."""
    found = THINGS[word]
    if found.patient == JANE and name in ("alice", "paula"):
        role = Care.PHYSICIAN if name == "alice" else Care.PATIENT
        found = replace(found, care=frozenset((role,)))
    if word in _GRANTED and name in ("bob", "eve"):
        until_s = time.time() + (_HOUR_S if name == "bob" else -_HOUR_S)
        found = replace(found, granted=True, grant_until_s=until_s)
    return found


def _people(made: Hospital) -> None:
    for name, roles in MORE_PEOPLE.items():
        made.add_person(name, roles)
    made.add_person("ned", ())
    create_identity(made.ned.settings.keys_dir, "ned", None)
    made.alice.ok("team", "add", JANE, "paula", "--role", "patient")
    made.carol.ok("team", "add", "P-OTHER", "joe", "--role", "patient")


def _things(made: Hospital) -> dict[str, GridObject]:
    mr = {"Modality": "MR", "StudyDate": "2021-03-04"}
    original = made.put(
        "/m/original",
        b"original",
        data_class=DataClass.NOMINATIVE,
        by="desk",
        owner="",
        attributes=mr,
    )
    derivative = made.put(
        "/m/derivative", b"derivative", by="desk", owner="", attributes=mr, original=original.id
    )
    gated = made.put(
        "/m/gated",
        b"gated",
        by="desk",
        owner="",
        attributes={"Modality": "US"},
        review=Review.NEEDED,
        original=original.id,
    )
    result = made.put("/m/result", b"result", by="otto", owner="otto")
    summary = made.put("/m/summary", b"summary", patient=None, by="otto")
    made.put("/m/public", b"public", patient=None, data_class=DataClass.PUBLIC, by="otto")
    john = made.objects[f"/trial/{JOHN}/T1w"]
    made.derived("segment@1", [derivative], [result])
    made.derived("mean@1", [result, john], [summary])
    return {one.lfn: one for one in (derivative, gated, result, summary) if one.lfn}


def _grants(made: Hospital, items: Mapping[str, GridObject]) -> None:
    now_s = time.time()
    ends = {"bob": now_s + _HOUR_S, "eve": now_s - _HOUR_S}
    for lfn in _GRANTED:
        giver = "otto" if lfn == "/m/summary" else "alice"
        with made.people[giver].grid() as grid:
            seal_grants(grid, [(items[lfn], ends)])
            grid.whole.access.grant(
                *(Grant(items[lfn].id, name, giver, end_s) for name, end_s in ends.items())
            )


def _work(made: Hospital) -> None:
    descriptor = json.loads((ROOT / "config/algorithms/checksum.json").read_text("utf-8"))
    with made.otto.grid() as grid:
        grid.catalog.algorithms.add(Algorithm("checksum", "1", Sha256("1" * 64), descriptor))
    made.otto.ok("submit", "checksum", "/m/summary")
    made.otto.ok("query", "/m/result", "--save", "cohort", "--freeze")


@pytest.fixture(scope="module")
def _ward_template(
    _hospital_template: Hospital, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hospital]:
    """A ward, made once; tests get copies."""
    with pytest.MonkeyPatch.context() as patch:
        made = _hospital_template.copy(tmp_path_factory.mktemp("ward") / "hospital", patch)
        _people(made)
        _grants(made, _things(made))
        _work(made)
        yield made


@pytest.fixture
def ward(
    _ward_template: Hospital,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Hospital:
    """A hospital with `THINGS` and `EVERYBODY`."""
    return _ward_template.copy(tmp_path / "hospital", monkeypatch)
