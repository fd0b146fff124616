"""``medgrid meta``: attributes of patients and visits at the prompt, for whom they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.hospital import JANE, JOHN, OTHER, PEOPLE, Hospital, Person

DAY = "2021-03-04"
NO_JANE = "medgrid: error: no patient P-JANE\nmedgrid: hint: 'medgrid team ls' shows yours\n"
TWINS = [f"/trial/{JANE}/T1w", f"/trial/{JOHN}/T1w"]


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join("\t".join(row.split()) for row in rows) + "\n")
    return path


def found(person: Person, question: str) -> list[str]:
    """Heads that answer."""
    return person.ok("query", f"({question}) and Modality=MR").lines


def events(hospital: Hospital, verb: str) -> list[tuple[str, str, str]]:
    """What the audit log has of a verb: thing, patient, detail."""
    with hospital.keystore("alice") as store:
        return [
            (one.thing, one.patient, one.detail)
            for one in store.audit.records()
            if one.verb == verb
        ]


def test_values_are_given_asked_shown_and_taken_away(hospital: Hospital) -> None:
    alice = hospital.alice
    assert alice.ok("meta", "set", JANE, "arm=treated").out == ""
    alice.ok("meta", "set", f"{JANE}/{DAY}", "edss=3.5", "--unit", "points")
    alice.ok("meta", "set", JOHN, "arm=placebo", "edss=4")
    assert alice.ok("query", "arm=treated and edss>3").lines == [TWINS[0]]
    rows = alice.ok("query", "edss>3", "--columns", "arm,edss", "--sort", "-edss").rows
    assert rows == [[TWINS[1], "placebo", "4"], [TWINS[0], "treated", "3.5"]]
    assert "  arm: treated (of the patient or visit)" in alice.ok("stat", TWINS[0]).lines
    (known,) = alice.ok("stat", TWINS[0], "--json").documents
    assert known["patient_attributes"] == {"arm": "treated", "edss": 3.5}
    assert alice.ok("meta", "show", JANE).rows == [
        ["", "arm", "treated", ""],
        [DAY, "edss", "3.5", "points"],
    ]
    assert alice.ok("meta", "ls").rows == [
        ["arm", "text", "", ""],
        ["edss", "number", "points", ""],
    ]
    (said,) = alice.ok("meta", "unset", f"{JANE}/{DAY}", "edss", "--json").documents
    assert said == {
        "schema": "medgrid.attribute/1",
        "patient": JANE,
        "visit": DAY,
        "name": "edss",
        "value": None,
    }
    assert alice.ok("query", "edss>3").lines == [TWINS[1]]
    documents = alice.ok("meta", "show", JANE, "--history", "--json").documents
    assert [(one["name"], one["value"], one["state"]) for one in documents] == [
        ("arm", "treated", "now"),
        ("edss", 3.5, "before"),
        ("edss", None, "taken away now"),
    ]
    assert {one["by"] for one in documents} == {"alice"}
    assert events(hospital, "meta") == [
        ("", JANE, "arm"),
        (DAY, JANE, "edss"),
        ("", JOHN, "arm edss"),
        (DAY, JANE, "edss"),
    ]


def test_whoever_sees_an_image_sees_them_and_changes_nothing(hospital: Hospital) -> None:
    hospital.alice.ok("meta", "set", JANE, "arm=treated")
    hospital.alice.ok("meta", "set", JOHN, "arm=treated")
    assert hospital.bob.run("query", "arm=treated").code == 2
    assert hospital.bob.run("meta", "show", JANE).err == NO_JANE
    hospital.alice.ok("grant", "bob", TWINS[0])
    assert hospital.bob.ok("query", "arm=treated").lines == [TWINS[0]]
    assert hospital.bob.ok("meta", "show", JANE).rows == [["", "arm", "treated", ""]]
    for words in (("set", JANE, "arm=other"), ("unset", JANE, "arm"), ("show", JOHN)):
        ran = hospital.bob.run("meta", *words)
        assert (ran.code, ran.err) == (4, NO_JANE.replace("P-JANE", words[1]))
    assert hospital.carol.run("meta", "set", JANE, "arm=other").err == NO_JANE
    assert found(hospital.alice, "arm=treated") == TWINS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("arm", "'arm' is no NAME=VALUE"),
        ("seen=2020-01-31", "seen: a value is a number, a word or a few"),
        ("code=1234567", "code: a long number may be an id"),
        ("surname=Doe", "attribute 'surname' is not kept: names, ids or remarks, by its name"),
        ("age=35", "attribute 'age' is not kept: images have it, as PatientAge"),
        ("Modality=MR", "attribute 'Modality' is one of images"),
        ("edss=high", "attribute 'edss' is a number in this grid, found 'high'"),
    ],
)
def test_what_is_refused(hospital: Hospital, words: str, message: str) -> None:
    hospital.alice.ok("meta", "set", JANE, "edss=1")
    ran = hospital.alice.run("meta", "set", JANE, "arm=x", words)
    assert ran.code == 2
    assert ran.err.splitlines()[0] == f"medgrid: error: {message}"
    assert hospital.alice.ok("meta", "show", JANE).rows == [["", "edss", "1", ""]]


def test_a_visit_that_is_none(hospital: Hospital) -> None:
    ran = hospital.alice.run("meta", "set", f"{JANE}/2021-03-06", "edss=1")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: P-JANE has no visit 2021-03-06\n"
        "medgrid: hint: visits are 2021-03-04, 2021-03-05\n",
    )
    ran = hospital.alice.run("meta", "unset", JANE, "edss")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: P-JANE has no edss\nmedgrid: hint: see 'medgrid meta show P-JANE'\n",
    )


def test_a_table_of_scores(hospital: Hospital, tmp_path: Path) -> None:
    table = write(
        tmp_path / "scores.tsv",
        "patient session_id edss arm remarks",
        f"{JANE} {DAY} 2.5 treated well",
        f"{JOHN} {DAY} 6 placebo ill",
        f"{OTHER} n/a 1 treated well",
        "H-4711 n/a 1 placebo ill",
    )
    ran = hospital.alice.run("meta", "import", table)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines() == [
        "scores.tsv: column remarks left out: names, ids or remarks, by its name",
        "scores.tsv: 4 new, 0 changed",
        "medgrid: error: scores.tsv: not in your care: P-OTHER, row 4",
        "medgrid: hint: 'medgrid team ls' shows who is",
    ]
    assert hospital.alice.ok("query", "arm=treated and edss<3").lines == [TWINS[0]]
    assert hospital.carol.run("meta", "show", OTHER).rows == []
    hospital.alice.ok("meta", "set", f"{JANE}/{DAY}", "edss=3")
    assert "scores.tsv: 0 new, 0 changed" in hospital.alice.run("meta", "import", table).err
    write(table, "patient session_id edss", f"{JANE} {DAY} 4")
    ran = hospital.alice.ok("meta", "import", table)
    assert ran.err.splitlines() == [
        "medgrid: warning: P-JANE/2021-03-04: edss in scores.tsv is another than before",
        "medgrid: hint: 'medgrid meta show --history P-JANE/2021-03-04' has all values",
        "scores.tsv: 0 new, 1 changed",
    ]
    ran = hospital.alice.ok("meta", "import", table, "--json")
    assert (ran.out, json.loads(ran.err)["changed"]) == ("", [])


def test_a_day_that_no_image_has_is_not_kept(hospital: Hospital, tmp_path: Path) -> None:
    """It may be a true one, and days of patients are moved."""
    table = write(
        tmp_path / "scores.tsv",
        "patient visit edss",
        f"{JANE} ses-later 1",
        f"{JANE} 2020-01-01 2",
        f"{JANE} 20200101 3",
        f"{JANE} Jane's 4",
    )
    ran = hospital.alice.ok("meta", "import", table)
    reason = "session: no one visit is of this day, or no session"
    assert ran.err.splitlines() == [
        f"scores.tsv: left out: {'; '.join(f'row {row}, {reason}' for row in (2, 3, 4))}",
        "scores.tsv: 1 new, 0 changed",
    ]
    assert hospital.alice.ok("meta", "show", JANE).rows == [["later", "edss", "1", ""]]


def test_what_a_table_says_ahead_of_images_is_put_right(hospital: Hospital, tmp_path: Path) -> None:
    alice, visit = hospital.alice, f"{JANE}/ses-12m"
    alice.ok("meta", "import", write(tmp_path / "t.tsv", "patient visit edss", f"{JANE} 12m 1"))
    alice.ok("meta", "set", visit, "edss=2")
    assert alice.ok("meta", "show", visit).rows == [["12m", "edss", "2", ""]]
    alice.ok("meta", "unset", visit, "edss")
    assert alice.ok("meta", "show", visit).rows == []
    alice.ok("meta", "set", visit, "edss=3")
    ran = alice.run("meta", "set", f"{JANE}/21m", "edss=2")
    assert (ran.code, ran.err) == (
        4,
        "medgrid: error: P-JANE has no visit 21m\n"
        "medgrid: hint: visits are 12m, 2021-03-04, 2021-03-05\n",
    )


def test_a_table_without_patients(hospital: Hospital, tmp_path: Path) -> None:
    ran = hospital.alice.run("meta", "import", write(tmp_path / "t.tsv", "who edss", "x 1"))
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: t.tsv has no column of patients",
    )
    ran = hospital.alice.run("meta", "import", tmp_path / "none.tsv")
    assert ran.code == 4


# -- blinded ---------------------------------------------------------------------------------------


@pytest.fixture
def arms(tmp_path: Path) -> Path:
    (tmp_path / "arms.json").write_text('{"arm": {"Levels": {"treated": "", "placebo": ""}}}')
    return write(tmp_path / "arms.tsv", "patient arm", f"{JANE} treated", f"{JOHN} placebo")


def test_an_arm_is_blinded_and_unblinded(hospital: Hospital, arms: Path) -> None:
    alice, bob, dave = hospital.alice, hospital.bob, hospital.dave
    alice.ok("meta", "import", arms, "--blind", "arm", "--to", "bob", "--to", "dave")
    alice.ok("grant", "bob", *TWINS)
    assert alice.ok("query", "arm=treated").lines == []
    ((_, _, code, _),) = alice.ok("meta", "show", JANE).rows
    assert found(alice, f"arm={code}") == [TWINS[0]]
    assert alice.ok("meta", "ls").rows == [["arm", "text", "", "yes"]]
    files = b"".join(path.read_bytes() for path in hospital.folder.rglob("*.db*"))
    assert b"placebo" not in files
    for words in (("codes", "arm"), ("unblind", "arm", "-y")):
        ran = alice.run("meta", *words)
        assert (ran.code, ran.err.splitlines()[0]) == (
            5,
            "medgrid: error: what the codes of arm mean is not sealed to alice",
        )
    meanings = dict(bob.ok("meta", "codes", "arm").rows)
    assert sorted(meanings.values()) == ["placebo", "treated"]
    assert meanings[code] == "treated"
    assert dict(dave.ok("meta", "codes", "arm").rows) == meanings
    assert alice.ok("query", "arm=treated").lines == []
    bob.ok("meta", "unblind", "arm", "-y")
    assert found(alice, "arm=treated") == [TWINS[0]]
    assert bob.ok("query", "arm~'pla*'", "--columns", "arm").rows == [[TWINS[1], "placebo"]]
    assert alice.ok("meta", "show", JANE).rows == [["", "arm", "treated", ""]]
    assert events(hospital, "blind") == [("arm", "", "to bob dave")]
    assert released(hospital) == [("bob", "codes"), ("dave", "codes"), ("bob", "unblind")]
    assert bob.run("meta", "unblind", "arm", "-y").code == 4
    # from now on it is an attribute like others
    assert "0 new, 0 changed" in alice.ok("meta", "import", arms).err
    alice.ok("meta", "set", JANE, "arm=placebo")
    assert found(alice, "arm=placebo") == TWINS


def test_what_was_saved_with_a_code_is_the_same_when_it_is_known(
    hospital: Hospital, arms: Path
) -> None:
    alice = hospital.alice
    alice.ok("meta", "import", arms, "--blind", "arm")
    ((_, _, code, _),) = alice.ok("meta", "show", JANE).rows
    alice.ok("query", f"arm={code} and Modality=MR", "--save", "hers")
    alice.ok("query", f"arm!={code} and Modality=MR", "--save", "others")
    alice.ok("query", f"arm in ({code}, XXXX) and Modality=MR", "--save", "some")
    alice.ok("meta", "unblind", "arm", "-y")
    for name, images in (("hers", TWINS[:1]), ("others", TWINS[1:]), ("some", TWINS[:1])):
        assert alice.ok("query", f"dataset={name}").lines == images


def released(hospital: Hospital) -> list[tuple[str, str]]:
    """Who looked at codes, or released them."""
    with hospital.keystore("alice") as store:
        return [
            (one.who, one.verb)
            for page in store.audit.all_records()
            for one in page
            if one.verb in ("codes", "unblind")
        ]


def test_what_is_blinded_is_not_said_otherwise(hospital: Hospital, arms: Path) -> None:
    hospital.alice.ok("meta", "import", arms, "--blind", "arm", "--to", "bob")
    ran = hospital.alice.run("meta", "set", JANE, "arm=treated")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: attribute 'arm' is blinded in this grid",
    )
    ran = hospital.alice.ok("meta", "import", arms)
    assert "arms.tsv: column arm left out: attribute 'arm' is blinded in this grid" in ran.err
    ran = hospital.alice.run("meta", "import", arms, "--blind", "arm", "--to", "alice")
    assert (ran.code, ran.err.splitlines()[0]) == (
        5,
        "medgrid: error: what the codes of arm mean is not sealed to alice",
    )


def test_who_knows_the_codes_adds_to_them(hospital: Hospital, arms: Path, tmp_path: Path) -> None:
    alice = hospital.alice
    write(tmp_path / "first.tsv", "patient arm", f"{JANE} treated")
    (tmp_path / "first.json").write_text((tmp_path / "arms.json").read_text())
    alice.ok("meta", "import", tmp_path / "first.tsv", "--blind", "arm")
    before = dict(alice.ok("meta", "codes", "arm").rows)
    alice.ok("meta", "import", arms, "--blind", "arm", "--to", "bob")
    after = dict(hospital.bob.ok("meta", "codes", "arm").rows)
    assert before.items() <= after.items()
    assert sorted(after.values()) == ["placebo", "treated"]
    assert dict(alice.ok("meta", "codes", "arm").rows) == after


def test_a_reader_whose_certificate_ended_knows_no_further_codes(
    hospital: Hospital, arms: Path, tmp_path: Path
) -> None:
    alice, bob = hospital.alice, hospital.bob
    write(tmp_path / "first.tsv", "patient arm", f"{JANE} treated")
    (tmp_path / "first.json").write_text((tmp_path / "arms.json").read_text())
    people = ("--to", "alice", "--to", "bob", "--to", "dave")
    alice.ok("meta", "import", tmp_path / "first.tsv", "--blind", "arm", *people)
    alice.ok("identity", "revoke", "bob")
    alice.ok("identity", "revoke", "dave")
    ran = alice.run("meta", "import", arms, "--blind", "arm", "--to", "bob")
    told = "medgrid: error: the certificate of bob is revoked"
    assert (ran.code, ran.err.splitlines()[0]) == (5, told)
    ran = alice.ok("meta", "import", arms, "--blind", "arm")
    assert ran.err.splitlines() == [
        *(
            "medgrid: warning: arms.tsv: codes of arm: somebody who knew them cannot any more: "
            f"the certificate of {name} is revoked"
            for name in ("bob", "dave")
        ),
        "arms.tsv: 1 new, 0 changed",
    ]
    hospital.certify("bob", PEOPLE["bob"])
    assert bob.run("meta", "codes", "arm").code == 5
    alice.ok("meta", "import", arms, "--blind", "arm", "--to", "bob")
    assert bob.ok("meta", "codes", "arm").rows == alice.ok("meta", "codes", "arm").rows


def test_what_was_plain_cannot_be_blinded(hospital: Hospital, arms: Path) -> None:
    hospital.alice.ok("meta", "set", JANE, "arm=treated")
    ran = hospital.alice.run("meta", "import", arms, "--blind", "arm")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: attribute 'arm' is one of patients and visits, and is not blinded, in "
        "this grid",
    )
    ran = hospital.alice.run("meta", "import", arms, "--blind", "dose")
    assert ran.err.splitlines()[0] == (
        "medgrid: error: dose cannot be blinded: arms.tsv has no values of it"
    )


def test_numbers_are_blinded_as_levels_alone(hospital: Hospital, tmp_path: Path) -> None:
    table = write(tmp_path / "doses.tsv", "patient dose", f"{JANE} 10", f"{JOHN} 5.5")
    ran = hospital.alice.run("meta", "import", table, "--blind", "dose")
    assert (ran.code, ran.err.splitlines()) == (
        2,
        [
            "medgrid: error: dose cannot be blinded: it has numbers, and codes stand for words",
            "medgrid: hint: list them as Levels of dose in doses.json: they are words then, also "
            "when it is unblinded",
        ],
    )
    (tmp_path / "doses.json").write_text('{"dose": {"Levels": {"10": "", "5.5": ""}}}')
    hospital.alice.ok("meta", "import", table, "--blind", "dose")
    hospital.alice.ok("meta", "unblind", "dose", "-y")
    assert found(hospital.alice, "dose=10") == [TWINS[0]]


def test_a_list_that_somebody_exchanged_is_refused(hospital: Hospital, arms: Path) -> None:
    hospital.alice.ok("meta", "import", arms, "--blind", "arm", "--to", "bob")
    with hospital.catalog() as catalog, catalog.db.write() as connection:
        connection.exec_driver_sql("UPDATE sealed_codes SET sealed = 'sealed:AAAA'")
    assert hospital.bob.run("meta", "codes", "arm").code == 6
