"""Questions for names: physicians find their own patients, and nobody else learns a thing."""

from __future__ import annotations

import pytest

from tests.lab.hospital import JANE, JOHN, OTHER, Hospital

FOUND = {
    "PatientName='DOE^JANE^Q'": {JANE},
    "PatientName='doe^jane^q'": {JANE},
    "PatientName~'DOE^*'": {JANE, JOHN},
    "PatientName~'*jane*'": {JANE},
    "PatientName in ('DOE^JOHN', 'ROE^RICHARD')": {JOHN},
    "PatientBirthDate<1960-01-01": {JANE},
    "PatientBirthDate=1951": {JANE},
    "OtherPatientIDs=H-4712": {JOHN},
    "PatientName='DOE^JANE'": set(),
    "PatientName~'DOE*' and StudyDate=2021-03-05": {JANE},
    "PatientName='ROE^RICHARD'": set(),
}


def patients(lines: list[str]) -> set[str]:
    return {line.split("/")[2] for line in lines}


def test_physicians_find_their_own_patients(hospital: Hospital) -> None:
    for question, expected in FOUND.items():
        assert patients(hospital.alice.ok("query", question).lines) == expected, question
    assert patients(hospital.carol.ok("query", "PatientName='DOE^JANE'").lines) == {OTHER}


@pytest.mark.parametrize("who", ["bob", "carol", "root", "paula"])
def test_others_cannot_tell_a_name_from_one_that_does_not_occur(
    hospital: Hospital, who: str
) -> None:
    hospital.alice.ok("grant", "bob", f"/trial/{JANE}/T1w")
    person = hospital.people[who]
    for form in ("PatientName='{}'", "PatientName!='{}'", "not PatientName~'{}*'"):
        for more in ((), ("--count",), ("--explain", "--json"), ("--fail-empty",)):
            real = person.run("query", form.format("DOE^JANE^Q"), *more)
            made_up = person.run("query", form.format("ROE^RICHARD"), *more)
            assert real.code == made_up.code
            assert real.out == made_up.out.replace("ROE^RICHARD", "DOE^JANE^Q")
            assert real.err == made_up.err


def test_the_patient_finds_themself(hospital: Hospital) -> None:
    hospital.alice.ok("team", "add", JANE, "paula", "--role", "patient")
    assert patients(hospital.paula.ok("query", "PatientName~'DOE*'").lines) == {JANE}


def test_counts_explanations_and_columns(hospital: Hospital) -> None:
    alice = hospital.alice
    assert alice.ok("query", "PatientName~'DOE*'", "--count").out == "3\n"
    ran = alice.ok("query", "PatientName~'DOE*' and Modality=US", "--explain")
    assert ran.rows[1:] == [["3", "3", "  PatientName~DOE*", ""], ["1", "1", "  Modality=US", ""]]
    ran = alice.ok("query", "PatientName='DOE^JOHN'", "--columns", "PatientID")
    assert ran.rows == [[f"/trial/{JOHN}/T1w", JOHN]]
    assert alice.ok("query", "-k", "PatientName=DOE^JOHN").lines == [f"/trial/{JOHN}/T1w"]


def test_the_question_from_stdin_stays_out_of_the_command_line(hospital: Hospital) -> None:
    ran = hospital.alice.ok("query", "-", stdin="PatientName='DOE^JOHN'\n")
    assert ran.lines == [f"/trial/{JOHN}/T1w"]


def test_a_name_is_not_kept_in_a_dataset(hospital: Hospital) -> None:
    for more in ((), ("--freeze",)):
        ran = hospital.alice.run("query", "PatientName~'DOE*'", "--save", "does", *more)
        assert (ran.code, ran.out, ran.err) == (
            2,
            "",
            "medgrid: error: a question for PatientName is not kept: the dataset would tell the "
            "name\nmedgrid: hint: show pseudonyms with '--columns PatientID', and keep a question "
            "for these\n",
        )
    assert hospital.alice.ok("dataset", "ls").out == ""


def test_a_mistake_is_one_for_everybody(hospital: Hospital) -> None:
    for who in ("alice", "bob", "root"):
        ran = hospital.people[who].run("query", "PatientName<3")
        assert (ran.code, ran.err) == (
            2,
            "medgrid: error: '<' does not go with PatientName\n",
        )


def test_it_is_audited_that_names_were_looked_through(hospital: Hospital) -> None:
    hospital.alice.ok("query", "PatientName='DOE^JOHN'")
    with hospital.keystore() as store:
        last = [one for one in store.audit.records(who="alice") if one.verb == "name"][-1]
        assert last.detail == "query (2 patients)"
        count = sum(1 for _ in store.audit.records(who="bob"))
    hospital.bob.ok("query", "PatientName='DOE^JOHN'")
    with hospital.keystore() as store:
        assert sum(1 for _ in store.audit.records(who="bob")) == count


def test_no_name_comes_to_the_catalog(hospital: Hospital) -> None:
    """The catalog is asked for pseudonyms; a question for a name is answered without a trace."""
    for question in FOUND:
        hospital.alice.ok("query", question, "--explain")
    for file in hospital.folder.glob("catalog.db*"):
        assert b"DOE" not in file.read_bytes()
