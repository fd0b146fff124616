"""Whose the results of jobs are: of which class and patient, and who gets their keys."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from medgrid.broker.messages import Collected
from medgrid.broker.ownership import Owners, Result, of_result
from medgrid.catalog.objects import Registration
from medgrid.catalog.provenance import Derivation, new_derivation_id
from medgrid.crypto.crypt4gh import new_data_key, seal_header
from medgrid.crypto.vault import SealedOutput
from medgrid.model import DataClass, GridObject, ObjectId, ObjectKind, Review, Sha256, new_object_id
from tests.lab.hospital import JANE, JOHN, Hospital

IMAGE, NAMES, PUBLIC = DataClass.IMAGE, DataClass.NOMINATIVE, DataClass.PUBLIC


def item(
    data_class: DataClass, patient: str | None = None, review: Review = Review.NONE
) -> GridObject:
    draft = GridObject(new_object_id(), None, ObjectKind.FILE, "a", 1, Sha256("0" * 64))
    return replace(draft, data_class=data_class, patient=patient, review=review)


MASK, JANES, JOHNS = item(PUBLIC), item(IMAGE, JANE), item(IMAGE, JOHN)
NAMED = item(NAMES, JANE)
UNSEEN = item(IMAGE, JANE, Review.NEEDED)


@pytest.mark.parametrize(
    ("inputs", "result"),
    [
        ([], Result(PUBLIC, None, Review.NONE)),
        ([MASK], Result(PUBLIC, None, Review.NONE)),
        ([JANES, MASK], Result(IMAGE, JANE, Review.NONE)),
        ([JANES, JANES], Result(IMAGE, JANE, Review.NONE)),
        ([JANES, JOHNS], Result(IMAGE, None, Review.NONE)),
        ([JANES, NAMED], Result(NAMES, JANE, Review.NONE)),
        ([JANES, UNSEEN], Result(IMAGE, JANE, Review.NEEDED)),
        ([NAMED, UNSEEN], Result(NAMES, JANE, Review.NONE)),
    ],
)
def test_a_result_is_what_its_inputs_say(inputs: list[GridObject], result: Result) -> None:
    assert of_result(inputs) == result


@pytest.mark.parametrize("inputs", [[], [MASK], [JANES]])
def test_inputs_that_are_gone_may_have_been_anything(inputs: list[GridObject]) -> None:
    assert of_result(inputs, complete=False) == Result(NAMES, None, Review.NONE)


def keep(hospital: Hospital, inputs: Sequence[ObjectId], owner: str) -> Registration:
    """What the broker registers of a sealed output of a job on `inputs`."""
    data_key, nonce = new_data_key(), secrets.token_bytes(12)
    digest = nonce + ChaCha20Poly1305(data_key).encrypt(nonce, bytes(32), b"medgrid content digest")
    with hospital.broker.grid() as grid, hospital.catalog() as catalog:
        sealed = SealedOutput(seal_header(data_key, [grid.vault.public]), "0" * 64, digest)
        made = Collected(
            "out", "out", "out", new_object_id(), "near", "x", 1, 1, Sha256("0" * 64), sealed
        )
        derivation = Derivation(
            new_derivation_id(),
            Sha256("a" * 64),
            "a@1",
            {"in": list(inputs)},
            {"out": [made.object_id]},
            ended_s=time.time(),
        )
        owners = Owners(grid.vault, catalog.objects)
        (found,) = owners.keep([(derivation, [made])], {made.object_id: owner}, catalog.access)
    return found


def test_an_owner_who_is_not_in_the_care_team_can_open_it_too(hospital: Hospital) -> None:
    twin = hospital.object(f"/trial/{JANE}/T1w").id
    for owner, readers in (("alice", []), ("bob", ["bob"])):
        found = keep(hospital, [twin], owner)
        assert (found.object.data_class, found.patient, found.object.owner) == (IMAGE, JANE, owner)
        with hospital.keystore() as store:
            assert store.readers([found.object.id]).get(found.object.id, []) == readers
        # the team can, whoever owns it
        with hospital.alice.grid() as grid:
            assert grid.vault.key(found.object.id).manifest.signer == "broker"


def test_what_came_sealed_is_never_public(hospital: Hospital) -> None:
    found = keep(hospital, [hospital.object("/code/mask").id], "bob")
    assert (found.object.data_class, found.patient) == (IMAGE, None)


def test_what_came_of_inputs_that_are_gone_is_its_owners_alone(hospital: Hospital) -> None:
    twin = hospital.object(f"/trial/{JANE}/T1w").id
    found = keep(hospital, [twin, ObjectId("0" * 32)], "bob")
    assert (found.object.data_class, found.patient) == (NAMES, None)
