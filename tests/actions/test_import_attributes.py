"""Tables beside images: what they say of people becomes attributes of patients and visits."""

from __future__ import annotations

from pathlib import Path

from medgrid.actions.blinding import Codes
from medgrid.actions.meta import Table, import_table
from medgrid.catalog.patient_attributes import Given
from medgrid.catalog.query import parse
from medgrid.images.people import Wrong
from tests.lab.datagrid import ME
from tests.lab.dicoms import write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti

_DATASET = "bids:Trial"
_ARMS = ("treated", "placebo", "treated", "placebo")


def write_trial(root: Path) -> Path:
    """Four people of two arms with a score at each of two visits; gives the dataset's folder."""
    write_json(root / "dataset_description.json", {"Name": "Trial", "BIDSVersion": "1.10.0"})
    write_table(root / "participants.tsv", "participant_id age sex arm handedness")
    for number, arm in enumerate(_ARMS, 1):
        subject = f"sub-{number:02}"
        write_table(root / "participants.tsv", f"{subject} {30 + number} F {arm} right")
        scores = root / subject / f"{subject}_sessions.tsv"
        for visit in (1, 2):
            name = f"{subject}_ses-{visit}"
            folder = root / subject / f"ses-{visit}" / "anat"
            write_nifti(folder / f"{name}_T1w.nii.gz", seed=number * 10 + visit)
            if visit == 1:
                write_table(scores, "session_id edss")
            write_table(scores, f"ses-{visit} {number + visit / 2}")
    write_json(root / "sub-01" / "sub-01_sessions.json", {"edss": {"Units": "points"}})
    return root


def write_table(path: Path, words: str) -> None:
    """Add a row to a table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\t".join(words.split()) + "\n")


def answers(bring: Importer, question: str) -> list[str]:
    """Subjects and sessions of the images that answer, as ``1/2``."""
    who = {bring.patient(f"{number:02}", _DATASET): str(number) for number in range(1, 10)}
    found = bring.grid.catalog.objects.select(parse(question), ["PatientID", "session"])
    return sorted(f"{who[patient]}/{session}" for patient, session in found)


def test_images_are_asked_by_arm_and_score(bring: Importer, tmp_path: Path) -> None:
    summary = bring(write_trial(tmp_path / "in"))
    assert (summary.tables, summary.attributes) == (2, 16)
    assert answers(bring, "arm=treated") == ["1/1", "1/2", "3/1", "3/2"]
    assert answers(bring, "arm=treated and edss>2") == ["3/1", "3/2"]
    assert answers(bring, "edss=2") == ["1/2"]
    assert answers(bring, "not arm=treated and edss<3") == ["2/1"]
    assert answers(bring, "arm!=treated") == ["2/1", "2/2", "4/1", "4/2"]
    assert answers(bring, "arm~'treat*' and edss is known and edss<=1.5") == ["1/1"]
    rows = bring.grid.catalog.objects.select(parse("edss>4"), ["arm", "edss"], ["-edss"])
    assert list(rows) == [("placebo", 5), ("placebo", 4.5)]
    known = bring.grid.catalog.patient_attributes.names()
    assert [(one.name, one.type, one.unit) for one in known.values()] == [
        ("arm", "text", None),
        ("edss", "number", "points"),
        ("handedness", "text", None),
    ]


def test_a_trial_comes_in_without_its_arms_which_are_blinded_then(
    bring: Importer, tmp_path: Path
) -> None:
    root = write_trial(tmp_path / "in")
    assert bring(root, leave_out=[" arm"]).attributes == 12
    (people,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert people.left_out == {"arm": "as it was asked for"}
    store = bring.grid.catalog.patient_attributes
    assert list(store.names()) == ["edss", "handedness"]
    import_table(bring.grid, Table(root / "participants.tsv", blind=["arm"]))
    codes = {meaning: code for code, meaning in Codes(bring.grid, "arm").meanings().items()}
    assert sorted(codes) == ["placebo", "treated"]
    assert answers(bring, f"arm={codes['treated']} and edss>2") == ["3/1", "3/2"]
    assert answers(bring, "arm=treated") == []
    bring(root)  # by the way, nothing comes to light
    (people,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert people.left_out == {"arm": "attribute 'arm' is blinded in this grid"}
    assert {one.given.value for one in store.of([bring.patient("01", _DATASET)])} == {
        *(1.5, 2, "right", codes["treated"])
    }


def test_nothing_of_tables_is_taken_when_what_is_to_be_left_out_is_not_there(
    bring: Importer, tmp_path: Path
) -> None:
    bring(write_trial(tmp_path / "in"), leave_out=["edss", "amr"])
    reason = "no table has this column: nothing was taken of any"
    assert bring.reasons == [("--leave-out amr", reason)]
    assert len(bring.new) == 8
    assert bring.grid.catalog.patient_attributes.names() == {}


def test_a_second_import_says_nothing_new(bring: Importer, tmp_path: Path) -> None:
    bring(write_trial(tmp_path / "in"))
    summary = bring(tmp_path / "in")
    assert (summary.unchanged, summary.tables, summary.attributes) == (8, 2, 0)
    assert [report.left_out for report in bring.tables if report.name == "participants.tsv"] == [{}]


def test_one_subject_brings_what_stands_above_it(bring: Importer, tmp_path: Path) -> None:
    bring(write_trial(tmp_path / "in") / "sub-03")
    assert answers(bring, "arm=treated and edss=3.5") == ["3/1"]
    (people,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert people.unknown == ["row 1", "row 2", "row 4"]


def test_what_a_table_says_anew_is_history_and_what_somebody_put_right_stays(
    bring: Importer, tmp_path: Path
) -> None:
    root = write_trial(tmp_path / "in")
    bring(root)
    table = root / "sub-01" / "sub-01_sessions.tsv"
    table.write_text("session_id\tedss\nses-1\t6\nses-2\tn/a\n")
    bring(root)
    patient = bring.patient("01", _DATASET)
    assert [one.name for report in bring.tables for one in report.replaced] == ["edss"]
    assert answers(bring, "edss=6") == ["1/1"]
    assert answers(bring, "edss=2") == ["1/2"]  # no value takes nothing away
    store = bring.grid.catalog.patient_attributes
    said = [one for one in store.history([patient]) if one.given.visit == "1"]
    assert [(one.given.value, one.is_current) for one in said] == [(1.5, False), (6, True)]
    assert {one.source.split()[0] for one in said} == {"sessions.tsv"}
    store.give([Given(patient, "1", "edss", 1.0)], ME)
    bring(root)
    assert answers(bring, "edss=1") == ["1/1"]


def test_words_of_visits_are_levels_when_several_people_have_them(
    bring: Importer, tmp_path: Path
) -> None:
    root = write_trial(tmp_path / "in")
    write_json(root / "sessions.json", {"score": {"Units": "points"}})
    for number in range(1, 5):
        table = root / f"sub-{number:02}" / f"sub-{number:02}_sessions.tsv"
        rows = (f"ses-{visit}\tfasted\tof {number}\t{visit}\n" for visit in (1, 2))
        table.write_text("session_id\tstate\tword\tscore\n" + "".join(rows))
    bring(root)
    assert answers(bring, "state=fasted and score=2") == [f"{one}/2" for one in range(1, 5)]
    (report,) = (one for one in bring.tables if one.name == "sessions.tsv")
    assert list(report.left_out) == ["word"]
    assert bring.grid.catalog.patient_attributes.names()["score"].unit == "points"


def test_a_bad_row_is_left_out_alone_and_said(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    table = root / "participants.tsv"
    table.write_text(
        "participant_id\tarm\tscore\tremarks\tweight\n"
        "sub-01\ttreated\t1\tfell ill\t70\n"
        "sub-02\tplacebo\t2\tn/a\t80\n"
        "sub-03\ttreated\tDOE^JANE\tn/a\t60\n"
        "sub-04\tplacebo\t4\n"
        "sub-05\tplacebo\t5\n"
        "sub-01\tplacebo\t1\n"
        "\tplacebo\t7\n"
    )
    write_json(root / "participants.json", {"weight": {"Units": "kg"}, "arm": "what it is"})
    bring(root)
    (report,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert report.left_out == {"remarks": "names, ids or remarks, by its name"}
    assert report.wrong == [
        Wrong("row 3", "score", "not a number"),
        Wrong("row 6", "arm", "another row says something else"),
    ]
    assert report.unknown == ["row 5"]
    assert answers(bring, "arm=treated and session=1") == ["1/1", "3/1"]
    assert answers(bring, "score is unknown and session=1") == ["3/1"]
    names = bring.grid.catalog.patient_attributes.names()
    assert names["weight"].unit == "kg"


def test_what_images_of_a_visit_share_is_of_the_visit(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    for subject, coils in (("sub-01", ("head", "head")), ("sub-02", ("head", "body"))):
        table = root / subject / "ses-1" / f"{subject}_ses-1_scans.tsv"
        table.write_text(
            "filename\tacq_time\tcoil\tquality\n"
            f"anat/{subject}_ses-1_T1w.nii.gz\t2020-01-01T10:00:00\t{coils[0]}\t3\n"
            f"anat/{subject}_ses-1_T2w.nii.gz\t2020-01-01T10:10:00\t{coils[1]}\t3\n"
        )
        write_json(table.with_suffix(".json"), {"coil": {"Levels": {"head": "", "body": ""}}})
    bring(root)
    assert answers(bring, "quality=3") == ["1/1", "2/1"]
    assert answers(bring, "coil is known") == ["1/1"]
    wrong = {one.name: one.wrong for one in bring.tables if one.wrong}
    reason = "images of the visit differ in it"
    assert wrong == {"scans.tsv": [Wrong("sub-02_ses-1_scans.tsv row 1", "coil", reason)]}


def test_a_name_that_the_grid_has_otherwise_is_left_out(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    bring(root)
    (item, *_) = bring.new
    bring.grid.catalog.objects.set_attributes(item.id, {"volume": 3.0})
    table = root / "participants.tsv"
    table.write_text(
        "participant_id\tvolume\tedss\tarm\nsub-01\t1\tlow\ttreated\nsub-02\t2\tlow\ttreated\n"
    )
    bring(root)
    (report,) = (one for one in bring.tables if one.name == "participants.tsv")
    assert report.left_out == {
        "volume": "attribute 'volume' is one of images in this grid",
        "edss": "attribute 'edss' is a number in this grid, found 'low'",
    }
    assert [one.name for one in report.replaced] == ["arm"]


def test_a_table_that_cannot_be_read_is_told(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    (root / "phenotype").mkdir()
    (root / "phenotype" / "bad.tsv").write_bytes(b"participant_id\tx\n" + b"\t" * 4_200_000)
    (root / "phenotype" / "bdi.tsv").write_text("participant_id\tbdi\nsub-02\t17\n")
    bring(root)
    assert bring.reasons == [("bad.tsv", "larger than 4 MiB")]
    assert answers(bring, "bdi=17") == ["2/1", "2/2"]


def test_the_age_at_a_visit_is_that_of_its_images(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    table = root / "sub-02" / "sub-02_sessions.tsv"
    table.write_text("session_id\tage\nses-1\tn/a\nses-2\t40\n")
    bring(root)
    assert answers(bring, "PatientAge=32") == ["2/1"]
    assert answers(bring, "PatientAge=40") == ["2/2"]


def test_an_age_or_sex_that_is_put_right_reaches_the_images(
    bring: Importer, tmp_path: Path
) -> None:
    root = write_trial(tmp_path / "in")
    assert (bring(root).warnings, bring(root).warnings) == (0, 0)
    people = root / "participants.tsv"
    people.write_text(
        people.read_text().replace("02\t32\tF", "02\t23\tM").replace("33\tF", "33\tO")
    )
    for is_dry in (True, False):
        assert bring(root, dry_run=is_dry).warnings == 1
        assert bring.doubts == [
            (
                f"images of 2 subjects have another age or sex than the tables of {root} say",
                "'medgrid import --again' renews them",
            )
        ]
    assert answers(bring, "PatientAge=23") == []
    summary = bring(root, again=True)
    assert (summary.warnings, summary.new, summary.unchanged) == (0, 0, 8)
    assert answers(bring, "PatientAge=23 and PatientSex=M") == ["2/1", "2/2"]
    assert answers(bring, "PatientSex=O and class=nominative") == ["3/1", "3/2"]
    assert bring(root).warnings == 0


def test_patients_and_days_of_a_table_are_those_of_the_images(
    bring: Importer, tmp_path: Path
) -> None:
    write_series(tmp_path / "in", 1)
    bring(tmp_path / "in")
    table = tmp_path / "scores.tsv"
    rows = ("participant_id visit edss", "PAT-4711 20210304 3", "PAT-4711 2021-03-09 4")
    table.write_text("".join("\t".join(row.split()) + "\n" for row in rows))
    report = import_table(bring.grid, Table(table))
    assert [(one.patient, one.visit) for one in report.fresh] == [(bring.patient(), bring.day())]
    assert [one.row for one in report.wrong] == ["row 2"]
    assert list(bring.grid.catalog.objects.lfns(parse("edss=3"))) == bring.lfns


def test_a_day_that_two_visits_may_be_of_is_named_and_not_guessed(
    bring: Importer, tmp_path: Path
) -> None:
    """A day of a table has no time, and days of images moved with theirs."""
    for number, time in enumerate(("000000", "235959"), 1):
        write_series(tmp_path / "in" / time, 1, study=str(number), StudyTime=time)
    bring(tmp_path / "in")
    patient = bring.patient()
    (visits,) = bring.grid.catalog.patient_attributes.visits([patient]).values()
    assert len(visits) == 2
    table = tmp_path / "scores.tsv"
    first = min(visits)
    table.write_text(
        f"participant_id\tvisit\tedss\nPAT-4711\t2021-03-04\t3\n{patient}\t{first}\t4\n"
    )
    report = import_table(bring.grid, Table(table))
    assert report.fresh == [Given(patient, first, "edss", 4)]
    reason = "no one visit is of this day, or no session"
    assert report.wrong == [Wrong("row 1", "session", reason)]


def test_a_visit_that_two_days_may_be_of_is_named_and_not_guessed(
    bring: Importer, tmp_path: Path
) -> None:
    """The day before, without images, is not told from that of a visit just after midnight."""
    write_series(tmp_path / "in", 1, StudyTime="000000")
    bring(tmp_path / "in")
    table = tmp_path / "scores.tsv"
    rows = ("2021-03-03 2", "2021-03-04 3", "n/a 4")
    lines = ("participant_id visit edss", *(f"PAT-4711 {row}" for row in rows))
    table.write_text("".join("\t".join(line.split()) + "\n" for line in lines))
    report = import_table(bring.grid, Table(table))
    assert [(one.visit, one.value) for one in report.fresh] == [("", 4)]
    reason = "rows of two days may be of this visit"
    assert report.wrong == [Wrong(row, "session", reason) for row in ("row 1", "row 2")]


def test_dry_run_changes_nothing(bring: Importer, tmp_path: Path) -> None:
    root = write_trial(tmp_path / "in")
    bring(root, dry_run=True)
    assert bring.grid.catalog.patient_attributes.names() == {}
    assert {one.name for one in bring.tables} >= {"participants.tsv"}
