"""Dates and UIDs that stand for a patient's."""

from __future__ import annotations

from datetime import date, datetime

from hypothesis import given
from hypothesis import strategies as st

from medgrid.images.patient import MAX_SHIFT_DAYS, PatientKeys, is_standard_uid

KEY = b"k" * 32
PSEUDONYMS = st.text(min_size=1, max_size=20)
DAYS = st.dates(min_value=date(1900, 1, 1))


def days_between(first: str | None, second: str | None) -> int:
    assert first is not None
    assert second is not None
    return (date.fromisoformat(second) - date.fromisoformat(first)).days


@given(PSEUDONYMS, DAYS, DAYS)
def test_intervals_stay_true(pseudonym: str, first: date, second: date) -> None:
    keys = PatientKeys.of(KEY, pseudonym)
    moved = [keys.day(day.isoformat()) for day in (first, second)]
    assert days_between(*moved) == (second - first).days
    assert 1 <= days_between(moved[0], first.isoformat()) <= MAX_SHIFT_DAYS


@given(PSEUDONYMS, st.datetimes(min_value=datetime(1900, 1, 1)), st.datetimes(datetime(1900, 1, 1)))
def test_intervals_stay_true_to_the_second(
    pseudonym: str, first: datetime, second: datetime
) -> None:
    keys = PatientKeys.of(KEY, pseudonym)
    moved = []
    for one in (first, second):
        found = keys.moment(one.date().isoformat(), f"{one:%H%M%S.%f}")
        assert found is not None
        moved.append(datetime.strptime(" ".join(found), "%Y-%m-%d %H%M%S.%f"))
        assert keys.time(f"{one:%H%M%S}") == found[1].partition(".")[0]
    assert moved[1] - moved[0] == second - first
    assert abs((first - moved[0]).total_seconds() - keys.shift_days * 86400) <= 43200


def test_what_is_no_moment_is_none() -> None:
    keys = PatientKeys.of(KEY, "P-1")
    assert keys.moment("2021-03-04", "25") is None
    assert keys.moment("", "101112") is None
    assert keys.moment("0001-01-01", "101112") is None
    assert keys.time("noon") is None
    assert keys.told_day("2021-03-04") == keys.day("2021-03-04")


def test_what_stands_for_them_is_the_same_always() -> None:
    keys = PatientKeys.of(KEY, "P-1")
    assert keys == PatientKeys.of(KEY, "P-1")
    assert keys.shift_days == 477
    assert keys.day("2021-03-04") == "2019-11-13"
    assert keys.uid("1.2.3") == "2.25.255891669973754632583346664421929155939"


def test_another_patient_or_grid_has_others() -> None:
    mine = PatientKeys.of(KEY, "P-1")
    for other in (PatientKeys.of(KEY, "P-2"), PatientKeys.of(b"j" * 32, "P-1")):
        assert other.uid("1.2.3") != mine.uid("1.2.3")
        assert other.shift_days != mine.shift_days


def test_what_dicom_defines_is_kept() -> None:
    keys = PatientKeys.of(KEY, "P-1")
    for uid in ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.4.1.1", ""):
        assert keys.uid(uid) == uid
    assert not is_standard_uid("1.2.840.10008.5.1.4.1.1.4.4711")


def test_what_is_no_date_is_none() -> None:
    keys = PatientKeys.of(KEY, "P-1")
    assert keys.day("soon") is None
    assert keys.day("0001-01-01") is None


def test_dates_in_labels_move() -> None:
    keys = PatientKeys.of(KEY, "P-1")
    assert keys.text("ses-20210304_run-1") == "ses-20191113_run-1"
    assert keys.text("ses-pre acq-123456789 19991399") == "ses-pre acq-123456789 19991399"


@given(PSEUDONYMS, st.dates(date(1910, 1, 1), date(2090, 1, 1)))
def test_dates_in_labels_move_back(pseudonym: str, day: date) -> None:
    keys = PatientKeys.of(KEY, pseudonym)
    label = f"ses-{day:%Y%m%d}_run-19991399"
    assert keys.text(label) != label
    assert keys.back(keys.text(label)) == label
    assert keys.back_day(keys.day(day.isoformat()) or "") == day.isoformat()


def test_the_key_is_not_shown() -> None:
    assert "k" * 8 not in repr(PatientKeys.of(KEY, "P-1"))
