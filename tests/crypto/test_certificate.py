"""Certificates say what the registration key said, and nothing else."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgrid.crypto.certificate import Certificate, Request, Role
from medgrid.crypto.identity import Identity, PublicIdentity
from medgrid.crypto.registration import Registrar
from medgrid.crypto.signed import canonical, seal
from medgrid.errors import Denied, UsageError
from tests.lanes import examples

REGISTRAR = Registrar.from_secret(bytes(32))
ALICE = Identity.from_secret("alice", bytes(range(32)))
MALLORY = Identity.from_secret("mallory", bytes(range(1, 33)))
NOW_S = int(time.time())
DAY_S = 86400


def certified(identity: Identity = ALICE, *roles: Role) -> Certificate:
    request = Request.of(identity)
    return Certificate.issue(
        request, roles or (Role.PHYSICIAN, Role.RESEARCHER), NOW_S + DAY_S, REGISTRAR.sign
    )


CERTIFICATE = certified()


def test_a_certificate_comes_back_as_it_was_issued() -> None:
    found = Certificate.verified(CERTIFICATE.blob, REGISTRAR.public)
    assert found == CERTIFICATE
    assert found.public == ALICE.public
    assert found.roles == {Role.PHYSICIAN, Role.RESEARCHER}
    assert abs(found.not_before_s - NOW_S) < 60
    found.check_time()


def test_one_certificate_has_one_form_in_bytes() -> None:
    document = json.loads(CERTIFICATE.blob)
    assert canonical(document) == CERTIFICATE.blob
    for other in (
        json.dumps(document).encode(),
        CERTIFICATE.blob + b"\n",
        CERTIFICATE.blob[:-1],
        CERTIFICATE.blob.replace(b'"alice"', b'"al\\u0069ce"'),
        CERTIFICATE.blob.replace(b'"name"', b'"name":"bob","name"'),
    ):
        with pytest.raises(Denied) as caught:
            Certificate.verified(other, REGISTRAR.public)
        assert caught.value.message == "no certificate of this grid: not canonical JSON"


OTHER_VALUES = {
    "name": "mallory",
    "encryption_public": MALLORY.public.encryption_public.hex(),
    "signing_public": MALLORY.public.signing_public.hex(),
    "roles": ["physician", "registrar", "researcher"],
    "serial": CERTIFICATE.serial + 1,
    "not_before_s": CERTIFICATE.not_before_s - 1,
    "not_after_s": CERTIFICATE.not_after_s + 1,
    "signature": "00" * 64,
}


def test_every_field_is_tried() -> None:
    assert {*OTHER_VALUES, "schema"} == set(json.loads(CERTIFICATE.blob))


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_changed_field_is_refused(name: str) -> None:
    document = {**json.loads(CERTIFICATE.blob), name: OTHER_VALUES[name]}
    with pytest.raises(Denied) as caught:
        Certificate.verified(canonical(document), REGISTRAR.public)
    assert caught.value.message == "no certificate of this grid: its signature is wrong"
    with pytest.raises(Denied):
        del document[name]
        Certificate.verified(canonical(document), REGISTRAR.public)


def test_a_field_of_another_kind_is_refused() -> None:
    """Also when the registration key itself signed it."""
    fields = {
        k: v for k, v in json.loads(CERTIFICATE.blob).items() if k not in ("schema", "signature")
    }
    for name, value in (
        ("name", None),
        ("name", "../alice"),
        ("encryption_public", "ab"),
        ("signing_public", 5),
        ("roles", []),
        ("roles", ["researcher", "physician"]),
        ("roles", ["physician", "physician"]),
        ("roles", ["king"]),
        ("roles", "physician"),
        ("roles", 7),
        ("roles", [["physician"]]),
        ("serial", True),
        ("serial", 1.5),
        ("not_before_s", "0"),
        ("not_after_s", None),
        ("surprise", 1),
    ):
        blob = seal("medgrid.certificate/1", {**fields, name: value}, REGISTRAR.sign)
        with pytest.raises(Denied):
            Certificate.verified(blob, REGISTRAR.public)


@settings(max_examples=examples(300))
@given(st.integers(0, len(CERTIFICATE.blob) - 1), st.integers(1, 255))
def test_no_changed_byte_is_accepted(place: int, flip: int) -> None:
    blob = bytearray(CERTIFICATE.blob)
    blob[place] ^= flip
    with pytest.raises(Denied):
        Certificate.verified(bytes(blob), REGISTRAR.public)


@settings(max_examples=examples(300))
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(blob: bytes) -> None:
    for read in (Request.from_bytes, lambda data: Certificate.verified(data, REGISTRAR.public)):
        with pytest.raises(Denied):
            read(blob)


def test_a_certificate_of_another_registration_key_is_refused() -> None:
    other = Registrar.from_secret(b"x" * 32)
    blob = Certificate.issue(Request.of(ALICE), [Role.BROKER], NOW_S + DAY_S, other.sign).blob
    with pytest.raises(Denied) as caught:
        Certificate.verified(blob, REGISTRAR.public)
    assert caught.value.message == "no certificate of this grid: its signature is wrong"
    assert caught.value.hint is not None


def test_a_request_is_no_certificate() -> None:
    with pytest.raises(Denied) as caught:
        Certificate.verified(Request.of(ALICE).blob, REGISTRAR.public)
    assert caught.value.message == "no certificate of this grid: no medgrid.certificate/1"
    with pytest.raises(Denied) as caught:
        Request.from_bytes(CERTIFICATE.blob)
    assert caught.value.message == ("no request for a certificate: no medgrid.identity-request/1")


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    """The registration key signs two kinds of documents."""
    fields = {
        k: v for k, v in json.loads(CERTIFICATE.blob).items() if k not in ("schema", "signature")
    }
    other = json.loads(seal("medgrid.certificate/0", fields, REGISTRAR.sign))
    other["schema"] = "medgrid.certificate/1"
    with pytest.raises(Denied):
        Certificate.verified(canonical(other), REGISTRAR.public)


def test_time() -> None:
    CERTIFICATE.check_time(CERTIFICATE.not_after_s)
    CERTIFICATE.check_time(CERTIFICATE.not_before_s - 200)
    with pytest.raises(Denied) as caught:
        CERTIFICATE.check_time(CERTIFICATE.not_after_s + 1)
    day = time.strftime("%Y-%m-%d", time.gmtime(CERTIFICATE.not_after_s))
    assert caught.value.message == f"the certificate of alice ended on {day}"
    with pytest.raises(Denied) as caught:
        CERTIFICATE.check_time(CERTIFICATE.not_before_s - 400)
    day = time.strftime("%Y-%m-%d", time.gmtime(CERTIFICATE.not_before_s))
    assert caught.value.message == f"the certificate of alice begins on {day}"


def test_what_is_not_certified() -> None:
    with pytest.raises(UsageError) as caught:
        Certificate.issue(Request.of(ALICE), [], NOW_S + DAY_S, REGISTRAR.sign)
    assert caught.value.message == "a certificate needs a role"
    with pytest.raises(UsageError) as caught:
        Certificate.issue(Request.of(ALICE), [Role.PATIENT], NOW_S - 1, REGISTRAR.sign)
    assert caught.value.message == "a certificate must end in the future"


def test_a_request_is_signed_by_whom_it_names() -> None:
    request = Request.of(ALICE)
    assert Request.from_bytes(request.blob) == request
    document = json.loads(request.blob)
    for name in ("name", "encryption_public", "signing_public", "signature"):
        with pytest.raises(Denied):
            Request.from_bytes(canonical({**document, name: OTHER_VALUES[name]}))


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_that_opens_for_everybody_is_refused(point: bytes) -> None:
    public = PublicIdentity("alice", point, ALICE.public.signing_public)
    weak = Identity(public, os.urandom(32), ALICE._signer)
    with pytest.raises(Denied) as caught:
        Request.from_bytes(Request.of(weak).blob)
    assert caught.value.message == (
        "no request for a certificate: nothing can be sealed to its encryption key"
    )
