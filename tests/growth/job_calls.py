"""Calls of the stores of jobs, quotas, leases, places, access, scanned files and imports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant, Member
from medgrid.catalog.imported import Content, Spot
from medgrid.catalog.job_desk import WorkerLinkState
from medgrid.catalog.job_moves import Move
from medgrid.catalog.job_states import Event
from medgrid.catalog.job_values import NewSubmission
from medgrid.catalog.leases import Lease
from medgrid.catalog.quotas import Quota
from medgrid.catalog.scanned import ScannedFile, SeriesName
from medgrid.catalog.words import Held
from medgrid.catalog.worker_health import WorkerHealth
from medgrid.crypto.policy import Care
from medgrid.errors import MedgridError
from medgrid.model import LFN, JobId, JobState, ObjectId, Sha256
from tests.growth.calls import BOTH, EVERYBODY, FIXED, GRID, INSIDERS, SHARE, Call
from tests.growth.world import DOCTOR, LATER_S, NOW_S, RESEARCHER, World

__all__ = ["CALLS"]

Catalogued = Callable[[Catalog, World, int], object]


def _ids(count: int, after: int = 0) -> list[JobId]:
    return [JobId(1, after + number) for number in range(1, count + 1)]


def _spread(world: World, count: int) -> list[str]:
    step = world.jobs // count
    return [f"1.{1 + number * step}" for number in range(count)]


def _small(world: World, count: int) -> list[str]:
    return [str(2 + number) for number in range(min(count, world.submissions))]


def _waiting(world: World, count: int) -> list[JobId]:
    first = world.jobs - count
    return _ids(count, first)


def _write(
    method: str,
    run: Catalogued,
    asked: Sequence[str] = BOTH,
    viewers: Sequence[str | None] = INSIDERS,
) -> Call[Catalog]:
    return Call(method, run, asked, viewers, writes=True)


def _new_submission(world: World, count: int) -> NewSubmission:
    return NewSubmission(
        Sha256("a" * 64),
        "seg@1",
        DOCTOR,
        [[id_] for id_ in world.some(world.ids, count)],
        "t1",
        {"atlas": [world.flat_ids[0]]},
        {},
    )


_JOBS: list[Call[Catalog]] = [
    _write(
        "jobs.create_submission", lambda c, w, n: c.jobs.create_submission(_new_submission(w, n))
    ),
    Call("jobs.recent", lambda c, w, n: c.jobs.recent(DOCTOR), SHARE),
    Call("jobs.open_inputs", lambda c, w, n: c.jobs.open_inputs(), SHARE),
    Call("jobs.counts", lambda c, w, n: c.jobs.counts(["1"]), SHARE, INSIDERS),
    Call("jobs.counts [small]", lambda c, w, n: c.jobs.counts(["5"]), FIXED, INSIDERS),
    Call("jobs.lines", lambda c, w, n: c.jobs.lines(["1.7"]), FIXED, INSIDERS),
    Call("jobs.lines [spread]", lambda c, w, n: c.jobs.lines(_spread(w, n)), BOTH, INSIDERS),
    Call("jobs.lines [all]", lambda c, w, n: c.jobs.lines(["1"]), SHARE, INSIDERS),
    Call(
        "jobs.lines [running]",
        lambda c, w, n: c.jobs.lines(["1"], [JobState.RUNNING]),
        SHARE,
        INSIDERS,
    ),
    Call("jobs.lines [small]", lambda c, w, n: c.jobs.lines(_small(w, n)), BOTH, INSIDERS),
    Call("jobs.jobs", lambda c, w, n: c.jobs.jobs([f"1.1-{n}"]), BOTH, INSIDERS),
    Call("jobs.jobs [spread]", lambda c, w, n: c.jobs.jobs(_spread(w, n)), BOTH, INSIDERS),
    Call("jobs.job", lambda c, w, n: c.jobs.job(JobId(1, 1)), FIXED, INSIDERS),
    Call("jobs.job [small]", lambda c, w, n: c.jobs.job(JobId(5, 1)), FIXED, INSIDERS),
    Call("jobs.history", lambda c, w, n: c.jobs.history(JobId(1, 1)), FIXED),
    Call("jobs.attempts", lambda c, w, n: c.jobs.attempts(JobId(1, 1)), FIXED),
    _write("jobs.cancel", lambda c, w, n: c.jobs.cancel([f"1.{w.jobs - n + 1}-{w.jobs}"])),
    _write("jobs.cancel [spread]", lambda c, w, n: c.jobs.cancel(_spread(w, n))),
    _write("jobs.resubmit", lambda c, w, n: c.jobs.resubmit(_ids(n))),
    _write("jobs.clear", lambda c, w, n: c.jobs.clear(_ids(n))),
    Call("tally.totals", lambda c, w, n: c.jobs.tally.totals(["1"]), SHARE, INSIDERS),
    Call("tally.totals [small]", lambda c, w, n: c.jobs.tally.totals(["5"]), FIXED, INSIDERS),
    Call("tally.totals_of", lambda c, w, n: c.jobs.tally.totals_of(DOCTOR), SHARE),
    Call("tally.totals_of [nobody]", lambda c, w, n: c.jobs.tally.totals_of("bob"), FIXED),
    Call("tally.failures", lambda c, w, n: c.jobs.tally.failures(["1"], 10), SHARE, INSIDERS),
    Call("tally.by_state", lambda c, w, n: c.jobs.tally.by_state(), SHARE),
    Call("tally.attempts_by_cause", lambda c, w, n: c.jobs.tally.attempts_by_cause(), SHARE),
    Call("tally.on_workers_of", lambda c, w, n: c.jobs.tally.on_workers_of(), FIXED),
    Call("tally.on_workers", lambda c, w, n: c.jobs.tally.on_workers(), FIXED),
]


def _moves(world: World, count: int) -> list[Move]:
    return [Move(one, 0, Event.ASSIGN, NOW_S, "to w1", "w1") for one in _waiting(world, count)]


_DESK: list[Call[Catalog]] = [
    _write("desk.apply", lambda c, w, n: c.jobs.desk.apply(_moves(w, n)), BOTH, GRID),
    Call("desk.waiting", lambda c, w, n: c.jobs.desk.waiting(), FIXED, GRID),
    Call("desk.next_waiting", lambda c, w, n: c.jobs.desk.next_waiting(1, n, NOW_S), BOTH, GRID),
    Call("desk.next_time", lambda c, w, n: c.jobs.desk.next_time(NOW_S), FIXED, GRID),
    _write("desk.let_wait", lambda c, w, n: c.jobs.desk.let_wait(1, "it is full"), SHARE, GRID),
    _write(
        "desk.let_wait [small]", lambda c, w, n: c.jobs.desk.let_wait(5, "it is full"), FIXED, GRID
    ),
    Call("desk.head", lambda c, w, n: c.jobs.desk.head(1), FIXED, GRID),
    Call("desk.live", lambda c, w, n: c.jobs.desk.live(), FIXED, GRID),
    Call("desk.live_on", lambda c, w, n: c.jobs.desk.live_on("w1"), FIXED, GRID),
    Call("desk.to_cancel", lambda c, w, n: c.jobs.desk.to_cancel(), FIXED, GRID),
    Call("desk.current", lambda c, w, n: c.jobs.desk.current(_ids(n)), BOTH, GRID),
    Call("desk.ended", lambda c, w, n: c.jobs.desk.ended(1, range(1, n + 1)), BOTH, GRID),
    _write(
        "desk.holding_ended",
        lambda c, w, n: c.jobs.desk.holding_ended(1, range(1, n + 1)),
        BOTH,
        GRID,
    ),
    Call("desk.open_count", lambda c, w, n: c.jobs.desk.open_count(), SHARE),
    Call("desk.load", lambda c, w, n: c.jobs.desk.load(), FIXED),
    Call("desk.links", lambda c, w, n: c.jobs.desk.links(), FIXED, GRID),
    _write(
        "desk.save_link", lambda c, w, n: c.jobs.desk.save_link(WorkerLinkState("w1")), FIXED, GRID
    ),
    Call("quotas.all", lambda c, w, n: c.quotas.all(), FIXED),
    _write("quotas.put", lambda c, w, n: c.quotas.put("x", Quota(1, 1)), FIXED, GRID),
    _write("quotas.remove", lambda c, w, n: c.quotas.remove(DOCTOR), FIXED, GRID),
    Call("quotas.open_jobs", lambda c, w, n: c.quotas.open_jobs(), SHARE),
    Call("quotas.usage", lambda c, w, n: c.quotas.usage(), FIXED),
    _write("quotas.save_usage", lambda c, w, n: c.quotas.save_usage(c.quotas.usage()), FIXED, GRID),
    Call("health.all", lambda c, w, n: c.health.all(), FIXED),
    _write("health.save", lambda c, w, n: c.health.save("w1", WorkerHealth(failures=1)), FIXED),
    _write("health.forget", lambda c, w, n: c.health.forget("w1"), FIXED),
]


def _leased(use: Callable[[Catalog, Lease], object]) -> Catalogued:
    return lambda c, w, n: use(c, c.leases.acquire("broker", "here", "process"))


def _write_leased(catalog: Catalog, lease: Lease) -> AbstractContextManager[None]:
    return catalog.leases.writing(lease)


_LEASES: list[Call[Catalog]] = [
    _write("leases.acquire", _leased(lambda c, lease: lease), FIXED, GRID),
    _write("leases.writing", _leased(_write_leased), FIXED, GRID),
    _write("leases.release", _leased(lambda c, lease: c.leases.release(lease)), FIXED, GRID),
    _write("leases.fence", _leased(lambda c, lease: c.leases.fence(lease.name)), FIXED, GRID),
    Call("leases.holder", lambda c, w, n: c.leases.holder("broker"), FIXED, GRID),
    Call("leases.silent_s", lambda c, w, n: c.leases.silent_s("broker"), FIXED, GRID),
    _write("leases.ask_to_stop", lambda c, w, n: c.leases.ask_to_stop("broker"), FIXED, GRID),
]


def _in_use(remove: Callable[[Catalog], None]) -> Catalogued:
    def run(catalog: Catalog, world: World, count: int) -> None:
        with suppress(MedgridError):
            remove(catalog)

    return run


_PLACES: list[Call[Catalog]] = [
    Call("places.sites", lambda c, w, n: c.places.sites(), FIXED),
    Call("places.ses", lambda c, w, n: c.places.ses(), FIXED),
    Call("places.workers", lambda c, w, n: c.places.workers(), FIXED),
    Call("places.site", lambda c, w, n: c.places.site("here"), FIXED),
    Call("places.se", lambda c, w, n: c.places.se("s1"), FIXED),
    Call("places.worker", lambda c, w, n: c.places.worker("w1"), FIXED),
    _write("places.put_site", lambda c, w, n: c.places.put_site(c.places.site("here")), FIXED),
    _write("places.put_se", lambda c, w, n: c.places.put_se(c.places.se("s1")), FIXED),
    _write("places.put_worker", lambda c, w, n: c.places.put_worker(c.places.worker("w1")), FIXED),
    _write("places.remove_site", _in_use(lambda c: c.places.remove_site("here")), FIXED),
    _write("places.remove_se", _in_use(lambda c: c.places.remove_se("s1")), SHARE),
    _write("places.remove_se [empty]", _in_use(lambda c: c.places.remove_se("s0")), FIXED),
    _write("places.remove_worker", lambda c, w, n: c.places.remove_worker("w1"), FIXED),
]


def _members(world: World, count: int) -> list[Member]:
    return [Member(one, "new", Care.PHYSICIAN) for one in world.some(world.patients, count)]


def _grants(world: World, count: int) -> list[Grant]:
    ids = world.some(world.ids[1::2], count)
    return [Grant(id_, "bob", DOCTOR, LATER_S, "trial") for id_ in ids]


_ACCESS: list[Call[Catalog]] = [
    _write("access.add_care", lambda c, w, n: c.access.add_care(*_members(w, n))),
    _write(
        "access.drop_care",
        lambda c, w, n: [c.access.drop_care(one, "pt1") for one in w.some(w.patients, n)],
        FIXED,
    ),
    Call("access.team", lambda c, w, n: c.access.team(w.patients[3]), FIXED),
    Call("access.teams", lambda c, w, n: c.access.teams(w.some(w.patients, n))),
    Call("access.patients_of", lambda c, w, n: c.access.patients_of(DOCTOR), SHARE),
    Call("access.patients_of [patient]", lambda c, w, n: c.access.patients_of("pt3"), FIXED),
    Call("access.cares_for", lambda c, w, n: c.access.cares_for(w.some(w.patients, n), DOCTOR)),
    Call("access.without_team", lambda c, w, n: c.access.without_team(w.some(w.patients, n))),
    _write("access.grant", lambda c, w, n: c.access.grant(*_grants(w, n))),
    _write(
        "access.revoke",
        lambda c, w, n: c.access.revoke(RESEARCHER, ids=w.some(w.ids[1::10], n)),
    ),
    _write(
        "access.revoke [dataset]",
        lambda c, w, n: c.access.revoke(RESEARCHER, dataset="trial"),
        SHARE,
    ),
    _write(
        "access.revoke [nobody]", lambda c, w, n: c.access.revoke("bob", dataset="trial"), FIXED
    ),
    _write("access.inherit", lambda c, w, n: c.access.inherit(w.some(w.ids[1::10], n))),
    Call("access.grants", lambda c, w, n: c.access.grants(ids=w.some(w.ids[1::10], n))),
    Call(
        "access.grants [identity]",
        lambda c, w, n: c.access.grants(RESEARCHER, ids=w.some(w.ids[1::10], n)),
    ),
    Call(
        "access.grants [giver]",
        lambda c, w, n: c.access.grants(granted_by=DOCTOR, ids=w.some(w.ids[1::10], n)),
    ),
    Call("access.grants [nobody]", lambda c, w, n: c.access.grants("bob"), FIXED),
    Call("access.grants [all]", lambda c, w, n: c.access.grants(), SHARE),
    Call(
        "access.things",
        lambda c, w, n: c.access.things(
            c.objects.by_ids(w.some(w.ids, n)).values(), c.viewer or DOCTOR
        ),
    ),
    Call(
        "access.patient_things",
        lambda c, w, n: c.access.patient_things(w.some(w.patients, n), c.viewer or DOCTOR),
    ),
]


def _series_uids(world: World, count: int) -> list[str]:
    return [f"1.2.{number // 2}.{number}" for number in world.some(range(world.size // 2), count)]


_SCANNED: list[Call[Catalog]] = [
    Call("scanned.known", lambda c, w, n: c.scanned.known(w.some(w.scanned, n))),
    Call("scanned.known [reader]", lambda c, w, n: c.scanned.known(w.some(w.scanned, n), DOCTOR)),
    _write(
        "scanned.note",
        lambda c, w, n: c.scanned.note(
            [ScannedFile(key, 1, 2, 3, None, "") for key in w.some(w.scanned, n)]
        ),
        BOTH,
        EVERYBODY,
    ),
    Call("scanned.lacking", lambda c, w, n: c.scanned.lacking(w.some(w.ids, n))),
    Call("objects.of_series", lambda c, w, n: c.objects.of_series(_series_uids(w, n))),
    Call("scanned.series", lambda c, w, n: c.scanned.series(_series_uids(w, n))),
    Call("scanned.series [new]", lambda c, w, n: c.scanned.series(f"9.{i}" for i in range(n))),
]


def _contents(world: World, count: int, after: str = "") -> dict[Content, ObjectId]:
    """What stands in the table of imported contents, each to be claimed by another object."""
    return {
        Content(Spot(LFN(lfn), world.patients[number // 10], ""), f"digest of {lfn}{after}"): id_
        for number, lfn, id_ in zip(
            world.some(range(world.size), count),
            world.some(world.lfns, count),
            world.some(world.ids[1:] + world.ids[:1], count),
            strict=True,
        )
    }


def _held(catalog: Catalog, world: World, count: int) -> None:
    for one in _contents(world, count):
        catalog.imported.held([one.spot], 1)


def _release(catalog: Catalog, count: int) -> None:
    for number in range(count):
        catalog.words.release(f"digest {number}", "ada", "{}")


def _recall(catalog: Catalog, world: World, count: int) -> None:
    for one, id_ in _contents(world, count).items():
        new = one.spot._replace(lfn=LFN(f"{one.spot.lfn}!"))
        catalog.imported.recall(id_, one.digest, {one.spot: new})


_IMPORTED: list[Call[Catalog]] = [
    Call("imported.held", _held, FIXED),
    Call("imported.spots", lambda c, w, n: [c.imported.spots(i) for i in w.some(w.ids, n)], FIXED),
    _write("imported.recall", _recall, FIXED),
    Call("words.releases", lambda c, w, n: c.words.releases(), FIXED),
    _write(
        "words.release",
        lambda c, w, n: _release(c, n),
    ),
    _write(
        "words.hold",
        lambda c, w, n: c.words.hold([Held(id_, 1, 1, "00") for id_ in w.some(w.ids, n)]),
    ),
    Call("words.held", lambda c, w, n: c.words.held(w.some(w.ids, n))),
    _write("imported.claim", lambda c, w, n: c.imported.claim(_contents(w, n))),
    _write(
        "imported.note_series",
        lambda c, w, n: c.imported.note_series(dict.fromkeys(w.some(w.ids[1::2], n), "one")),
    ),
    Call(
        "imported.patients_of_series",
        lambda c, w, n: c.imported.patients_of_series(f"series {id_}" for id_ in w.some(w.ids, n)),
    ),
    Call("imported.said_of", lambda c, w, n: c.imported.said_of(w.some(w.patients, n))),
    _write("imported.claim [new]", lambda c, w, n: c.imported.claim(_contents(w, n, "!"))),
]


def _gone(world: World, count: int) -> list[SeriesName]:
    """Series with a mark that they were removed."""
    return [SeriesName(patient, "9.1", "9.2") for patient in world.some(world.patients, count)]


def _gone_contents(world: World, count: int) -> list[Content]:
    return [
        Content(Spot(LFN(f"/gone/{patient}/T1w"), patient, ""), "9.1 9.2")
        for patient in world.some(world.patients, count)
    ]


_REMOVED: list[Call[Catalog]] = [
    _write(
        "removed.note",
        lambda c, w, n: c.removed.note(dict.fromkeys(w.some(w.ids[::2], n), LFN("/gone"))),
    ),
    Call("removed.series", lambda c, w, n: c.removed.series(_gone(w, n), "doctor")),
    Call("removed.contents", lambda c, w, n: c.removed.contents(w.patients[3], "doctor"), FIXED),
    _write("removed.forget", lambda c, w, n: c.removed.forget(_gone(w, n), _gone_contents(w, n))),
]

_MERGED: list[Call[Catalog]] = [
    Call("merged.all", lambda c, w, n: c.merged.all(), FIXED),
    Call("merged.check", lambda c, w, n: c.merged.check(*w.patients[3:5]), FIXED, INSIDERS),
    _write("merged.note", lambda c, w, n: c.merged.note(*w.patients[3:5]), FIXED),
    _write("removed.pass_on", lambda c, w, n: c.removed.pass_on(*w.patients[3:5]), FIXED),
    _write("datasets.follow", lambda c, w, n: c.datasets.follow(w.lfns[1], w.lfns[3]), FIXED),
    _write("scanned.move", lambda c, w, n: c.scanned.move(*w.ids[3:5]), FIXED),
    _write("access.take_over", lambda c, w, n: c.access.take_over(w.ids[1], w.ids[3]), FIXED),
]

CALLS = [*_JOBS, *_DESK, *_LEASES, *_PLACES, *_ACCESS, *_SCANNED, *_IMPORTED, *_REMOVED, *_MERGED]
