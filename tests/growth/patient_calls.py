"""Calls of the store of what is known of patients and visits, and questions for it."""

from __future__ import annotations

from collections.abc import Callable

from medgrid.catalog import Catalog
from medgrid.catalog.patient_attributes import Given
from medgrid.catalog.query import parse
from tests.growth.calls import BOTH, FIXED, GRID, INSIDERS, SHARE, Call
from tests.growth.world import DOCTOR, World

__all__ = ["CALLS"]

_FIXED_QUESTIONS = (
    "arm=treated and PatientID=P-0000000003",
    "score>3 and PatientID=P-0000000003",
    "group='group 1' and PatientID=P-0000000003",
    "not score>3 and PatientID=P-0000000003",
    "arm='arm 7'",
)
_WIDE_QUESTIONS = (
    "arm=treated and score>3",
    "not arm=treated",
    "group='group 1'",
    "arm~'*zz*'",
    "score is unknown",
)


def _ask(question: str) -> Callable[[Catalog, World, int], object]:
    return lambda c, w, n: c.objects.lfns(parse(question))


def _show(column: str) -> Callable[[Catalog, World, int], object]:
    return lambda c, w, n: c.objects.select(parse("/t/"), ["lfn", column], (), n)


def _given(world: World, count: int, name: str = "score") -> list[Given]:
    return [Given(one, "", name, 1.5) for one in world.some(world.patients, count)]


CALLS: list[Call[Catalog]] = [
    *(Call(f"objects.lfns [{one}]", _ask(one), FIXED) for one in _FIXED_QUESTIONS),
    *(Call(f"objects.lfns [{one}]", _ask(one), SHARE) for one in _WIDE_QUESTIONS),
    *(
        Call(f"objects.select [{one}]", _show(one), BOTH, INSIDERS)
        for one in ("arm", "score", "group")
    ),
    Call(
        "objects.select [sort score]",
        lambda c, w, n: c.objects.select(parse("/t/"), ["lfn"], ("-score",), 10),
        SHARE,
    ),
    Call(
        "patient_attributes.of",
        lambda c, w, n: c.patient_attributes.of(w.some(w.patients, n)),
    ),
    Call(
        "patient_attributes.history",
        lambda c, w, n: c.patient_attributes.history(w.some(w.patients, n)),
    ),
    Call("patient_attributes.names", lambda c, w, n: c.patient_attributes.names(), FIXED),
    Call("patient_attributes.known", lambda c, w, n: c.patient_attributes.known("arm"), FIXED),
    Call(
        "patient_attributes.visits",
        lambda c, w, n: c.patient_attributes.visits(w.some(w.patients, n)),
    ),
    Call(
        "patient_attributes.codes_for",
        lambda c, w, n: c.patient_attributes.codes_for("dose", DOCTOR),
        FIXED,
    ),
    Call(
        "patient_attributes.give",
        lambda c, w, n: c.patient_attributes.give(_given(w, n), DOCTOR),
        BOTH,
        INSIDERS,
        writes=True,
    ),
    Call(
        "patient_attributes.give [table]",
        lambda c, w, n: c.patient_attributes.give(_given(w, n), DOCTOR, source="participants.tsv"),
        BOTH,
        INSIDERS,
        writes=True,
    ),
    Call(
        "patient_attributes.hold_codes",
        lambda c, w, n: c.patient_attributes.hold_codes("dose"),
        FIXED,
        GRID,
        writes=True,
    ),
    Call(
        "patient_attributes.seal_codes",
        lambda c, w, n: c.patient_attributes.seal_codes("dose", {DOCTOR: "sealed:y"}, DOCTOR),
        FIXED,
        GRID,
        writes=True,
    ),
    Call(
        "patient_attributes.release_codes",
        lambda c, w, n: c.patient_attributes.release_codes("dose", {"code 1": "high"}, DOCTOR),
        FIXED,
        GRID,
        writes=True,
    ),
]
