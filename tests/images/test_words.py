"""Descriptions are made of known words; names, dates and long numbers are none."""

from __future__ import annotations

import io
import json
import pickle

import pytest

from medgrid.images.codes import clean_code, meaning_of
from medgrid.images.deidentify import clean_text, label
from medgrid.images.metadata import SeriesMetadata
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.words import SHIPPED, Vocabulary, normal
from tests.lab.dicoms import encoded, instance
from tests.lab.twins import derive_instance
from tests.words.make import VOCABULARY, terms

KEYS = PatientKeys.of(b"k" * 32, "P-1")


@pytest.mark.parametrize(
    "text",
    [
        "t1_mprage_sag_p2_iso",
        "AxT2FLAIR",
        "AXT2FLAIR",
        "DTIphase_FLAIRSag",
        "T1w_MPR",
        "ep2d_diff_mddw_64_p2",
        "FLAIR3D",
        "2mm",
        "0.8x0.8x0.8mm",
        "TE30 TR2000",
        "TR 2000 TE 30",
        "b1000",
        "noPAT_ES0p59_BW2222",
        "*tfl3d1_16ns",
        "MNI152NLin2009cAsym",
        "stopsignalwithmanualresponse",
        "3 Tesla",
        "1 1 1",
        "2_2_2",
        "T1 (axial)",
        "Schädel T1",
        "100µs",
        "CT HEAD W/O CONTRAST",
        "Head w/ contrast",
        "ABD_W_O_CONTRAST",
        "Head +C",
        "T1-C sag",
        "Kopf o. KM",
        "Kopf m.KM",
        "Axial EPI (Interleaved S to I)",
        "DWI A>>P",
        "DWI A->P",
    ],
)
def test_what_protocols_are_called_passes_as_it_is_written(text: str) -> None:
    assert SHIPPED.sift(normal(text)) == (normal(text), ())


@pytest.mark.parametrize(
    ("text", "clean", "held"),
    [
        ("T1 KOWALCZYK", "T1", ["KOWALCZYK"]),
        ("T1AnnaTesta", "T1", ["AnnaTesta"]),
        ("HEAD^Harms", "HEAD", ["Harms"]),
        ("T2 (Smith) sag", "T2 sag", ["Smith"]),
        ("T1 M\u00fcller", "T1", ["Müller"]),
        ("T1 \u5c71\u7530", "T1", ["\u5c71\u7530"]),
        ("kneebone T1", "T1", ["kneebone"]),
        ("whitehead", "", ["whitehead"]),
        ("axial Smith2", "axial 2", ["Smith"]),
        ("Dr. Hand Foot T1", "T1", ["Dr", "Hand", "Foot"]),
        ("T1 W O Smith", "T1", ["W", "O", "Smith"]),
        ("M. Kowalczyk T1 -Carla", "T1", ["M", "Kowalczyk", "Carla"]),
        ("Axial S to Inge", "Axial to", ["S", "Inge"]),
        ("T1 T E S T A", "T1", ["T", "E", "S", "A"]),
        ("T1 SMI\u200bTH", "T1", ["SMITH"]),
        ("\uff2b\uff4f\uff57\uff41\uff4c T1", "T1", ["Kowal"]),
        ("\u0410x T1", "T1", ["\u0410x"]),  # a Cyrillic letter
    ],
)
def test_other_words_are_held_back(text: str, clean: str, held: list[str]) -> None:
    found = SHIPPED.sift(normal(text))
    assert (found.text, list(found.held)) == (clean, held)


@pytest.mark.parametrize(
    "date",
    [
        *("10.03.20", "10 Mar 2020", "20Mar10", "1.1.50", "3/2/61", "1961-02-03", "24.12."),
        *("20200310", "200310", "03.2020", "2020", "10_03_2020", "4.April", "10:15:30", "24/12"),
        *(
            "0611 555 0199",
            "06115550199",
            "4711 0815",
            "77-11-22-33",
            "12345",
            "1234",
            "1.2.840.113",
        ),
    ],
)
def test_dates_and_long_numbers_never_pass(date: str) -> None:
    found = SHIPPED.sift(normal(f"T1 {date}"))
    assert found.text in ("T1", "T1 24.12") if date == "24.12." else found.text == "T1"


@pytest.mark.parametrize(
    "name",
    [
        *("PTV_6000", "SpinalCord_PRV05", "CTV_High", "PTV 66 Gy", "Isodose 4750"),
        *("Lung_L", "Femur Head L", "C7", "Left kidney", "optic nerve (left)"),
    ],
)
def test_what_structures_are_called(name: str) -> None:
    assert SHIPPED.knows(name, "structure")


@pytest.mark.parametrize("name", ["Meier left", "Hubers Tumor", "Heart 1950", "PTV house"])
def test_what_structures_are_not_called(name: str) -> None:
    assert not SHIPPED.knows(name, "structure")


def test_some_words_stand_in_one_place_alone() -> None:
    assert not SHIPPED.knows("chest wall") and SHIPPED.knows("chest wall", "structure")
    assert not SHIPPED.knows("house") and SHIPPED.knows("house", "table")


def test_a_grid_releases_words_of_its_own() -> None:
    own = pickle.loads(pickle.dumps(Vocabulary(["Harmonix", "Müller"])))  # noqa: S301
    assert own.sift("T1 HARMONIX Mueller Muller").text == "T1 HARMONIX Mueller"
    assert own.sift("harmonixT1").text == "harmonixT1"


def test_a_device_may_name_itself_and_no_patient_changes_that() -> None:
    scrub = Scrubber(["Philips", "Prisma", "E11"])
    assert clean_text("Philips Prisma", scrub, "ManufacturerModelName") == "Philips Prisma"
    assert clean_text("Philips Prisma T1", scrub) == "T1"
    assert clean_text("syngo MR VE11C 2.10.4 Harms", scrub, "SoftwareVersions") == (
        "syngo MR VE11C 2.10.4"
    )
    assert clean_text("syngo E11", scrub, "SoftwareVersions") == "syngo", "an id of the patient"
    assert scrub.held == {"Harms"}


@pytest.mark.parametrize(
    ("keyword", "text", "passes"),
    [
        ("ImageType", "ORIGINAL", True),
        ("ImageType", "T1 MAP", True),
        ("ImageType", "THICK SAG", True),
        ("ImageType", "KOWALCZYK", False),
        ("BodyPartExamined", "head", True),
        ("BodyPartExamined", "CANARY", False),
        ("PatientPosition", "HFS", True),
        ("PatientPosition", "HEAD", False),
        ("Laterality", "L", True),
        ("ContourGeometricType", "CLOSED_PLANAR", True),
        ("RTROIInterpretedType", "PTV", True),
        ("BurnedInAnnotation", "MEIER", False),
        ("SomethingElse", "YES", True),
        ("SomethingElse", "MEIER", False),
    ],
)
def test_codes_are_codes_of_their_table(keyword: str, text: str, passes: bool) -> None:
    scrub = Scrubber(["Original", "L", "HFS"])  # whatever a patient is called
    assert clean_code(keyword, text, scrub) == (text if passes else None)


def test_a_concept_is_one_of_dicoms_tables() -> None:
    meaning = meaning_of("SCT", "12738006")
    assert meaning == meaning_of("SRT", "T-A0100")
    assert (meaning or "").startswith("Brain")
    assert meaning_of("SCT", "7711220815") is None
    assert meaning_of("99MEIER", "1") is None


CANARIES = [
    ("SeriesDescription", "T1 KOWALCZYK", "KOWALCZYK"),
    ("SeriesDescription", "T1 MUELLER", "MUELLER"),
    ("SeriesDescription", "T1AnnaTesta", "Testa"),
    ("ProtocolName", "brain 77-11-22-33", "77-11"),
    ("StudyDescription", "call 0611 555 0199", "0199"),
    ("StudyDescription", "Dr. Canarydoc req", "Canarydoc"),
    ("ImageType", ["ORIGINAL", "PRIMARY", "CANARYIT"], "CANARYIT"),
    ("BodyPartExamined", "CANARYBP", "CANARYBP"),
    ("Manufacturer", "CANARYMF", "CANARYMF"),
    ("ContrastBolusAgent", "CANARYCB", "CANARYCB"),
    ("ReceiveCoilName", "CANARYCO", "CANARYCO"),
    ("SequenceName", "CANARYSQ", "CANARYSQ"),
    ("ScanOptions", ["FS", "CANARYSO"], "CANARYSO"),
    ("SeriesDescription", "T1 10 Mar 2020", "Mar"),
    ("SeriesDescription", "T1 T E S T A", "T E S T A"),
    ("SeriesDescription", "Freifrau T1", "Freifrau"),
]


@pytest.mark.parametrize(("keyword", "value", "canary"), CANARIES)
def test_a_word_that_no_header_explains_is_in_neither_label_catalog_nor_twin(
    keyword: str, value: str | list[str], canary: str
) -> None:
    ds = instance(SeriesDescription="plain")
    setattr(ds, keyword, value)
    twin = io.BytesIO()
    derive_instance(io.BytesIO(encoded(ds)), twin, KEYS)
    series = SeriesMetadata()
    series.add(ds)
    found = series.attributes(KEYS)
    assert canary not in json.dumps(found, ensure_ascii=False) + label(found)
    assert canary.encode() not in twin.getvalue()
    words = {word for word in canary.split() if len(word) > 1 and word.isalpha()}
    assert words <= series.held | {"Mar", "Testa"}


def test_held_words_do_not_tell_the_patient_s_own() -> None:
    ds = instance(SeriesDescription="T1 Meier Kowalczyk")
    series = SeriesMetadata()
    series.add(ds)
    assert series.attributes(KEYS)["SeriesDescription"] == "T1"
    assert series.held == {"Kowalczyk"}


def test_a_released_word_comes_into_label_and_twin() -> None:
    ds = instance(SeriesDescription="Harmonix T1")
    own = Vocabulary(["harmonix"])
    series = SeriesMetadata(own)
    series.add(ds)
    assert label(series.attributes(KEYS)) == "Harmonix_T1"
    assert not series.held


def test_the_vocabulary_is_whole() -> None:
    lines = [
        line.split("\t")
        for line in VOCABULARY.read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    words = {word for word, _ in lines}
    assert terms() <= words, "python -m tests.words.make"
    assert all(word == normal(word).casefold().strip() for word in words)
    assert lines == sorted(lines, key=lambda line: line[::-1])
    for month in ("mar", "may", "jan", "dec", "rose", "willis", "meyer", "li", "kim"):
        assert month not in words
