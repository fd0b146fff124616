"""The shipped DICOM names against pydicom's, and the manual against the code."""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from medgrid.catalog.attributes import ALIASES, COLUMNS
from medgrid.catalog.dictionary import dicom, keywords
from medgrid.catalog.query import parse
from medgrid.catalog.query_fields import VIRTUAL

MANUAL = Path(__file__).parents[2] / "man" / "medgrid-query.7"


def test_names_and_types_are_pydicoms() -> None:
    assert len(keywords()) > 3000
    for keyword in keywords():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        found = dicom(keyword)
        assert found is not None
        assert dictionary_VR(tag).startswith(found.vr)
        assert dicom(f"({tag >> 16:04x},{tag & 0xFFFF:04x})") == found


def test_tags_of_columns_are_pydicoms() -> None:
    for spec in COLUMNS.values():
        if spec.tag is not None:
            assert keyword_for_tag(int(spec.tag.strip("()").replace(",", ""), 16)) == spec.name
        elif spec.name[0].isupper():
            assert tag_for_keyword(spec.name) is None


def test_the_manual_names_every_attribute() -> None:
    words = set(re.findall(r"[\w]+", MANUAL.read_text()))
    for name in (*COLUMNS, *VIRTUAL, *ALIASES, "lfn", "dataset", "derived_from", "job"):
        if name != "NumberOfInstances":
            assert name in words, name


def test_the_manuals_questions_are_understood() -> None:
    text = MANUAL.read_text()
    block = text.partition(".Bd -literal -offset indent\n")[2].partition(".Ed")[0]
    lines = block.strip().splitlines()
    assert len(lines) == 5
    for line in lines:
        assert parse(line).root is not None
