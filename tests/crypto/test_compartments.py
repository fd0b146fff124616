"""Compartments: who can open what."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from medgrid.crypto.care_team import CareTeam
from medgrid.crypto.compartments import Compartments, make_wrap
from medgrid.crypto.hpke import key_pair, public_of
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.keystore_values import Compartment, CompartmentId
from medgrid.crypto.seals import Seals
from medgrid.errors import AlreadyExists, Denied, IntegrityError, NotFound
from medgrid.model import DataClass
from tests.crypto.people import People, Person, Trust
from tests.lab.statements import noted_statements

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE


def compartments(store: KeyStore, person: Person, people: People) -> Compartments:
    return Compartments(store.acting(person.name), person, people.trust)


def team(store: KeyStore, person: Person, people: People) -> CareTeam:
    mine = compartments(store, person, people)
    own = store.acting(person.name)
    return CareTeam(own, person, mine, Seals(own, person, mine, people.trust))


def test_its_maker_and_the_recipients_can_open_it(
    store: KeyStore, people: People, alice: Person
) -> None:
    _, recovery_public = key_pair()
    mine = Compartments(store, alice, people.trust, recovery_public)
    made = mine.create("P-1", IMAGE, [("carol", people["carol"].encryption_public)])
    assert made.id == CompartmentId("P-1", IMAGE, 1)
    assert mine.public("P-1", IMAGE) == made
    key = mine.private("P-1", IMAGE, 1)
    assert public_of(key) == made.public_key
    assert compartments(store, people["carol"], people).private("P-1", IMAGE, 1) == key
    assert store.members("P-1", IMAGE) == {1: ["alice", "carol", RECOVERY]}
    with pytest.raises(Denied) as caught:
        compartments(store, people["bob"], people).private("P-1", IMAGE, 1)
    assert caught.value.message == "bob has no key for image data of patient P-1"


def test_one_is_made_once(store: KeyStore, people: People, alice: Person) -> None:
    mine = compartments(store, alice, people)
    mine.create("P-1", IMAGE)
    with pytest.raises(AlreadyExists) as caught:
        mine.create("P-1", IMAGE)
    assert caught.value.message == "the key store has one of these compartments already"
    assert store.members("P-1", IMAGE) == {1: ["alice"]}
    assert set(mine.ensure(["P-1", "P-2"], IMAGE)) == {"P-1", "P-2"}
    assert [one.id.revision for one in store.revisions("P-1", IMAGE)] == [1]


def test_a_patient_without_keys_is_not_found(
    store: KeyStore, people: People, alice: Person
) -> None:
    with pytest.raises(NotFound) as caught:
        compartments(store, alice, people).public("P-1", IMAGE)
    assert caught.value.message == "patient P-1 has no keys for image data"


def test_only_who_may_makes_compartments(store: KeyStore, people: People) -> None:
    bob = people["bob"]
    compartments(store, bob, people).create("P-1", IMAGE)
    with pytest.raises(Denied) as caught:
        compartments(store, people["alice"], people).public("P-1", IMAGE)
    assert caught.value.message == "bob is no physician or registrar of this grid"
    compartments(store, Person.draw("mallory", "physician"), people).create("P-2", IMAGE)
    with pytest.raises(Denied) as caught:
        compartments(store, people["alice"], people).public("P-2", IMAGE)
    assert caught.value.message == "mallory has no certificate of this grid"


def test_an_exchanged_public_key_is_refused(store: KeyStore, people: People, alice: Person) -> None:
    mine = compartments(store, alice, people)
    made = mine.create("P-1", IMAGE)
    store.create_compartments(
        [
            Compartment(CompartmentId("P-2", IMAGE, 1), made.public_key, "alice", made.signature),
            Compartment(CompartmentId("P-1", IMAGE, 2), key_pair()[1], "alice", made.signature),
        ]
    )
    for patient in ("P-1", "P-2"):
        with pytest.raises(IntegrityError) as caught:
            compartments(store, alice, people).public(patient, IMAGE)
        assert caught.value.message == (
            f"the image key of patient {patient} is not the one that alice signed"
        )


def test_a_newest_key_that_was_taken_away_is_missed(
    one_store: KeyStore, people: People, alice: Person
) -> None:
    """Who was dropped from the team would have new data sealed to the key that they had."""
    mine = compartments(one_store, alice, people)
    mine.create("P-1", IMAGE)
    mine.rotate("P-1", IMAGE)
    with one_store.db.write() as connection:
        connection.execute(text("DELETE FROM compartment WHERE revision = 2"))
    with pytest.raises(IntegrityError) as caught:
        compartments(one_store, alice, people).public("P-1", IMAGE)
    assert caught.value.message == (
        "the newest image key of patient P-1 is missing from the key store"
    )


def test_a_wrap_with_another_key_in_it_is_refused(
    store: KeyStore, people: People, alice: Person
) -> None:
    """Anybody can seal to alice."""
    mine = compartments(store, alice, people)
    id_ = mine.create("P-1", IMAGE).id
    store.drop_wraps("P-1")
    store.put_wraps([make_wrap(id_, "alice", alice.encryption_public, key_pair()[0])])
    with pytest.raises(IntegrityError) as caught:
        compartments(store, alice, people).private(*id_)
    assert caught.value.message == (
        "the key of alice for image data of patient P-1 (revision 1) is damaged or is another's"
    )


def test_a_member_added_later_opens_all_revisions(
    store: KeyStore, people: People, alice: Person
) -> None:
    mine = compartments(store, alice, people)
    mine.create("P-1", IMAGE)
    mine.rotate("P-1", IMAGE)
    carol = people["carol"]
    assert team(store, alice, people).add("P-1", "carol", carol.encryption_public) == 2
    theirs = compartments(store, carol, people)
    assert theirs.private("P-1", IMAGE, 1) == mine.private("P-1", IMAGE, 1)
    assert theirs.private("P-1", IMAGE, 2) == mine.private("P-1", IMAGE, 2)
    with pytest.raises(Denied):
        team(store, people["bob"], people).add("P-1", "bob", people["bob"].encryption_public)


def test_a_dropped_member_opens_nothing_new(store: KeyStore, people: People, alice: Person) -> None:
    mine = compartments(store, alice, people)
    carol = people["carol"]
    for data_class in (IMAGE, NAMES):
        mine.create("P-1", data_class, [("carol", carol.encryption_public)])
    seals = Seals(store, alice, mine, people.trust)
    seals.put({"P-1": {"PatientName": "DOE^JANE"}})
    done = team(store, alice, people).drop("P-1", "carol")
    assert [one.compartment.id.revision for one in done] == [2, 2]
    assert [one.left_out for one in done] == [(), ()]
    assert store.members("P-1", IMAGE) == {1: ["alice"], 2: ["alice"]}
    fresh = compartments(store, carol, people)
    for revision in (1, 2):
        with pytest.raises(Denied):
            fresh.private("P-1", IMAGE, revision)
    assert compartments(store, alice, people).public("P-1", IMAGE).id.revision == 2
    again = Seals(store, alice, compartments(store, alice, people), people.trust)
    assert again.open(["P-1"], "whois") == {"P-1": {"PatientName": "DOE^JANE"}}
    with pytest.raises(NotFound) as caught:
        team(store, alice, people).drop("P-1", "carol")
    assert caught.value.message == "carol has no key for data of patient P-1"


def test_rotating_leaves_out_who_is_not_certified_any_more(
    store: KeyStore, people: People, alice: Person
) -> None:
    mine = compartments(store, alice, people)
    mine.create("P-1", IMAGE, [("carol", people["carol"].encryption_public)])
    del people["carol"]
    done = mine.rotate("P-1", IMAGE)
    assert done.left_out == ("carol",)
    assert store.members("P-1", IMAGE)[2] == ["alice"]


def test_many_patients_are_opened_in_one_go(store: KeyStore, people: People, alice: Person) -> None:
    mine = compartments(store, alice, people)
    patients = [f"P-{number}" for number in range(1000)]
    with noted_statements() as statements:
        made = mine.ensure(patients, IMAGE)
        found = compartments(store, alice, people).privates([one.id for one in made.values()])
    assert len(found) == 1000
    assert len(statements) < 500


def test_a_compartment_outlives_the_certificate_of_its_maker(
    store: KeyStore, people: People, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = compartments(store, alice, people).create("P-1", IMAGE)

    class Later(Trust):
        def __call__(self, name: str) -> Person:
            raise Denied(f"the certificate of {name} ended on 2026-01-01")

    carol = people["carol"]
    later = Later(people)
    monkeypatch.setattr(later, "check_signature", people.trust.check_signature)
    theirs = Compartments(store.acting("carol"), carol, later)
    assert theirs.public("P-1", IMAGE) == made
