"""Headers that want too much are refused in time: what is counted is no less than what it takes."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medgrid.images import bounded
from medgrid.images.deidentify import clean_text, scrubber_of
from medgrid.images.derive import NoDerivative, derive
from medgrid.images.dicom import full_header, header_of
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from tests.images.test_tags import sequences
from tests.lab.dicoms import instance
from tests.lab.hostile import element, with_element

COUNT = 5000
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
MANY: dict[str, Callable[[], bytes]] = {
    "items": lambda: element(0x00081140, b"SQ", ITEM * COUNT),
    "items of no defined end": lambda: (
        element(0x00081140, b"SQ", b"", 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        + b"".join(element(0x00080100, b"OB", b"") for _ in range(COUNT))
        + struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    ),
    "zeros for items": lambda: element(0x00081140, b"SQ", bytes(8 * COUNT)),
    "elements": lambda: b"".join(
        element(0x00090000 + at, b"UT", b"") for at in range(0x1000, 0x1000 + COUNT)
    ),
    "names": lambda: struct.pack("<HH2sH", 0x0008, 0x1070, b"PN", 2 * COUNT) + b"a\\" * COUNT,
    "decimals": lambda: struct.pack("<HH2sH", 0x0008, 0x1160, b"DS", 2 * COUNT) + b"1\\" * COUNT,
    "numbers": lambda: struct.pack("<HH2sH", 0x0008, 0x1197, b"US", 2 * COUNT) + b"\1\2" * COUNT,
}


@pytest.fixture
def weighed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What is spent on each header; all are weighed, however small."""
    left: list[int] = []
    spend = bounded._Budget.spend

    def record(budget: bounded._Budget, size_bytes: int) -> None:
        spend(budget, size_bytes)
        left.append(bounded._MAX_MEMORY_BYTES - budget.left_bytes)

    monkeypatch.setattr(bounded._Budget, "spend", record)
    monkeypatch.setattr(bounded, "EASY_BYTES", 0)
    yield left


@pytest.mark.parametrize("kind", MANY)
def test_what_is_counted_is_no_less_than_what_it_takes(kind: str, weighed: list[int]) -> None:
    data = with_element(MANY[kind]())
    full_header(io.BytesIO(data))  # all code is loaded, caches are full
    weighed.clear()
    tracemalloc.start()
    try:
        ds = full_header(io.BytesIO(data))
        for tag in list(ds.keys()):
            ds[tag]
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ds) > 50
    assert taken_bytes < weighed[-1]


@pytest.mark.parametrize("kind", MANY)
def test_more_than_the_bound_is_refused(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = with_element(MANY[kind]())
    assert len(full_header(io.BytesIO(data))) > 50
    monkeypatch.setattr(bounded, "_MAX_MEMORY_BYTES", 100_000)
    monkeypatch.setattr(bounded, "EASY_BYTES", 1000)
    with pytest.raises(ValueError, match=r"^its header would take more than 0 MiB of memory$"):
        full_header(io.BytesIO(data))
    with pytest.raises(NoDerivative, match=r"^its header would take more"):
        derive(io.BytesIO(data), PatientKeys.of(bytes(32), "P-1"))


def test_no_small_header_can_go_beyond_the_bound() -> None:
    dearest = max(
        bounded._ITEM_BYTES / len(ITEM),
        bounded._VALUE_BYTES / len(b"a\\"),
        bounded._PER_NUMBER_BYTE,
    )
    assert bounded.EASY_BYTES * (dearest + 1) < bounded._MAX_MEMORY_BYTES


def test_large_sequences_are_read_as_pydicom_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = instance(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎")
    ds.ReferencedStudySequence = [sequences(4, undefined=False)] * 3
    ds.ReferencedStudySequence[0].PatientName = "山田^花子"
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    plain = full_header(io.BytesIO(buffer.getvalue()))
    monkeypatch.setattr(bounded, "EASY_BYTES", 0)
    found = full_header(io.BytesIO(buffer.getvalue()))
    assert found == plain
    assert str(found.ReferencedStudySequence[0].PatientName) == "山田^花子"


def test_a_patient_of_a_thousand_names_is_refused() -> None:
    names = "\\".join(f"Name{number}" for number in range(1025))
    ds = instance(OtherPatientNames=names.split("\\"))
    with pytest.raises(ValueError, match=r"^names its patient in more than 1024 words$"):
        scrubber_of(ds)


def test_a_text_of_separators_is_scrubbed_in_one_go() -> None:
    text = "Meier" + " _" * 30_000 + "T1"  # took minutes: the square of its length
    assert clean_text(text, Scrubber(["Meier"])) == "T1"
    assert clean_text(text * 2, Scrubber(["Meier"])) == "", "too long to be a description"


def test_a_header_of_thousands_of_parts_ends_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgrid.images.tags._MAX_STEPS", 1000)
    path = tmp_path / "a.dcm"
    for kind in ("items of no defined end", "elements"):
        path.write_bytes(with_element(MANY[kind]()))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            found = header_of(descriptor, path.stat().st_size)
        finally:
            os.close(descriptor)
        assert found is not None
        assert found.problem == "has more than 1000 elements, items or fragments"
