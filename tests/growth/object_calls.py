"""Calls of the stores of objects, datasets, provenance and algorithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from medgrid.catalog import Catalog
from medgrid.catalog.objects import Naming, Registration
from medgrid.catalog.provenance import Derivation
from medgrid.catalog.query import parse
from medgrid.errors import MedgridError
from medgrid.model import (
    LFN,
    Algorithm,
    DataClass,
    GridObject,
    JobId,
    ObjectId,
    ObjectKind,
    Replica,
    Review,
    Sha256,
)
from tests.growth.calls import BOTH, FIXED, GRID, INSIDERS, SHARE, Call
from tests.growth.world import NOW_S, World

__all__ = ["CALLS"]

T = TypeVar("T")
Catalogued = Callable[[Catalog, World, int], object]

_FIXED_QUESTIONS = (
    "PatientID=P-0000000003",
    "Modality=MR and StudyDate=2012-01-03 and PatientID=P-0000000003",
    "FlipAngle=30 and PatientID=P-0000000003",
    "note=word3 and PatientID=P-0000000003",
    "visits>=6 and PatientID=P-0000000003",
    "/t/0/P-0000000003/",
    "/t/0/P-0000000003/*",
    "dataset=big and PatientID=P-0000000003",
    "not dataset=big and PatientID=P-0000000003",
    "dataset=live and PatientID=P-0000000003",
    "SeriesDescription~'T1w 7' and PatientID=P-0000000003",
    "algorithm=seg and PatientID=P-0000000003",
    "worker=w1 and PatientID=P-0000000003",
    "se=s1 and PatientID=P-0000000003",
    "replicas<3 and PatientID=P-0000000003",
    "not Modality=MR and PatientID=P-0000000003",
    "class=nominative and PatientID=P-0000000003",
    "StudyInstanceUID=1.2.7 or StudyInstanceUID=1.2.8",
    "ProtocolName='protocol 7'",
    "ProtocolName between 'late 51' and 'late 52'",
    "created>2040",
    "visits>6",
)
_OWN_QUESTIONS = ("derived_from=/t/0/P-0000000000/s1", "job=1.3")
_WIDE_QUESTIONS = (
    "FlipAngle=30 or vol=3 or note=word3",
    "vol<2",
    "note~'zz*'",
    "SeriesDescription~'*zz*'",
    "derived_from=/flat/f0",
)
_COLUMNS = (
    *("vol", "FlipAngle", "visits", "se", "se_site", "derived_from", "input.t1"),
    *("job", "worker", "algorithm", "replicas", "class"),
)
_SORTS = ("vol", "FlipAngle", "visits", "-PatientAge", "se", "replicas")


def _new(
    world: World, count: int, names: Sequence[LFN] = (), tag: str = "new"
) -> list[Registration]:
    """Objects to be registered, of all patients by turns, or under LFNs that are there."""
    found = []
    for number in range(count):
        key = ObjectId(f"{tag}{number}".encode().hex().zfill(32))
        item = GridObject(
            key,
            names[number] if names else LFN(f"/{tag}/f{number}"),
            ObjectKind.FILE,
            "f",
            1,
            Sha256(key * 2),
            data_class=DataClass.IMAGE,
            owner="doctor",
            attributes={"FlipAngle": number % 90},
        )
        found.append(
            Registration(
                item,
                (Replica(key, "s1", f"n/{key}", 1, Sha256(key * 2)),),
                patient=None if names else world.patients[number % len(world.patients)],
                user_attributes={"vol": 1.0} if number % 10 == 0 else {},
            )
        )
    return found


def _register_twice(catalog: Catalog, world: World, count: int) -> None:
    again = [*_new(world, count), *_new(world, 1, tag="again")]
    again[-1] = _new(world, 1, [LFN("/new/f0")], "again")[0]
    with suppress(MedgridError):
        catalog.objects.register(again)


def _namings(world: World, count: int) -> list[Naming]:
    return [
        Naming(
            id_,
            LFN(f"/named/x{n}"),
            {"vol": 1.0, "PatientID": world.patients[n % len(world.patients)]},
        )
        for n, id_ in enumerate(world.some(world.outputs, count))
    ]


def _replica(id_: ObjectId, folder: str) -> Replica:
    return Replica(id_, "s1", f"{folder}/{id_}", 10, Sha256("0" * 64))


def _rekey(catalog: Catalog, world: World, count: int) -> None:
    for item in catalog.objects.by_ids(world.some(world.ids, count)).values():
        new = _replica(item.id, "new")
        catalog.objects.reserve(item.id, new.se, new.pfn)
        catalog.objects.rekey(item, ObjectId(item.id[::-1]), Sha256("1" * 64), [new])


def _derivations(world: World, count: int) -> list[Derivation]:
    found = []
    for number in range(count):
        made = ObjectId(f"made{number}".encode().hex().zfill(32))
        source = world.ids[number]
        found.append(
            Derivation(
                ObjectId(f"run{number}".encode().hex().zfill(32)),
                Sha256("a" * 64),
                "seg@1",
                {"t1": [source]},
                {"out": [made]},
                job=JobId(1, number + 1),
                output_inputs={made: [source]},
            )
        )
    return found


def _each(do: Callable[[T], object], values: Iterable[T]) -> None:
    for one in values:
        do(one)


def _rename_all(catalog: Catalog, world: World, count: int) -> None:
    for one in world.some(world.lfns[1::2], count):
        catalog.objects.rename(one, LFN(f"{one}.new"))


def _rename_many(catalog: Catalog, world: World, count: int) -> None:
    lfns = world.some(world.lfns[1::2], count)
    catalog.objects.rename_many({one: LFN(f"{one}.new") for one in lfns})


def _name_all(catalog: Catalog, world: World, count: int) -> None:
    for number, id_ in enumerate(world.some(world.outputs, count)):
        catalog.objects.name(id_, LFN(f"/n/{number}"))


def _set_all(catalog: Catalog, world: World, count: int) -> None:
    for id_ in world.some(world.ids, count):
        catalog.objects.set_attributes(id_, {"vol": 3.0, "FlipAngle": 7})


def _copy_all(catalog: Catalog, world: World, count: int) -> None:
    for id_ in world.some(world.ids, count):
        catalog.objects.add_replica(_replica(id_, "new"))


def _drop_all(catalog: Catalog, world: World, count: int) -> None:
    for id_ in world.some(world.ids, count):
        catalog.objects.remove_replica(id_, "s1", f"{id_[:2]}/{id_}")


def _reserve_all(catalog: Catalog, world: World, count: int) -> None:
    for id_ in world.some(world.ids, count):
        catalog.objects.reserve(id_, "s1", f"n/{id_}")


def _ask(question: str) -> Catalogued:
    return lambda c, w, n: c.objects.lfns(parse(question))


def _show(column: str) -> Catalogued:
    return lambda c, w, n: c.objects.select(parse("/t/"), ["lfn", column], (), n)


def _sort(key: str) -> Catalogued:
    return lambda c, w, n: c.objects.select(parse("/t/"), ["lfn"], (key,), 10)


def _places(world: World, count: int) -> list[tuple[str, str]]:
    return [("s1", f"x/{id_}") for id_ in world.some(world.uploads, count)]


_READING: list[Call[Catalog]] = [
    Call(
        "objects.get",
        lambda c, w, n: _each(c.objects.get, w.lfns[1:n:2]),
        FIXED,
        INSIDERS,
    ),
    Call("objects.get [version]", lambda c, w, n: c.objects.get(w.flat_lfns[0], 0), FIXED),
    Call("objects.get_many", lambda c, w, n: c.objects.get_many(w.some(w.lfns, n))),
    Call("objects.by_ids", lambda c, w, n: c.objects.by_ids(w.some(w.ids, n))),
    Call("objects.twins", lambda c, w, n: c.objects.twins(w.some(w.ids[::2], n))),
    Call("objects.versions", lambda c, w, n: c.objects.versions(w.flat_lfns[0]), FIXED),
    Call("objects.version_lfns", lambda c, w, n: c.objects.version_lfns(w.some(w.older, n))),
    Call("objects.current", lambda c, w, n: c.objects.current(w.some(w.older, n))),
    Call("objects.waiting", lambda c, w, n: c.objects.waiting(w.some(w.flat_lfns, n))),
    Call("objects.waiting [all]", lambda c, w, n: c.objects.waiting(), SHARE),
    Call("objects.exists", lambda c, w, n: c.objects.exists(w.lfns[1]), FIXED),
    Call("objects.contents", lambda c, w, n: c.objects.contents(w.some(w.lfns[1::2], n))),
    Call("objects.is_folder", lambda c, w, n: c.objects.is_folder("/t"), FIXED),
    Call("objects.below", lambda c, w, n: c.objects.below("/flat"), SHARE),
    Call("objects.list [root]", lambda c, w, n: c.objects.list("/"), FIXED, INSIDERS),
    Call("objects.list", lambda c, w, n: c.objects.list(w.lfns[0].parent), FIXED, INSIDERS),
    Call("objects.list [flat]", lambda c, w, n: c.objects.list("/flat"), SHARE),
    *(Call(f"objects.lfns [{one}]", _ask(one), FIXED) for one in _FIXED_QUESTIONS),
    *(Call(f"objects.lfns [{one}]", _ask(one), FIXED, INSIDERS) for one in _OWN_QUESTIONS),
    *(Call(f"objects.lfns [{one}]", _ask(one), SHARE) for one in _WIDE_QUESTIONS),
    Call("objects.lfns [limit]", lambda c, w, n: c.objects.lfns(parse("/"), n), FIXED),
    Call("objects.count", lambda c, w, n: c.objects.count(parse("/t/")), SHARE),
    Call(
        "objects.explain",
        lambda c, w, n: c.objects.explain(parse("Modality=MR and (vol<5 or not PatientAge>30)")),
        SHARE,
    ),
    *(Call(f"objects.select [{one}]", _show(one), BOTH, INSIDERS) for one in _COLUMNS),
    *(Call(f"objects.select [sort {one}]", _sort(one), SHARE) for one in _SORTS),
    Call("objects.replicas", lambda c, w, n: c.objects.replicas(w.some(w.ids, n))),
    Call("objects.locate", lambda c, w, n: c.objects.locate(w.some(w.lfns, n))),
    Call("objects.replicas_on", lambda c, w, n: c.objects.replicas_on("s1"), SHARE),
    Call("objects.count_on", lambda c, w, n: c.objects.count_on(["s1"]), SHARE),
    Call("objects.without_replica", lambda c, w, n: c.objects.without_replica(), SHARE),
    Call("objects.reserved", lambda c, w, n: c.objects.reserved(w.some(w.uploads, n))),
    Call("objects.reservations", lambda c, w, n: c.objects.reservations("s1"), SHARE),
    Call(
        "objects.known_at",
        lambda c, w, n: c.objects.known_at("s1", [f"{i[:2]}/{i}" for i in w.some(w.ids, n)]),
    ),
    Call("objects.of_patient", lambda c, w, n: c.objects.of_patient(w.patients[3]), FIXED),
    Call(
        "objects.left_behind",
        lambda c, w, n: c.objects.left_behind(c.objects.by_ids(w.some(w.ids, n)).values()),
    ),
    Call("datasets.list", lambda c, w, n: c.datasets.list(), FIXED),
    Call("datasets.get", lambda c, w, n: c.datasets.get("big"), SHARE),
    Call("datasets.get [live]", lambda c, w, n: c.datasets.get("live"), FIXED),
    Call("datasets.changed", lambda c, w, n: c.datasets.changed("big"), SHARE),
    Call("provenance.made_by", lambda c, w, n: c.provenance.made_by(w.outputs[3]), FIXED),
    Call("provenance.made_by [group]", lambda c, w, n: c.provenance.made_by(w.flat_ids[1]), SHARE),
    Call(
        "provenance.made_by_many",
        lambda c, w, n: c.provenance.made_by_many(w.some(w.outputs, n)),
    ),
    Call(
        "provenance.made_by_many [twins]",
        lambda c, w, n: c.provenance.made_by_many(w.some(w.ids[1::2], n)),
    ),
    Call(
        "provenance.made_from_many", lambda c, w, n: c.provenance.made_from_many(w.ids[: 2 * n : 2])
    ),
    Call("provenance.made_out_of", lambda c, w, n: c.provenance.made_out_of(w.ids[:n])),
    Call("provenance.made_from", lambda c, w, n: c.provenance.made_from(w.ids[0]), FIXED),
    Call(
        "provenance.made_from [all]", lambda c, w, n: c.provenance.made_from(w.flat_ids[0]), SHARE
    ),
    Call("provenance.made_from [group]", lambda c, w, n: c.provenance.made_from(w.ids[1]), SHARE),
    Call("algorithms.get", lambda c, w, n: c.algorithms.get(Sha256("a" * 64)), FIXED),
    Call("algorithms.find", lambda c, w, n: c.algorithms.find("seg"), FIXED),
    Call("algorithms.all", lambda c, w, n: c.algorithms.all(), FIXED),
    Call(
        "algorithms.bundle_object",
        lambda c, w, n: c.algorithms.bundle_object(Sha256("a" * 64)),
        FIXED,
    ),
]


def _write(
    method: str,
    run: Catalogued,
    asked: Sequence[str] = BOTH,
    viewers: Sequence[str | None] = INSIDERS,
) -> Call[Catalog]:
    return Call(method, run, asked, viewers, writes=True)


def _remove_algorithm(catalog: Catalog, world: World, count: int) -> None:
    with suppress(MedgridError):  # it is in use
        catalog.algorithms.remove(Sha256("a" * 64))


_WRITING: list[Call[Catalog]] = [
    _write("objects.rename", _rename_all, FIXED),
    _write("objects.rename_many", _rename_many),
    _write("objects.remove_many", lambda c, w, n: c.objects.remove_many(w.some(w.lfns[1::2], n))),
    _write("objects.remove", lambda c, w, n: _each(c.objects.remove, w.some(w.lfns, n)), FIXED),
    _write("objects.discard", lambda c, w, n: c.objects.discard(w.some(w.outputs, n))),
    _write("objects.promote", lambda c, w, n: c.objects.promote(w.some(w.flat_lfns, n))),
    _write("objects.hold_patients", lambda c, w, n: c.objects.hold_patients(w.some(w.patients, n))),
    _write("objects.register", lambda c, w, n: c.objects.register(_new(w, n))),
    _write(
        "objects.register [replace]",
        lambda c, w, n: c.objects.register(_new(w, n, w.some(w.flat_lfns, n)), replace=True),
    ),
    _write("objects.register [one LFN twice]", _register_twice),
    _write("objects.name", _name_all, FIXED),
    _write("objects.name_many", lambda c, w, n: c.objects.name_many(_namings(w, n))),
    _write("objects.set_attributes", _set_all, FIXED),
    _write("objects.add_replica", _copy_all, FIXED),
    _write("objects.remove_replica", _drop_all, FIXED),
    _write("objects.reserve", _reserve_all, FIXED),
    _write(
        "objects.reserve_many",
        lambda c, w, n: c.objects.reserve_many(
            [(one, "s1", f"n/{one}") for one in w.some(w.ids, n)]
        ),
    ),
    _write(
        "objects.condemn",
        lambda c, w, n: c.objects.condemn(("s1", f"n/{one}") for one in w.some(w.ids, n)),
    ),
    _write("objects.condemn_uploads", lambda c, w, n: c.objects.condemn_uploads(_places(w, n))),
    _write(
        "objects.condemn_uploads [since]",
        lambda c, w, n: c.objects.condemn_uploads(_places(w, n), NOW_S),
    ),
    _write("objects.end_condemned", lambda c, w, n: c.objects.end_condemned(_places(w, n))),
    _write(
        "objects.set_review",
        lambda c, w, n: c.objects.set_review(w.some(w.ids[1::2], n), Review("released")),
    ),
    _write("objects.rekey", _rekey, FIXED),
    _write(
        "objects.end_left_behind",
        lambda c, w, n: c.objects.end_left_behind(
            [
                Replica(id_, se, pfn, 1, Sha256(""))
                for id_, (se, pfn) in zip(w.uploads, _places(w, n), strict=False)
            ]
        ),
    ),
    _write("objects.withdraw", lambda c, w, n: c.objects.withdraw(w.ids[:n], w.patients[0])),
    _write("objects.forget", lambda c, w, n: c.objects.forget(w.ids[:n]), BOTH, GRID),
    _write(
        "objects.forget_patient", lambda c, w, n: c.objects.forget_patient(w.patients[0]), FIXED
    ),
    _write("datasets.save", lambda c, w, n: c.datasets.save("x", parse("class=image")), FIXED),
    _write(
        "datasets.save [freeze]",
        lambda c, w, n: c.datasets.save("x", parse("class=image"), freeze=True),
        SHARE,
    ),
    _write("datasets.remove", lambda c, w, n: c.datasets.remove("big"), SHARE),
    _write(
        "provenance.record",
        lambda c, w, n: _each(c.provenance.record, _derivations(w, n)),
        FIXED,
    ),
    _write("provenance.record_many", lambda c, w, n: c.provenance.record_many(_derivations(w, n))),
    _write(
        "algorithms.add",
        lambda c, w, n: c.algorithms.add(Algorithm("new", "1", Sha256("b" * 64), {})),
        FIXED,
    ),
    _write("algorithms.remove", _remove_algorithm, SHARE),
]

CALLS = [*_READING, *_WRITING]
