"""Every kind of person, verb and kind of thing, against a table written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medgrid.crypto.policy import Care, Decision, Kind, Role, Thing, Verb, Who, may
from medgrid.model import DataClass, Review

NOW_S = 1000.0

# Columns, people by what they are to the thing:
#   team       physician, of the patient's care team
#   self       the patient
#   granted    researcher, with a grant that is good
#   expired    researcher, whose grant has ended
#   owner      researcher, who registered the object, submitted the job, saved the dataset ...
#   physician  physician, of other patients
#   patient    another patient
#   researcher without grant
#   registrar  brings data in
#   broker     the grid's own
#   nobody     certified without a role: administrators, too
# A summary belongs to no single patient: nobody is of its patient's team, or its patient.
# Places, algorithms and public things have no patient either. 'y' is yes, '.' is no.
TABLE = """
               team self granted expired owner physician patient researcher registrar broker nobody

original
  see          y    y    .       .       y     .         .       .          .         .      .
  read         y    y    .       .       y     .         .       .          .         .      .
  write        y    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       y    .    .       .       .     .         .       .          .         .      .
  whois        y    y    .       .       .     .         .       .          .         .      .
  rekey        y    .    .       .       .     .         .       .          .         .      .
  withdraw     y    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       y    y    .       .       y     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        y    y    .       .       y     .         .       .          .         .      .
  audit        y    y    .       .       y     .         .       .          .         .      .

derivative
  see          y    y    y       .       y     .         .       .          .         .      .
  read         y    y    y       .       y     .         .       .          .         .      .
  write        y    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        y    .    .       .       .     .         .       .          .         .      .
  review       y    .    .       .       .     .         .       .          .         .      .
  whois        y    y    .       .       .     .         .       .          .         .      .
  rekey        y    .    .       .       .     .         .       .          .         .      .
  withdraw     y    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       y    y    y       .       y     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        y    y    y       .       y     .         .       .          .         .      .
  audit        y    y    .       .       y     .         .       .          .         .      .

result
  see          y    y    y       .       y     .         .       .          .         .      .
  read         y    y    y       .       y     .         .       .          .         .      .
  write        y    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        y    .    .       .       .     .         .       .          .         .      .
  review       y    .    .       .       .     .         .       .          .         .      .
  whois        y    y    .       .       .     .         .       .          .         .      .
  rekey        y    .    .       .       .     .         .       .          .         .      .
  withdraw     y    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       y    y    y       .       y     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        y    y    y       .       y     .         .       .          .         .      .
  audit        y    y    .       .       y     .         .       .          .         .      .

summary
  see          .    .    y       .       y     .         .       .          .         .      .
  read         .    .    y       .       y     .         .       .          .         .      .
  write        .    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       y     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       .    .    y       .       y     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        .    .    y       .       y     .         .       .          .         .      .
  audit        .    .    .       .       y     .         .       .          .         .      .

public
  see          y    y    y       y       y     y         y       y          y         y      y
  read         y    y    y       y       y     y         y       y          y         y      y
  write        .    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       y    y    y       y       y     y         y       y          y         y      y
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        y    y    y       y       y     y         y       y          y         y      y
  audit        .    .    .       .       y     .         .       .          .         .      .

patient
  see          y    y    .       .       .     .         .       .          .         .      .
  read         y    y    .       .       .     .         .       .          .         .      .
  write        y    .    .       .       .     .         .       .          .         .      .
  add          y    .    .       .       .     .         .       .          y         .      .
  grant        y    .    .       .       .     .         .       .          .         .      .
  review       y    .    .       .       .     .         .       .          .         .      .
  whois        y    y    .       .       .     .         .       .          .         .      .
  rekey        y    .    .       .       .     .         .       .          .         .      .
  withdraw     y    .    .       .       .     .         .       .          .         .      .
  team         y    .    .       .       .     .         .       .          .         .      .
  submit       .    .    .       .       .     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        .    .    .       .       .     .         .       .          .         .      .
  audit        y    y    .       .       .     .         .       .          .         .      .

job
  see          .    .    .       .       y     .         .       .          .         .      .
  read         .    .    .       .       y     .         .       .          .         .      .
  write        .    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       .    .    .       .       .     .         .       .          .         .      .
  status       .    .    .       .       y     .         .       .          .         .      .
  cancel       .    .    .       .       y     .         .       .          .         .      .
  fetch        .    .    .       .       y     .         .       .          .         .      .
  audit        .    .    .       .       y     .         .       .          .         .      .

dataset
  see          .    .    .       .       y     .         .       .          .         .      .
  read         .    .    .       .       y     .         .       .          .         .      .
  write        .    .    .       .       y     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       .    .    .       .       y     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        .    .    .       .       .     .         .       .          .         .      .
  audit        .    .    .       .       .     .         .       .          .         .      .

place
  see          y    y    y       y       y     y         y       y          y         y      y
  read         y    y    y       y       y     y         y       y          y         y      y
  write        .    .    .       .       .     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       .    .    .       .       .     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        .    .    .       .       .     .         .       .          .         .      .
  audit        .    .    .       .       .     .         .       .          .         .      .

algorithm
  see          y    y    y       y       y     y         y       y          y         y      y
  read         y    y    y       y       y     y         y       y          y         y      y
  write        .    .    .       .       .     .         .       .          .         .      .
  add          y    .    y       y       y     y         .       y          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       y    y    y       y       y     y         y       y          y         y      y
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        y    y    y       y       y     y         y       y          y         y      y
  audit        .    .    .       .       .     .         .       .          .         .      .

audit
  see          y    y    .       .       y     .         .       .          .         .      .
  read         y    y    .       .       y     .         .       .          .         .      .
  write        .    .    .       .       .     .         .       .          .         .      .
  add          .    .    .       .       .     .         .       .          .         .      .
  grant        .    .    .       .       .     .         .       .          .         .      .
  review       .    .    .       .       .     .         .       .          .         .      .
  whois        .    .    .       .       .     .         .       .          .         .      .
  rekey        .    .    .       .       .     .         .       .          .         .      .
  withdraw     .    .    .       .       .     .         .       .          .         .      .
  team         .    .    .       .       .     .         .       .          .         .      .
  submit       .    .    .       .       .     .         .       .          .         .      .
  status       .    .    .       .       .     .         .       .          .         .      .
  cancel       .    .    .       .       .     .         .       .          .         .      .
  fetch        .    .    .       .       .     .         .       .          .         .      .
  audit        .    .    .       .       .     .         .       .          .         .      .
"""


def _cells() -> dict[tuple[str, str, str], bool]:
    """What the table says: (person, verb, kind) -> allowed."""
    header, *lines = [line for line in TABLE.splitlines() if line.strip()]
    people = header.split()
    found: dict[tuple[str, str, str], bool] = {}
    kind = ""
    for line in lines:
        if not line.startswith(" "):
            kind = line.strip()
            continue
        verb, *marks = line.split()
        for person, mark in zip(people, marks, strict=True):
            found[person, verb, kind] = {"y": True, ".": False}[mark]
    return found


PEOPLE: dict[str, Who] = {
    "team": Who("ada", frozenset((Role.PHYSICIAN,))),
    "self": Who("jane", frozenset((Role.PATIENT,))),
    "granted": Who("bob", frozenset((Role.RESEARCHER,))),
    "expired": Who("eve", frozenset((Role.RESEARCHER,))),
    "owner": Who("otto", frozenset((Role.RESEARCHER,))),
    "physician": Who("paul", frozenset((Role.PHYSICIAN,))),
    "patient": Who("joe", frozenset((Role.PATIENT,))),
    "researcher": Who("rita", frozenset((Role.RESEARCHER,))),
    "registrar": Who("desk", frozenset((Role.REGISTRAR,))),
    "broker": Who("broker", frozenset((Role.BROKER,))),
    "nobody": Who("root"),
}
WITHOUT_PATIENT = (Kind.SUMMARY, Kind.PUBLIC, Kind.JOB, Kind.DATASET, Kind.PLACE, Kind.ALGORITHM)


def thing(kind: Kind, person: str) -> Thing:
    """Thing of a kind as it is to a person."""
    classes = {Kind.ORIGINAL: DataClass.NOMINATIVE, Kind.PUBLIC: DataClass.PUBLIC}
    found = Thing(
        kind,
        classes.get(kind, DataClass.IMAGE),
        owner="" if kind in (Kind.PATIENT, Kind.PLACE, Kind.ALGORITHM) else "otto",
        patient=None if kind in WITHOUT_PATIENT else "P-1",
    )
    if person in ("team", "self") and found.patient:
        role = Care.PHYSICIAN if person == "team" else Care.PATIENT
        return replace(found, care=frozenset((role,)))
    if person in ("granted", "expired"):
        return replace(found, granted=True, grant_until_s=NOW_S + (1 if person == "granted" else 0))
    return found


def test_the_table_has_every_cell() -> None:
    wanted = {(person, str(verb), str(kind)) for person in PEOPLE for verb in Verb for kind in Kind}
    assert set(_cells()) == wanted


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("person", PEOPLE)
def test_who_may(person: str, kind: Kind) -> None:
    table = _cells()
    asked = thing(kind, person)
    for verb in Verb:
        decision = may(PEOPLE[person], verb, asked, NOW_S)
        assert decision.allowed == table[person, verb, kind], (verb, decision.reason)
        assert bool(decision) == decision.allowed
        assert "P-1" not in decision.reason


def test_what_was_not_reviewed_is_not_granted() -> None:
    image = replace(thing(Kind.DERIVATIVE, "team"), review=Review.NEEDED)
    assert may(PEOPLE["team"], Verb.GRANT, image, NOW_S) == Decision(
        False, "its pixels were not reviewed"
    )
    assert may(PEOPLE["team"], Verb.READ, image, NOW_S)
    released = replace(image, review=Review.RELEASED)
    assert may(PEOPLE["team"], Verb.GRANT, released, NOW_S)
    granted = replace(thing(Kind.DERIVATIVE, "granted"), review=Review.NEEDED)
    assert may(PEOPLE["granted"], Verb.SEE, granted, NOW_S) == Decision(
        False, "its pixels were not reviewed"
    )


def test_a_grant_without_end() -> None:
    image = replace(thing(Kind.DERIVATIVE, "granted"), grant_until_s=None)
    assert may(PEOPLE["granted"], Verb.READ, image, 1e12) == Decision(
        True, "it was granted to them"
    )


def test_a_physicians_own_summary_is_theirs_to_grant() -> None:
    summary = replace(thing(Kind.SUMMARY, "physician"), owner="paul")
    for verb in (Verb.GRANT, Verb.REKEY, Verb.WITHDRAW):
        assert may(PEOPLE["physician"], verb, summary, NOW_S), verb
    of_one = replace(summary, kind=Kind.RESULT, patient="P-1")
    assert not may(PEOPLE["physician"], Verb.GRANT, of_one, NOW_S)


@pytest.mark.parametrize(
    ("person", "verb", "allowed"),
    [
        ("physician", Verb.TEAM, True),
        ("registrar", Verb.TEAM, True),
        ("researcher", Verb.TEAM, False),
        ("nobody", Verb.TEAM, False),
        ("physician", Verb.ADD, True),
        ("researcher", Verb.ADD, False),
        ("physician", Verb.WHOIS, False),
    ],
)
def test_a_patient_of_whom_nobody_takes_care_yet(person: str, verb: Verb, allowed: bool) -> None:
    new = replace(thing(Kind.PATIENT, person), has_team=False)
    assert may(PEOPLE[person], verb, new, NOW_S).allowed is allowed


def test_who_has_no_name_owns_nothing() -> None:
    ownerless = replace(thing(Kind.RESULT, "nobody"), owner="")
    assert may(Who(""), Verb.SEE, ownerless, NOW_S) == Decision(False, "it was not granted to them")
