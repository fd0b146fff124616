"""Questions on large catalogs: whole process beside its libraries' import, and in process.

Run ``python -m tests.benchmarks.bench_query [--sizes 100000 1000000] [--dir DIR]``. SQLite catalogs
are made with the catalog's own `register` in a temporary directory, or once in DIR; with
``--postgres`` they live on a PostgreSQL server of this run's own, and viewers have guarded roles.
In process the questions are asked without a viewer, as a physician of all patients, and as a
researcher who was granted 10 000 objects. Times are wall clock, medians of several runs.
"""

from __future__ import annotations

import argparse
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
from tests.lab.postgres import new_server, remove_server

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


def bench_in_process(url: str, count: int, runs: int, viewer: str | None) -> None:
    """Print medians of whole questions: parse, compile, fetch all LFNs."""
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
    everything = [value for values in times.values() for value in values]
    print(f"  {'p50 of all':28} {median(everything) * 1000:8.2f} ms   (bar: 20 ms)")
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

    resolved = median(timed(resolve) for _ in range(5))
    print(f"  {f'{len(chosen)} LFNs to PFNs':28} {resolved:8.3f} s    (bar: 0.3 s)")
    catalog.close()


def bench_process(home: Path, count: int, runs: int) -> None:
    """Print the whole process beside ``import click, sqlalchemy``, run in turn."""
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
    print(
        f"  {'whole process':28} {median(ours):8.3f} s    import click, sqlalchemy:"
        f" {median(peers):.3f} s   ratio {median(ours) / median(peers):.2f}   (bar: 1.5)"
    )


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dir", type=Path, help="keep the catalogs here, and use them again")
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead")
    options = parser.parse_args()
    if options.postgres:
        bench_postgres(options.sizes, options.runs)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for count in options.sizes:
            home = (options.dir or Path(scratch)) / f"series-{count}"
            home.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{home / 'catalog.db'}"
            print(f"{count} series")
            if not (home / "catalog.db").exists():
                seconds = timed(lambda: make_catalog(url, count))  # noqa: B023
                size = (home / "catalog.db").stat().st_size / count
                print(f"  {'registered':28} {count / seconds:8.0f} /s    {size:.0f} bytes each")
            bench_process(home, count, options.runs)
            for viewer in VIEWERS:
                bench_in_process(url, count, options.runs, viewer)


def bench_postgres(sizes: list[int], runs: int) -> None:
    """The same in process on PostgreSQL, where the server guards the rows too."""
    server = new_server()
    try:
        for count in sizes:
            print(f"{count} series, PostgreSQL")
            url = server.url(server.make_database())
            print(f"  registered in {timed(lambda: make_catalog(url, count)):.0f} s")  # noqa: B023
            apply(url, [DatabaseUser("doctor"), DatabaseUser("researcher")])
            with server.admin() as connection:
                connection.execute("CHECKPOINT")
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")
            for viewer in VIEWERS:
                own = url if viewer is None else url.replace("medgrid@", f"{viewer}@")
                bench_in_process(own, count, runs, viewer)
    finally:
        remove_server(server)


if __name__ == "__main__":
    main()
