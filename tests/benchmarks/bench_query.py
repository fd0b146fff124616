"""Questions on large catalogs: whole process beside its libraries' import, and in process.

Run: python -m tests.benchmarks.bench_query [--series N] [--directory DIR] [--postgres]
The SQLite catalog is made with the catalog's own `register` in a temporary directory, or once in
DIR; with ``--postgres`` it lives on a PostgreSQL server of this run's own, viewers have guarded
roles, and no whole process is measured.
In process the questions are asked without a viewer, as a physician of all patients, and as a
researcher who was granted 10 000 objects. Times are wall clock, medians of several runs.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import psycopg

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant, Member
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.crypto.policy import Care
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Replica,
    Sha256,
    Site,
    StorageElement,
)
from tests.benchmarks.figures import Figure, Row, command
from tests.lab.postgres import new_server, remove_server

WHOLE = Figure(
    "`medgrid query` on 1 M series, whole process, to `python -c 'import click, sqlalchemy'`",
    at_most=1.5,
)
P50 = Figure("questions on indexed attributes, 1 M series, p50 in process", " ms", at_most=20)
P50_SEEN = Figure(
    "the same for a physician of all patients, or a researcher with 10 k grants: the slower",
    " ms",
    at_most=20,
)
RESOLVE = Figure("10 k LFNs to PFNs, 1 M series", " s", at_most=0.3)
FIGURES = (WHOLE, P50, P50_SEEN, RESOLVE)
QUICK = {"series": 2000, "runs": 2}
SERIES_OF_STUDY = 4
STUDIES_OF_PATIENT = 5
BATCH = 20_000
GRANTED = 10_000
VIEWERS = (None, "doctor", "researcher")
FIRST_DAY = date(2010, 1, 1)
MODALITIES = ["MR"] * 5 + ["CT"] * 3 + ["PT", "US"]
BODY_PARTS = ["BRAIN", "HEAD", "CHEST", "ABDOMEN", "HEART", "SPINE", "KNEE", "NECK"]
DESCRIPTIONS = [f"{kind} {plane} {n}" for kind in ("T1w", "T2w", "FLAIR", "DWI", "BOLD") for plane
                in ("ax", "cor", "sag") for n in range(20)]  # fmt: skip


def registrations(count: int, rng: random.Random) -> Iterator[Registration]:
    """Series of an invented hospital."""
    for number in range(count):
        study, series = divmod(number, SERIES_OF_STUDY)
        patient, visit = divmod(study, STUDIES_OF_PATIENT)
        if series == 0:
            day = FIRST_DAY + timedelta(days=(patient * 37) % 5000 + visit * 90)
            modality = rng.choice(MODALITIES)
            part = rng.choice(BODY_PARTS)
        pseudonym = f"P-{patient:010d}"
        object_id = ObjectId(f"{rng.getrandbits(128):032x}")
        digest = Sha256(object_id * 2)
        yield Registration(
            object=GridObject(
                id=object_id,
                lfn=LFN(f"/trial/{pseudonym}/{day}/s{series}"),
                kind=ObjectKind.SERIES,
                filename="series.tar",
                size_bytes=rng.randrange(10**6, 10**8),
                sha256=digest,
                data_class=DataClass.IMAGE,
                owner="importer",
                attributes={
                    "PatientSex": "FM"[patient % 2],
                    "PatientAge": 20 + patient % 70 + visit // 4,
                    "StudyDate": day.isoformat(),
                    "Modality": modality,
                    "BodyPartExamined": part,
                    "SeriesDescription": rng.choice(DESCRIPTIONS),
                    "Manufacturer": rng.choice(["SIEMENS", "Philips", "GE"]),
                    "Rows": 256,
                    "Columns": 256,
                    "RepetitionTime": rng.choice([8.1, 2300, 5000]),
                    "FlipAngle": rng.randrange(5, 90),
                    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
                },
            ),
            replicas=(Replica(object_id, "store", object_id, 10, digest),),
            patient=pseudonym,
            study_uid=f"1.2.3.{study}",
            series_uid=f"1.2.3.{study}.{series}",
            user_attributes={"brain_volume": rng.gauss(1300, 120)} if number % 10 == 0 else {},
        )


def make_catalog(url: str, count: int) -> None:
    """Make and fill a catalog."""
    catalog = Catalog.create(url)
    catalog.places.put_site(Site("here"))
    catalog.places.put_se(StorageElement("store", "file:///store", "here"))
    rng = random.Random(1)
    batch: list[Registration] = []
    for item in registrations(count, rng):
        batch.append(item)
        if len(batch) == BATCH:
            catalog.objects.register(batch)
            batch = []
    if batch:
        catalog.objects.register(batch)
    let_in(catalog, count)
    catalog.close()


def let_in(catalog: Catalog, count: int) -> None:
    """Make one viewer a physician of all patients, and grant another `GRANTED` objects."""
    patients = count // (SERIES_OF_STUDY * STUDIES_OF_PATIENT) + 1
    catalog.access.add_care(
        *(Member(f"P-{number:010d}", "doctor", Care.PHYSICIAN) for number in range(patients))
    )
    every = max(1, count // GRANTED)
    lfns = list(catalog.objects.lfns(parse("/")))[::every][:GRANTED]
    for start in range(0, len(lfns), 2000):
        some = catalog.objects.get_many(lfns[start : start + 2000]).values()
        catalog.access.grant(
            *(Grant(item.id, "researcher", "doctor", 1e12, "trial") for item in some)
        )
    catalog.db.optimize()


def timed(action: Callable[[], object]) -> float:
    """Seconds `action` takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def questions(count: int, rng: random.Random) -> dict[str, str]:
    """One question of each kind, about things that are there."""
    patient = rng.randrange(max(1, count // (SERIES_OF_STUDY * STUDIES_OF_PATIENT)))
    day = FIRST_DAY + timedelta(days=rng.randrange(400, 4600))
    return {
        "patient": f"PatientID=P-{patient:010d}",
        "study": f"StudyInstanceUID=1.2.3.{rng.randrange(count // SERIES_OF_STUDY)}",
        "day": f"StudyDate={day} and PatientSex=F",
        "week of MR brains": "Modality=MR and BodyPartExamined=BRAIN and StudyDate between"
        f" {day} and {day + timedelta(days=6)}",
        "description, month": f"SeriesDescription='{rng.choice(DESCRIPTIONS)}' and"
        f" StudyDate={day:%Y-%m}",
        "LFN glob": f"/trial/P-{patient:010d}/*/s1",
        "user attribute": f"brain_volume<{rng.uniform(860, 880):.1f} and Modality=MR",
        "visits": f"visits>=5 and StudyDate={day} and Modality in (MR, CT)",
    }


def bench_in_process(url: str, count: int, runs: int, viewer: str | None) -> tuple[float, float]:
    """Ask whole questions: parse, compile, fetch all LFNs.

    Gives the median in milliseconds, and seconds to resolve `GRANTED` LFNs.
    """
    print(f"  -- in process, {viewer or 'the grid itself'}")
    catalog = Catalog.open(url, viewer)
    rng = random.Random(2)
    times: dict[str, list[float]] = {}
    found: dict[str, int] = {}
    for _ in range(runs):
        for kind, text in questions(count, rng).items():
            start = time.perf_counter()
            found[kind] = len(list(catalog.objects.lfns(parse(text))))
            times.setdefault(kind, []).append(time.perf_counter() - start)
    for kind, values in times.items():
        print(f"  {kind:28} {median(values) * 1000:8.2f} ms   (last: {found[kind]} LFNs)")
    p50_ms = 1000 * median(value for values in times.values() for value in values)
    print(f"  {'p50 of all':28} {p50_ms:8.2f} ms")
    wide = "Modality=MR and BodyPartExamined~'*BRAIN*' and PatientAge>=40 and visits>=3"
    few = [timed(lambda: list(catalog.objects.lfns(parse(wide), 100))) for _ in range(5)]
    print(f"  {'wide, first 100':28} {median(few) * 1000:8.2f} ms")
    many = [timed(lambda: catalog.objects.count(parse(wide))) for _ in range(3)]
    print(f"  {'wide, --count':28} {median(many) * 1000:8.2f} ms")
    lfns = list(catalog.objects.lfns(parse("/trial/"), count))
    chosen = rng.sample(lfns, min(10_000, len(lfns)))

    def resolve() -> None:
        for start in range(0, len(chosen), 2000):
            some = chosen[start : start + 2000]
            assert all(catalog.objects.locate(some).values())

    resolved_s = median(timed(resolve) for _ in range(5))
    print(f"  {f'{len(chosen)} LFNs to PFNs':28} {resolved_s:8.3f} s")
    catalog.close()
    return p50_ms, resolved_s


def bench_process(home: Path, count: int, runs: int) -> Row:
    """The whole process beside ``import click, sqlalchemy``, run in turn."""
    rng = random.Random(3)
    ours, peers = [], []
    environ = {**os.environ, "MEDGRID_USER": "doctor"}
    for _ in range(runs):
        question = questions(count, rng)["patient"]
        command = [sys.executable, "-m", "medgrid", "--home", str(home), "query", question]
        ours.append(
            timed(
                lambda: subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environ)  # noqa: B023
            )
        )
        peer = [sys.executable, "-c", "import click, sqlalchemy"]
        peers.append(timed(lambda: subprocess.run(peer, check=True)))  # noqa: B023
    both_ms = f"{1000 * median(ours):.0f} to {1000 * median(peers):.0f} ms"
    return WHOLE.row(median(ours) / median(peers), both_ms)


def bench_viewers(url: Callable[[str | None], str], count: int, runs: int) -> Iterator[Row]:
    """Ask as each of `VIEWERS`, who finds the catalog at ``url(viewer)``."""
    found = {one: bench_in_process(url(one), count, runs, one) for one in VIEWERS}
    p50_ms, resolved_s = found.pop(None)
    yield P50.row(p50_ms)
    slower = max(found, key=lambda viewer: found[viewer][0])
    yield P50_SEEN.row(found[slower][0], f"the {slower}")
    yield RESOLVE.row(resolved_s)


def measure(
    series: int = 1_000_000, runs: int = 15, directory: str = "", postgres: bool = False
) -> Iterator[Row]:
    """Make the catalog, unless `directory` has it, and ask."""
    if postgres:
        yield from on_postgres(series, runs)
        return
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(directory or scratch) / f"series-{series}"
        home.mkdir(parents=True, exist_ok=True)
        file = home / "catalog.db"
        url = f"sqlite:///{file}"
        if not file.exists():
            took_s = timed(lambda: make_catalog(url, series))
            print(
                f"registered {series / took_s:.0f}/s, {file.stat().st_size / series:.0f} bytes each"
            )
        yield bench_process(home, series, runs)
        yield from bench_viewers(lambda _: url, series, runs)


def on_postgres(series: int, runs: int) -> Iterator[Row]:
    """The same in process on PostgreSQL, where the server guards the rows too."""
    server = new_server(durable=True)
    try:
        url = server.url(server.make_database())
        print(f"registered in {timed(lambda: make_catalog(url, series)):.0f} s")
        apply(url, [DatabaseUser("doctor"), DatabaseUser("researcher")])
        with server.admin() as connection:
            connection.execute("CHECKPOINT")
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

        def of(viewer: str | None) -> str:
            return url if viewer is None else url.replace("medgrid@", f"{viewer}@")

        yield from bench_viewers(of, series, runs)
    finally:
        remove_server(server)


if __name__ == "__main__":
    command(measure, __doc__)
