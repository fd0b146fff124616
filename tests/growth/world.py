"""A grid of any size, written with the stores' own tables: all that can be many grows alike."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, insert, select

from medgrid.catalog import Catalog
from medgrid.catalog import job_schema as jobs
from medgrid.catalog import schema as tables
from medgrid.crypto import keystore_schema as keys
from medgrid.crypto.audit_record import Record
from medgrid.crypto.keystore import KeyStore
from medgrid.model import LFN, ObjectId

__all__ = [
    "DOCTOR",
    "FEW",
    "LATER_S",
    "NOW_S",
    "RESEARCHER",
    "World",
    "batch_of",
    "fill_catalog",
    "fill_keys",
]

FEW = 10
DOCTOR = "doctor"
RESEARCHER = "researcher"
NOW_S = time.time()
LATER_S = 4e9
_ALGORITHM = "a" * 64
_LIVE_JOBS = 20
_T = TypeVar("_T")
_Row = dict[str, Any]


def _id(word: str) -> ObjectId:
    return ObjectId(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True)
class World:
    """What a grid with `size` images holds, by name.

    Each patient has ten images, by turns an original and its twin; the doctor cares for all
    patients, and every tenth image is granted to the researcher. One submission has a job for
    every second image.
    """

    size: int

    @cached_property
    def patients(self) -> list[str]:
        """Pseudonyms."""
        return [f"P-{number:010d}" for number in range(self.size // 10)]

    @cached_property
    def ids(self) -> list[ObjectId]:
        """Images; those at even places are originals."""
        return [_id(f"image {number}") for number in range(self.size)]

    @cached_property
    def lfns(self) -> list[LFN]:
        """LFNs of the images."""
        return [
            LFN(f"/t/{number // 1000}/{self.patients[number // 10]}/s{number % 10}")
            for number in range(self.size)
        ]

    @cached_property
    def flat_lfns(self) -> list[LFN]:
        """LFNs of public files in one folder."""
        return [LFN(f"/flat/f{number}") for number in range(self.size // 10)]

    @cached_property
    def flat_ids(self) -> list[ObjectId]:
        """The public files; all jobs read the first one."""
        return [_id(f"flat {number}") for number in range(self.size // 10)]

    @cached_property
    def outputs(self) -> list[ObjectId]:
        """What jobs made, without LFNs."""
        return [_id(f"output {number}") for number in range(self.size // 10)]

    @cached_property
    def older(self) -> list[ObjectId]:
        """Older versions of the public files."""
        return [_id(f"older {number}") for number in range(self.size // 10)]

    @cached_property
    def uploads(self) -> list[ObjectId]:
        """Objects that are being written, or whose bytes are being deleted, by turns."""
        return [_id(f"upload {number}") for number in range(self.size // 10)]

    @cached_property
    def scanned(self) -> list[str]:
        """Keys of files that the importer has seen."""
        return [_id(f"file {number}") * 2 for number in range(self.size)]

    @property
    def jobs(self) -> int:
        """How many jobs the first submission has."""
        return self.size // 2

    @property
    def submissions(self) -> int:
        """How many small submissions there are, with two jobs each, from number 2 on."""
        return self.size // 10

    def item(self, job: int) -> ObjectId:
        """Image that a job of the first submission reads."""
        return self.ids[(2 * job - 1) % self.size]

    def some(self, values: Sequence[_T], count: int) -> list[_T]:
        """So many of some values, spread."""
        return list(values[:: max(1, len(values) // count)][:count])


def _put(connection: Connection, table: Table, rows: Iterable[_Row]) -> None:
    connection.execute(insert(table), list(rows))


def fill_catalog(catalog: Catalog, world: World) -> None:
    """Make an empty catalog that of a world."""
    with catalog.db.write() as connection:
        _fill_places(connection)
        _fill_objects(connection, world)
        _fill_patient_attributes(connection, world)
        _fill_access(connection, world)
        _fill_datasets(connection, world)
        _fill_jobs(connection, world)
        _fill_provenance(connection, world)
        if connection.dialect.name == "postgresql":
            for table in (jobs.submission, jobs.job_event):
                serial = func.pg_get_serial_sequence(table.name, "id")
                last = select(func.max(table.c.id)).scalar_subquery()
                connection.execute(select(func.setval(serial, last)))


def _fill_places(connection: Connection) -> None:
    _put(connection, tables.site, [{"name": "here", "site_class": "keys"}])
    place = {"site": "here", "enabled": True, "options": {}}
    ses = [{**place, "name": f"s{number}", "url": f"file:///s{number}"} for number in range(3)]
    _put(connection, tables.storage_element, ses)
    worker = {**place, "url": "local:", "slots": 4, "tags": [], "memory_bytes": None}
    _put(connection, tables.worker, ({**worker, "name": f"w{number}"} for number in range(10)))


def _object(
    number: int, id_: ObjectId, lfn: LFN | None, kind: str, data_class: str, **more: Any
) -> _Row:
    return {
        "id": id_,
        "lfn": lfn,
        "version": 1,
        "kind": kind,
        "filename": "series.tar",
        "size_bytes": 10 + number,
        "sha256": id_ * 2,
        "created_s": NOW_S - number,
        "data_class": data_class,
        "owner": DOCTOR,
        "digest": f"digest of {lfn}",
        "review": "",
        "original": None,
        "patient": None,
        "study_uid": None,
        "series_uid": None,
        "study_date": None,
        "modality": None,
        "patient_age": None,
        "series_description": None,
        "protocol_name": None,
        "attributes": {},
        **more,
    }


def _image(world: World, number: int) -> _Row:
    is_twin = number % 2 == 1
    return _object(
        number,
        world.ids[number],
        world.lfns[number],
        "series",
        "image" if is_twin else "nominative",
        original=world.ids[number - 1] if is_twin else None,
        patient=world.patients[number // 10],
        study_uid=f"1.2.{number // 4}",
        series_uid=f"1.2.{number // 4}.{number // 2}",
        study_date=f"20{10 + number % 15}-01-{1 + number % 28:02d}",
        modality=("MR", "CT", "PT")[number % 3],
        patient_age=float(20 + number % 60),
        series_description=f"T1w {number % 50}",
        protocol_name=f"protocol {number}",
        attributes={"FlipAngle": number % 90},
    )


def _fill_objects(connection: Connection, world: World) -> None:
    _put(connection, tables.patient, ({"pseudonym": one, "visits": 5} for one in world.patients))
    names = [
        *(("FlipAngle", "number", "json"), ("vol", "number", "user"), ("note", "text", "user")),
        ("ProtocolName", "text", "list"),
        *(("arm", "text", "patient"), ("score", "number", "patient")),
        *(("dose", "text", "blind"), ("group", "text", "unblinded")),
    ]
    _put(
        connection,
        tables.attribute_name,
        ({"name": name, "type": kind, "place": place} for name, kind, place in names),
    )
    named = zip(world.flat_ids, world.flat_lfns, strict=True)
    objects = [
        *(_image(world, number) for number in range(world.size)),
        *(_object(n, id_, lfn, "file", "public") for n, (id_, lfn) in enumerate(named)),
        *(_object(n, id_, None, "table", "image") for n, id_ in enumerate(world.outputs)),
        *(_object(n, id_, None, "file", "public") for n, id_ in enumerate(world.older)),
    ]
    _put(connection, tables.object_, objects)
    _put(
        connection,
        tables.object_version,
        (
            {"lfn": lfn, "version": 0, "object_id": id_, "replaced_s": NOW_S}
            for lfn, id_ in zip(world.flat_lfns, world.older, strict=True)
        ),
    )
    copy = {"size_bytes": 10, "sha256": "0" * 64, "created_s": NOW_S}
    _put(
        connection,
        tables.replica,
        (
            {**copy, "object_id": one["id"], "se": se, "pfn": f"{one['id'][:2]}/{one['id']}"}
            for one in objects
            for se in ("s1", "s2")
        ),
    )
    _put(
        connection,
        tables.upload,
        (
            {
                "owner": DOCTOR,
                "se": "s1",
                "pfn": f"x/{id_}",
                "object_id": id_ if number % 2 else "",
                "reserved_s": NOW_S,
            }
            for number, id_ in enumerate(world.uploads)
        ),
    )
    values: list[_Row] = []
    for number, id_ in enumerate(world.ids):
        if number % 5 == 1:
            row = {"object_id": id_, "position": 0, "num": None, "text": None}
            values.append({**row, "name": "vol", "num": float(number % 977)})
            values.append({**row, "name": "note", "text": f"word{number % 97}"})
        if number % 50 == 1:
            for position, what in enumerate(("protocol", "late")):
                row = {"object_id": id_, "position": position, "num": None}
                values.append({**row, "name": "ProtocolName", "text": f"{what} {number}"})
    _put(connection, tables.attribute, values)
    _put(
        connection,
        tables.scanned_file,
        (
            {
                "owner": owner,
                "key": key,
                "size_bytes": 1,
                "mtime_ns": 1,
                "inode": number,
                "object_id": world.ids[number] if number % 3 else None,
                "outcome": "",
            }
            for owner in ("", DOCTOR, RESEARCHER)
            for number, key in enumerate(world.scanned)
        ),
    )
    _put(
        connection,
        tables.imported,
        (
            {
                "lfn": lfn,
                "digest": f"digest of {lfn}",
                "patient": world.patients[number // 10],
                "owner": "",
                "object_id": world.ids[number],
            }
            for number, lfn in enumerate(world.lfns)
        ),
    )
    _put(
        connection,
        tables.imported_series,
        ({"series": f"series {id_}", "object_id": id_} for id_ in world.ids[::2]),
    )
    _put(
        connection,
        tables.held_words,
        ({"object_id": id_, "rule": 1, "revision": 1, "sealed": "00"} for id_ in world.ids),
    )
    _put(
        connection,
        tables.removed,
        (
            {
                "patient": patient,
                "owner": "",
                "spot": spot,
                "content": "9.1 9.2",
                "lfn": f"/gone/{patient}",
                "removed_s": NOW_S,
            }
            for patient in world.patients
            for spot in ("", f"/gone/{patient}/T1w")
        ),
    )


def _fill_patient_attributes(connection: Connection, world: World) -> None:
    given: _Row = {"revision": 1, "is_current": True, "num": None, "text": None}
    given |= {"source": "participants.tsv", "given_by": DOCTOR, "given_s": NOW_S}
    rows: list[_Row] = []
    for number, patient in enumerate(world.patients):
        about = {**given, "patient": patient, "visit": ""}
        arm = f"arm {number}" if number % 2 else "treated"
        rows.append({**about, "name": "arm", "text": "none", "is_current": False})
        rows.append({**about, "name": "arm", "text": arm, "revision": 2})
        rows.append({**about, "name": "dose", "text": f"code {number % 3}"})
        rows.append({**about, "name": "group", "text": f"code {number % 3}"})
        rows.append({**about, "name": "score", "num": float(number % 977)})
    days = {
        (world.patients[number // 10], _image(world, number)["study_date"])
        for number in range(0, world.size, 5)
    }
    rows += [
        {**given, "patient": patient, "visit": day, "name": "score", "num": float(number % 977)}
        for number, (patient, day) in enumerate(sorted(days))
    ]
    _put(connection, tables.patient_attribute, rows)
    released = {"name": "group", "released_by": DOCTOR, "released_s": NOW_S}
    meanings = [(f"code {number}", f"group {number}") for number in range(3)]
    _put(
        connection,
        tables.released_code,
        ({**released, "code": code, "meaning": meaning} for code, meaning in meanings),
    )
    sealed = {"name": "dose", "sealed": "sealed:x", "given_by": DOCTOR, "given_s": NOW_S}
    _put(connection, tables.sealed_codes, [{**sealed, "reader": DOCTOR}])


def _fill_access(connection: Connection, world: World) -> None:
    _put(
        connection,
        tables.care,
        (
            {"patient": patient, "identity": identity, "role": role}
            for number, patient in enumerate(world.patients)
            for identity, role in ((DOCTOR, "physician"), (f"pt{number}", "patient"))
        ),
    )
    _put(
        connection,
        tables.access_grant,
        (
            {
                "object_id": id_,
                "identity": RESEARCHER,
                "granted_by": DOCTOR,
                "dataset": "trial",
                "until_s": LATER_S,
                "created_s": NOW_S,
            }
            for id_ in world.ids[1::10]
        ),
    )


def _fill_datasets(connection: Connection, world: World) -> None:
    for owner in ("", DOCTOR, RESEARCHER):
        questions = [("big", "/t/", True), ("live", "Modality=MR", False)]
        _put(
            connection,
            tables.dataset,
            (
                {"owner": owner, "name": name, "question": q, "frozen": frozen, "created_s": NOW_S}
                for name, q, frozen in questions
            ),
        )
        _put(
            connection,
            tables.dataset_member,
            (
                {"owner": owner, "dataset": "big", "lfn": lfn, "object_id": id_}
                for lfn, id_ in zip(world.lfns[1::2], world.ids[1::2], strict=True)
            ),
        )


def _submission(number: int, atlas: ObjectId) -> _Row:
    return {
        "id": number,
        "name": "",
        "owner": DOCTOR,
        "algorithm": _ALGORITHM,
        "algorithm_label": "seg@1",
        "parameters": {},
        "inputs": {"atlas": [atlas]},
        "item_role": "t1",
        "priority": 2,
        "created_s": NOW_S - 1000,
    }


class _Jobs:
    """Rows of jobs, with their attempts and events."""

    def __init__(self) -> None:
        self.jobs: list[_Row] = []
        self.attempts: list[_Row] = []
        self.events: list[_Row] = []

    def add(
        self, submission: int, number: int, item: ObjectId, state: str, cause: str | None
    ) -> None:
        key = {"submission": submission, "number": number}
        ended = cause is not None
        tried = ended or state == "Running"
        worker = f"w{number % 10}" if tried else None
        end = {
            "cause": cause,
            "exit_code": 0 if cause == "ok" else None,
            "started_s": NOW_S if tried else None,
            "ended_s": NOW_S - number % 5000 if ended else None,
        }
        self.jobs.append(
            {
                **key,
                **end,
                "own_inputs": [item],
                "state": state,
                "reason": "no slot is free" if state == "Waiting" else "",
                "attempt": int(tried),
                "old_attempts": 0,
                "preemptions": 0,
                "strikes": 0,
                "worker": worker,
                "cancel_asked": False,
                "not_before_s": 0.0,
                "updated_s": NOW_S,
                "paused_s": 0.0,
            }
        )
        texts = dict.fromkeys(("message", "stdout_tail", "stderr_tail"), "")
        if tried:
            attempt = {"attempt": 1, "worker": worker, "assigned_s": NOW_S}
            self.attempts.append({**key, **end, **texts, **attempt})
        for passed in ("Submitted", "Ready", state):
            event = {"attempt": 1, "time_s": NOW_S, "state": passed, "worker": None, "reason": ""}
            self.events.append({**key, **event})


def _fill_jobs(connection: Connection, world: World) -> None:
    atlas = world.flat_ids[0]
    small = range(2, 2 + world.submissions)
    _put(connection, jobs.submission, (_submission(number, atlas) for number in (1, *small)))
    label = {"name": "seg", "version": "1", "descriptor": {}, "created_s": NOW_S}
    _put(connection, tables.algorithm, [{"digest": _ALGORITHM, **label}])
    rows = _Jobs()
    half = world.jobs // 2
    for number in range(1, world.jobs + 1):
        state, cause = "Waiting" if number % 2 else "Submitted", None
        if number <= half:
            state, cause = ("Done", "ok") if number % 10 else ("Aborted", "exit")
        elif number <= half + _LIVE_JOBS:
            state = "Running"
        rows.add(1, number, world.item(number), state, cause)
    for submission in small:
        for number in (1, 2):
            state = "Cleared" if number % 2 else "Done"
            rows.add(submission, number, world.ids[submission], state, "ok")
    _put(connection, jobs.job, rows.jobs)
    _put(connection, jobs.job_attempt, rows.attempts)
    _put(connection, jobs.job_event, rows.events)
    _put(connection, jobs.usage, [{"owner": DOCTOR, "slot_s": 1.0, "at_s": NOW_S}])
    _put(connection, jobs.quota, [{"owner": DOCTOR, "slots": 10, "jobs": 10**7}])


def _fill_provenance(connection: Connection, world: World) -> None:
    """One derivation for each output, one for each twin, and one of all twins together."""
    heads: list[_Row] = []
    inputs: list[_Row] = []
    outputs: list[_Row] = []
    links: list[_Row] = []

    def add(name: str, made: ObjectId, given: dict[str, list[ObjectId]], job: int | None) -> None:
        key = _id(f"derivation of {made}")
        heads.append(
            {
                "id": key,
                "owner": DOCTOR,
                "algorithm": _ALGORITHM,
                "algorithm_name": name,
                "algorithm_version": "1",
                "parameters": {},
                "submission": None if job is None else 1,
                "job_number": job,
                "worker": "w1",
                "started_s": NOW_S,
                "ended_s": NOW_S,
                "exit_code": 0,
            }
        )
        for role, ids in given.items():
            inputs.extend(
                {"derivation": key, "role": role, "position": place, "object_id": id_}
                for place, id_ in enumerate(ids)
            )
        outputs.append({"derivation": key, "role": "out", "position": 0, "object_id": made})

    atlas = world.flat_ids[0]
    for job, made in enumerate(world.outputs, 1):
        add("seg", made, {"t1": [world.item(job)], "atlas": [atlas]}, job)
        if job % 2:
            links.append({"output_id": made, "input_id": world.item(job)})
    for original, twin in zip(world.ids[::2], world.ids[1::2], strict=True):
        add("deidentify", twin, {"original": [original]}, None)
    add("mean", world.flat_ids[1], {"t1": world.ids[1::2]}, None)
    for table, rows in (
        (tables.derivation, heads),
        (tables.derivation_input, inputs),
        (tables.derivation_output, outputs),
        (tables.derivation_link, links),
    ):
        _put(connection, table, rows)


def fill_keys(store: KeyStore, world: World) -> None:
    """Make an empty key store that of a world."""
    classes = ("image", "nominative")
    patient_of = {id_: world.patients[number // 10] for number, id_ in enumerate(world.ids)}
    compartments = [
        {"patient": patient, "data_class": data_class, "revision": 1}
        for patient in world.patients
        for data_class in classes
    ]
    key = {"public_key": b"p" * 32, "signer": "reg", "signature": b"s" * 64}
    sealed = {"revision": 1, "sealed": b"s" * 80}
    rows: dict[Table, Iterable[_Row]] = {
        keys.certificate: ({"name": f"user{n}", "blob": b"x" * 300} for n in range(FEW)),
        keys.compartment: ({**one, **key} for one in compartments),
        keys.wrap: (
            {**one, "recipient": who, "sealed": b"w" * 80}
            for one in compartments
            for who in (DOCTOR, keys.RECOVERY)
        ),
        keys.seal: ({"patient": patient, **sealed} for patient in world.patients),
        keys.protected: (
            {
                "object_id": id_,
                "patient": patient,
                "data_class": classes[number % 2 == 0],
                "owner": DOCTOR,
                "manifest": b"m" * 250,
            }
            for number, (id_, patient) in enumerate(patient_of.items())
        ),
        keys.header: (
            {"object_id": id_, "recipient": who, "revision": revision, "sealed": b"h" * 124}
            for who, revision, ids in (("", 1, world.ids), (DOCTOR, None, world.ids[::20]))
            for id_ in ids
        ),
        keys.grant_header: (
            {
                "object_id": id_,
                "recipient": RESEARCHER,
                "until_us": int(LATER_S * 1e6),
                "granted_by": DOCTOR,
                "sealed": b"h" * 124,
            }
            for id_ in world.ids[1::10]
        ),
        keys.delegation: [{"submission": 1, "owner": DOCTOR}],
        keys.delegation_key: [{"submission": 1, "recipient": "broker", "sealed": b"k" * 80}],
        keys.delegation_box: (
            {"submission": 1, "number": job, "object_id": world.item(job), "box": b"b" * 60}
            for job in range(1, world.jobs + 1)
        ),
        keys.audit: (
            _record(number, id_, patient)
            for number, (id_, patient) in enumerate(patient_of.items())
        ),
        keys.checkpoint: (
            {"size": n, "signer": DOCTOR, "time_us": n, "root": b"r" * 32, "signature": b"s" * 64}
            for n in range(1, len(world.ids), 10)
        ),
        keys.document: ({"name": id_, "blob": b"d" * 200} for id_ in world.ids[::10]),
        keys.share: (
            {"batch": batch_of(id_), "generation": 1, "share": b"s" * 33} for id_ in world.ids
        ),
        keys.pending: (
            {"write_id": id_, "identity": DOCTOR, "made_us": 1, "change": b"c" * 250}
            for id_ in world.ids[::10]
        ),
        keys.applied: ({"write_id": id_, "identity": DOCTOR} for id_ in world.ids[1::10]),
    }
    with store.db.write() as connection:
        for table, some in rows.items():
            _put(connection, table, some)


def batch_of(id_: ObjectId) -> bytes:
    """Name of the batch of keys that an object's key is one of, where stores have shares."""
    return id_.encode()[:16]


def _record(number: int, id_: ObjectId, patient: str) -> _Row:
    """A record; what somebody did lately, and each verb but the most common ones, is seldom."""
    who = (DOCTOR, RESEARCHER, "broker")[number % 3]
    verb = ("release", "keep", "grant")[number % 3] if number >= FEW else "rekey"
    record = Record(number, int(NOW_S * 1e6) + number, who, verb, id_, patient, "fetch")
    names = ("seq", "time_us", "who", "verb", "thing", "patient", "detail")
    return {name: getattr(record, name) for name in names} | {"leaf": record.leaf()}
