"""Words that descriptions held back: listed for one's own patients, released, and renewed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from medgrid.actions.importing.writer import Names
from medgrid.actions.lfn import facts, move, remove
from medgrid.actions.outcome import Failure
from medgrid.actions.vocabulary import release_words, vocabulary
from medgrid.actions.words import HeldWord, Renewed, _Renewal, held_words, made_before, renew
from medgrid.catalog.query import parse
from medgrid.catalog.schema import held_words as held_table
from medgrid.catalog.words import Held
from medgrid.crypto.releases import Release
from medgrid.errors import IntegrityError, UsageError
from medgrid.images.words import Vocabulary
from medgrid.model import LFN, GridObject
from tests.lab.datagrid import kept_keys
from tests.lab.dicoms import write_series
from tests.lab.importer import Importer
from tests.lab.niftis import write_json, write_nifti


def listed(bring: Importer) -> list[tuple[str, int, int]]:
    found = list(held_words(bring.grid))
    assert not [one for one in found if isinstance(one, Failure)]
    words = (one for one in found if isinstance(one, HeldWord))
    return [(one.word, one.images, one.patients) for one in words]


def renewed(bring: Importer, *words: str, **options: Any) -> list[Renewed]:
    found = list(renew(bring.grid, words, **options))
    assert all(isinstance(one, Renewed) for one in found), found
    return [one for one in found if isinstance(one, Renewed)]


def test_a_held_word_is_listed_released_and_renewed(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 2, SeriesDescription="T1 HARMONIX Kowalczyk Meier")
    bring(tmp_path / "a")
    (lfn,) = bring.lfns
    assert lfn.endswith("/T1")
    assert b"HARMONIX" not in bring.content(bring.twin(lfn))
    assert sorted(listed(bring)) == [("HARMONIX", 1, 1), ("Kowalczyk", 1, 1)], "not their own name"
    release_words(bring.grid, ["HARMONIX"])
    assert listed(bring) == [("Kowalczyk", 1, 1)]
    assert [one.lfn for one in renewed(bring)] == [lfn], "an LFN once given never changes"
    twin = bring.grid.catalog.objects.get(LFN(lfn))
    assert (twin.attributes["SeriesDescription"], twin.version) == ("T1 HARMONIX", 2)
    ds = pydicom.dcmread(io.BytesIO(bring.content(twin)[512:]), force=True)
    assert ds.SeriesDescription == "T1 HARMONIX"
    original = bring.original(lfn)
    assert original.attributes["SeriesDescription"] == "T1 HARMONIX"
    assert renewed(bring) == []
    bring(tmp_path / "a")
    assert bring.lfns == [], "it is known by its UID"
    write_series(tmp_path / "b", 1, series="2", SeriesDescription="T1 Harmonix")
    bring(tmp_path / "b")
    assert [str(one).rpartition("/")[2] for one in bring.lfns] == ["T1_Harmonix"]


def test_a_word_that_is_held_beside_another_is_no_news(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, SeriesDescription="T1 Dr Brain")
    bring(tmp_path / "a")
    assert bring.twin(bring.lfns[0]).attributes["SeriesDescription"] == "T1"
    assert renewed(bring) == []


def test_volumes_of_a_series_are_renewed_each_time(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 4, SeriesDescription="T1 Harmonix Gizmo", SliceThickness=1.0)
    bring(tmp_path / "a", nifti=True)
    _, volume = bring.lfns
    for word in ("Harmonix", "Gizmo"):
        release_words(bring.grid, [word])
        renewed(bring)
        assert str(bring.twin(volume).attributes["SeriesDescription"]).endswith(word)


def test_what_a_table_says_of_people_is_not_undone(bring: Importer, tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\tsex\nsub-01\tM\nsub-02\tM\n")
    for subject, sex in (("01", "Male"), ("02", "F")):
        path = write_nifti(tmp_path / f"sub-{subject}" / f"sub-{subject}_T1w.nii", seed=len(sex))
        said = {"PatientSex": sex, "Modality": "MRI", "ProtocolName": "gizmo iso"}
        write_json(path.with_suffix(".json"), said)
    write_json(tmp_path / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    bring(tmp_path)
    release_words(bring.grid, ["gizmo"])
    before = {str(one.lfn): one.attributes for one in bring.new}
    assert [one.lfn for one in renewed(bring)] == sorted(before)
    for lfn, known in before.items():
        for one in (bring.twin(lfn), bring.original(lfn)):
            assert one.attributes == {**known, "PatientSex": "M", "ProtocolName": "gizmo iso"}


def test_a_visit_keeps_its_name_when_a_word_is_released(bring: Importer, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "sub-01" / "ses-harmonix" / "anat"
    write_nifti(folder / "sub-01_ses-harmonix_T1w.nii")
    write_json(tmp_path / "in" / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0"})
    bring(tmp_path / "in")
    (one,) = bring.new
    release_words(bring.grid, ["Harmonix"])
    write_nifti(folder / "sub-01_ses-harmonix_T2w.nii", seed=1)
    (tmp_path / "in" / "sub-01" / "sub-01_sessions.tsv").write_text(
        "session_id\tedss\nses-harmonix\t3.5\n"
    )
    bring(tmp_path / "in")
    (other,) = bring.new
    assert one.attributes["session"] == other.attributes["session"]
    for item in (one, other):
        assert item.lfn is not None
        assert facts(bring.grid, item.lfn).said == {"edss": 3.5}
    write_nifti(tmp_path / "in" / "sub-02" / "ses-harmonix" / "sub-02_ses-harmonix_T1w.nii", seed=2)
    bring(tmp_path / "in")
    assert [one.attributes["session"] for one in bring.new] == ["harmonix"]


def test_what_is_renewed_stays_what_an_import_says(bring: Importer, tmp_path: Path) -> None:
    for subject in ("01", "02"):
        path = write_nifti(tmp_path / subject / f"sub-{subject}_T1w.nii", seed=int(subject))
        write_json(path.with_suffix(".json"), {"ContrastBolusAgent": "Gizmo"})
    bring(tmp_path / "01")
    lfns = bring.lfns
    release_words(bring.grid, ["Gizmo"])
    assert [one.lfn for one in renewed(bring)] == lfns
    bring(tmp_path / "02")
    found = bring.grid.catalog.objects.lfns(parse("ContrastBolusAgent=Gizmo"))
    assert sorted(found) == sorted([*lfns, *bring.lfns])


def harmonix(bring: Importer, tmp_path: Path) -> str:
    """Import a series of which a word is held back, and release that."""
    write_series(tmp_path / "a", 1, SeriesDescription="T1 Harmonix")
    bring(tmp_path / "a")
    release_words(bring.grid, ["Harmonix"])
    (lfn,) = bring.lfns
    return lfn


def refused(bring: Importer, **options: Any) -> list[str]:
    """Why images were not renewed."""
    return [str(one.error) for one in renew(bring.grid, **options) if isinstance(one, Failure)]


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen when a twin was made anew, and is not registered yet."""
    keep = _Renewal._keep

    def keep_later(*words: Any) -> Renewed:
        monkeypatch.setattr(_Renewal, "_keep", keep)
        happens()
        return keep(*words)

    monkeypatch.setattr(_Renewal, "_keep", keep_later)


def test_what_changes_while_it_is_renewed_stays(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lfn = harmonix(bring, tmp_path)

    def late_slice() -> None:
        write_series(tmp_path / "a", 2, SeriesDescription="T1 Harmonix")
        assert Importer(bring.grid)(tmp_path / "a").versions == 1

    meanwhile(monkeypatch, late_slice)
    assert refused(bring) == [f"{lfn}.original or its twin changed meanwhile"]
    assert (bring.twin(lfn).version, len(bring.members(bring.twin(lfn)))) == (2, 2)
    assert len(kept_keys(bring.grid.settings)) == 4


def test_a_twin_that_is_removed_while_it_is_renewed_stays_away(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lfn = harmonix(bring, tmp_path)
    meanwhile(monkeypatch, lambda: remove(bring.grid, [LFN(lfn)]))
    assert refused(bring) == [f"{lfn}.original or its twin changed meanwhile"]
    assert not bring.grid.catalog.objects.exists(LFN(lfn))


def test_all_of_a_renewal_is_done_or_nothing(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lfn = harmonix(bring, tmp_path)
    monkeypatch.setattr(Names, "free", lambda *_: LFN(lfn).child("below"))
    assert refused(bring, rename=True) == [f"{lfn} is an object, nothing can lie below it"]
    assert bring.twin(lfn).version == 1
    assert bring.original(lfn).attributes["SeriesDescription"] == "T1"


def test_names_that_were_parted_stay_so(bring: Importer, tmp_path: Path) -> None:
    lfn = harmonix(bring, tmp_path)
    move(bring.grid, f"{lfn}.original", "/elsewhere", only=True)
    (one,) = renewed(bring, rename=True)
    assert (one.was, one.lfn, one.is_version) == (lfn, f"{lfn}_Harmonix", True)
    assert bring.twin(one.lfn).original == bring.twin("/elsewhere").id


def test_a_volume_keeps_its_lfn_and_is_known_again(bring: Importer, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a" / "sub-01" / "anat" / "sub-01_acq-gizmo_T1w.nii.gz")
    write_json(
        path.with_name("sub-01_acq-gizmo_T1w.json"), {"ProtocolName": "gizmo iso", "EchoTime": 0.01}
    )
    bring(tmp_path / "a")
    (lfn,) = bring.lfns
    assert lfn.endswith("/T1w")
    assert listed(bring) == [("gizmo", 1, 1)]
    release_words(bring.grid, ["gizmo"])
    assert [one.lfn for one in renewed(bring)] == [lfn]
    twin = bring.grid.catalog.objects.get(LFN(lfn))
    assert twin.attributes["acquisition"] == "gizmo"
    assert twin.attributes["ProtocolName"] == "gizmo iso"
    assert twin.attributes["EchoTime"] == 10
    assert twin.version == 1, "its bytes have no words"
    other = tmp_path / "b" / "sub-01" / "anat"
    other.mkdir(parents=True)
    for one in path.parent.iterdir():
        (other / one.name).write_bytes(one.read_bytes())
    bring(tmp_path / "b")
    assert bring.lfns == [], "content and a keyed name are known, whatever its label would be"


def test_what_was_made_before_is_listed_renewed_and_renamed(
    bring: Importer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "a", 1, SeriesDescription="T1 Kowalczyk")
    with monkeypatch.context() as before:
        knows_it = Vocabulary(["Kowalczyk"])
        before.setattr("medgrid.actions.importing.naming.vocabulary", lambda _: knows_it)
        bring(tmp_path / "a")
    (lfn,) = bring.lfns
    assert lfn.endswith("/T1_Kowalczyk")
    assert list(made_before(bring.grid)) == []
    with bring.grid.whole.db.write() as connection:
        connection.execute(held_table.delete())
    assert [one.lfn for one in made_before(bring.grid) if isinstance(one, GridObject)] == [lfn]
    assert renewed(bring) == [], "no word of it is known to be new"
    (one,) = renewed(bring, is_old=True, rename=True)
    assert (one.was, one.lfn.rpartition("/")[2], one.is_version) == (lfn, "T1", True)
    twin = bring.grid.catalog.objects.get(one.lfn)
    assert twin.attributes["SeriesDescription"] == "T1"
    assert b"Kowalczyk" not in bring.content(twin)
    assert bring.original(one.lfn).attributes["SeriesDescription"] == "T1"
    assert list(made_before(bring.grid)) == []
    assert listed(bring) == [("Kowalczyk", 1, 1)]


def test_who_does_not_care_for_a_patient_reads_no_word(bring: Importer, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, SeriesDescription="T1 Kowalczyk")
    bring(tmp_path / "a")
    rows = bring.grid.whole.words.held([bring.original(bring.lfns[0]).id])
    (row,) = rows.values()
    assert b"Kowalczyk" not in base64.b64decode(row.sealed)
    with bring.grid.whole.db.read() as connection:
        for table in ("object", "attribute", "held_words", "imported", "attribute_name"):
            found = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
            assert "owalczyk" not in str(found).lower()
    bring.grid.catalog.words.hold([Held(row.object_id, 1, row.revision, "00")])
    assert listed(bring) == [], "what does not open tells nothing"


def test_only_a_signed_release_counts(bring: Importer) -> None:
    with pytest.raises(UsageError, match="not a word of 2 to 32 letters"):
        release_words(bring.grid, ["two words"])
    made = release_words(bring.grid, ["gizmo"])
    assert vocabulary(bring.grid).knows("T1 Gizmo")
    forged = made.document.replace("gizmo", "meier")
    bring.grid.whole.words.release("0" * 64, made.signer, forged)
    with pytest.raises(IntegrityError, match="a release of words that is none"):
        vocabulary(bring.grid)
    assert json.loads(made.document)["words"] == ["gizmo"]
    assert Release.verified(made.document, bring.grid.vault.trust.roster) == made


def test_names_by_which_imports_knew_a_volume_are_keyed(bring: Importer, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a" / "sub-01" / "anat" / "sub-01_acq-kowal_T1w.nii.gz")
    bring(tmp_path / "a")
    (lfn,) = bring.lfns
    original = bring.original(lfn)
    imported = bring.grid.whole.imported
    (spot,) = imported.spots(original.id)
    legible = spot._replace(lfn=LFN(f"{lfn.rpartition('/')[0]}/acq-kowal_T1w"))
    assert original.digest is not None
    imported.recall(original.id, original.digest, {spot: legible})
    with bring.grid.whole.db.write() as connection:
        connection.execute(held_table.delete())
    other = tmp_path / "b" / "sub-01" / "anat" / path.name
    other.parent.mkdir(parents=True)
    other.write_bytes(path.read_bytes())
    bring(tmp_path / "b")
    assert bring.lfns == [], "it is found by the name of before, too"
    renewed(bring, is_old=True)
    assert imported.spots(original.id) == {spot}


def test_a_file_whose_name_is_held_back_gets_a_version_when_it_changes(
    bring: Importer, tmp_path: Path
) -> None:
    path = write_nifti(tmp_path / "DOE_JANE 1961-02-03" / "Kowalczyk brain.nii")
    bring(tmp_path, keep_names=True)
    (known,) = bring.lfns
    assert known == "/trial/brain"
    other = write_nifti(tmp_path / "Kowalczyk.nii", seed=3)
    bring(tmp_path, keep_names=True)
    (neutral,) = bring.lfns
    assert neutral.startswith("/trial/volume-")
    for one in (path, other):
        write_nifti(one, seed=7)
        assert bring(tmp_path, keep_names=True).versions == 1
    assert bring.twin(known).version == bring.twin(neutral).version == 2
