"""Something telling in every attribute of PS3.15 table E.1-1, and of the whole data dictionary.

The table is that of the package dicom-anonymizer, which has it from the standard.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

import pytest
from pydicom._dicom_dict import DicomDictionary

from medgrid.images.encode import Element, Syntax, elements, file_meta, item
from medgrid.images.kept import is_kept
from medgrid.images.patient import MAX_SHIFT_DAYS, PatientKeys
from medgrid.images.pixels import PIXEL_TAGS
from tests.lab.twins import derive_instance

KEYS = PatientKeys.of(b"k" * 32, "P-7F3KQ2M9XA")
TABLE = "dicomanonymizer.dicom_anonymization_databases.dicomfields_2026c"

PATIENT_CHARACTERISTICS = {"PatientAge", "PatientSize", "PatientWeight"}
"""Option 113108, which also keeps PatientSex when it is a sex."""

KEPT_BY_OPTION = PATIENT_CHARACTERISTICS
SEQUENCES_WITH_NEW_UIDS = {"ReferencedImageSequence", "SourceImageSequence"}
"""Action U* of the basic profile: they stay, the UIDs in them are replaced."""

SYNTAXES = [
    Syntax("1.2.840.10008.1.2.1"),
    Syntax("1.2.840.10008.1.2", is_implicit=True),
    Syntax("1.2.840.10008.1.2.2", order=">"),
]
IN_SEQUENCE = 0x00180050  # SliceThickness, which the allow-list keeps
_FRAME_CONTENT, _SHARED, _REGION, _NESTED_PRIVATE = 0x00209111, 0x52009229, 0x00082218, 0x00291001
_VENDOR = 0x2005140F  # a private sequence whose items are kept


class Canaries:
    """Values that are found nowhere else, each with the keyword it was given to."""

    def __init__(self, syntax: Syntax) -> None:
        self.syntax = syntax
        self.of: dict[bytes, str] = {}
        self._count: Counter[str] = Counter()

    def value(self, vr: str, keyword: str) -> bytes:
        """A canary that is a valid value, remembered."""
        vr = vr.split(" or ")[0]
        self._count[vr] += 1
        number = self._count[vr]
        if vr == "SQ":
            return self._sequence(keyword)
        if vr in ("DA", "DT"):
            # further apart than dates move, so that none moves onto another
            day = date(1970, 1, 1) + timedelta((MAX_SHIFT_DAYS + 7) * number)
            text = f"{day:%Y%m%d}" + ("101112.131415" if vr == "DT" else "")
        elif vr == "TM":
            text = f"{number % 24:02d}1112.{900000 + number}"
        elif vr == "UI":
            text = f"1.2.826.0.1.3680043.10.511.9.{77000 + number}"
        elif vr in ("DS", "IS"):
            text = f"79{number:05d}31"
        elif vr == "AS":
            text = f"{500 + number}W"
        else:
            text = f"QX{number:04d}{vr}QX{number:04d}{vr}"[:16]
        self.of[text.encode("ascii")] = keyword
        return text.encode("ascii")

    def _sequence(self, keyword: str) -> bytes:
        inner = [
            (IN_SEQUENCE, "DS", self.value("DS", keyword)),
            (0x0040A160, "UT", self.value("UT", f"{keyword}/TextValue")),
            (0x00081155, "UI", self.value("UI", f"{keyword}/ReferencedSOPInstanceUID")),
        ]
        return item(elements(inner, self.syntax), self.syntax)

    def found_in(self, data: bytes) -> set[str]:
        """Keywords whose canaries are in `data`, in any encoding."""
        survivors = set()
        for canary, keyword in self.of.items():
            text = canary.decode("ascii")
            if any(form in data for form in (canary, text.encode("utf-16-le"), reverse(canary))):
                survivors.add(keyword)
        return survivors


def reverse(canary: bytes) -> bytes:
    """A canary as it would be after its bytes were swapped in pairs."""
    even = canary + b" " * (len(canary) % 2)
    return b"".join(even[at : at + 2][::-1] for at in range(0, len(even), 2))


@cache
def table() -> dict[int, str]:
    """Tags of table E.1-1 that a dataset may hold, curves and overlays at two places."""
    found = {}
    for tag in importlib.import_module(TABLE).ALL_TAGS:
        groups = [tag[0]] if len(tag) == 2 else [tag[0], tag[0] + 2]
        for group in groups:
            number = group << 16 | tag[1]
            if number >> 16 & 1 or number in PIXEL_TAGS or group in (0, 2):
                continue
            found[number] = DicomDictionary.get(number, ("", "", "", "", hex(number)))[4]
    return found


def canary_elements(canaries: Canaries, tags: dict[int, str]) -> list[Element]:
    found = []
    for tag, keyword in sorted(tags.items()):
        vr = DicomDictionary.get(tag, ("LO",))[0]
        if vr in ("NONE", "UN"):
            vr = "LO"
        found.append((tag, vr.split(" or ")[0], canaries.value(vr, keyword)))
    return found


def image(syntax: Syntax, inner: list[Element]) -> bytes:
    """An MR image that holds elements; its pixels are zeros."""
    short = struct.Struct(f"{syntax.order}H").pack
    own: list[Element] = [
        (0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.4"),
        (0x00080018, "UI", b"1.2.3.4"),
        (0x00080060, "CS", b"MR"),
        (0x00280002, "US", short(1)),
        (0x00280010, "US", short(4)),
        (0x00280011, "US", short(4)),
        (0x00280100, "US", short(16)),
    ]
    taken = {tag for tag, _, _ in own}
    every = own + [one for one in inner if one[0] not in taken]
    data = elements(every, syntax) + syntax.head(0x7FE00010, "OW", 32) + bytes(32)
    return file_meta("1.2.840.10008.5.1.4.1.1.4", "1.2.3.4", syntax) + data


def derived(data: bytes) -> bytes:
    target = io.BytesIO()
    derive_instance(io.BytesIO(data), target, KEYS)
    return target.getvalue()


def places(syntax: Syntax, inner: list[Element]) -> Iterator[tuple[str, list[Element]]]:
    """The same elements at the top, deeper, and in a private sequence."""

    def within(tag: int, found: list[Element]) -> list[Element]:
        return [(tag, "SQ", item(elements(found, syntax), syntax))]

    yield "top", inner
    yield "frame", within(_SHARED, within(_FRAME_CONTENT, inner))
    yield "code", within(_REGION, inner)
    creator = (_VENDOR & 0xFFFF0000 | 0x14, "LO", b"Philips MR Imaging DD 005")
    yield "vendor", [creator, *within(_VENDOR, inner)]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big"])
@pytest.mark.parametrize("place", ["top", "frame", "code", "vendor"])
def test_nothing_of_the_table_survives_but_what_options_keep(syntax: Syntax, place: str) -> None:
    canaries = Canaries(syntax)
    inner = dict(places(syntax, canary_elements(canaries, table())))[place]
    source = image(syntax, inner)
    expected = set(canaries.of.values()) - {"SOPInstanceUID"}
    assert expected <= canaries.found_in(source) | {"SOPInstanceUID"}
    assert len(expected) > 600
    assert canaries.found_in(derived(source)) == KEPT_BY_OPTION | SEQUENCES_WITH_NEW_UIDS


@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big"])
@pytest.mark.parametrize("place", ["top", "frame", "code", "vendor"])
def test_nothing_survives_that_is_not_on_the_allow_list(syntax: Syntax, place: str) -> None:
    tags = {
        tag: keyword
        for tag, (_, _, _, _, keyword) in DicomDictionary.items()
        if not is_kept(tag) and keyword and tag >> 16 > 4 and tag >> 16 < 0x7FE0
    }
    assert len(tags) > 3500
    canaries = Canaries(syntax)
    inner = dict(places(syntax, canary_elements(canaries, tags)))[place]
    source = image(syntax, inner)
    assert len(canaries.found_in(source)) > 3000
    assert canaries.found_in(derived(source)) == set()


@pytest.mark.parametrize("syntax", SYNTAXES[:1] + SYNTAXES[2:], ids=["explicit", "big"])
def test_no_private_element_survives(syntax: Syntax) -> None:
    canaries = Canaries(syntax)
    creator = (0x00290010, "LO", canaries.value("LO", "creator"))
    inner = [
        creator,
        (0x00291002, "LO", canaries.value("LO", "private text")),
        (0x00291003, "OB", canaries.value("OB", "private bytes")),
        (_NESTED_PRIVATE, "SQ", canaries.value("SQ", "private sequence")),
    ]
    for _, found in places(syntax, inner):
        assert canaries.found_in(derived(image(syntax, found))) == set()


@pytest.mark.parametrize("vr", ["LO", "UT", "UN", "OB", "ST", "PN", "FD"])
def test_an_element_with_a_false_representation_does_not_survive(vr: str) -> None:
    syntax = SYNTAXES[0]
    canaries = Canaries(syntax)
    tags = [0x00280010, 0x00180050, 0x00080020, 0x00180015, 0x0020000D, 0x00281201, 0x00080030]
    inner = [
        (tag, vr, canaries.value("LO", f"{tag:08x}"))
        for tag in tags
        if vr not in ("UN", "OB") or tag != 0x00281201  # look-up tables are any bytes
    ]
    data = image(syntax, [(0x00100010, "PN", b"QX^" + b"QX"), *inner])
    assert canaries.found_in(derived(data)) <= {"00180015"}


def test_the_table_is_the_current_one() -> None:
    assert len(table()) > 600
    assert set(table().values()) >= KEPT_BY_OPTION
