"""From what was scanned to what will be registered: one draft per series and per volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from medgrid.actions.importing.twins import (
    Pass,
    beside_parts,
    packed_pass,
    series_pass,
    volume_pass,
)
from medgrid.catalog.scanned import SeriesName
from medgrid.crypto.pseudonym import file_key, keyed_digest, neutral_label, pseudonym
from medgrid.images.companions import Trouble, read_companions
from medgrid.images.deidentify import first, id_words, keyed, label, segment
from medgrid.images.derive_series import SeriesPass
from medgrid.images.dicom import SeriesKey, series_key
from medgrid.images.metadata import distinct
from medgrid.images.pack import (
    SERIES_FILENAME,
    Changed,
    FileStamp,
    Member,
    Part,
    packed,
    packed_size,
)
from medgrid.images.patient import PatientKeys
from medgrid.images.scan import Scanned
from medgrid.images.scrub import Scrubber
from medgrid.images.volume import Volume, long_words
from medgrid.images.words import SHIPPED, Vocabulary, normal
from medgrid.model import LFN, PACKED_SUFFIX, ObjectId, ObjectKind

__all__ = [
    "Description",
    "Draft",
    "Failure",
    "Instance",
    "Namer",
    "SeriesFiles",
    "failures",
    "group",
    "keyed_spot",
    "same_bytes",
    "series_draft",
    "volume_draft",
]
_OTHER_CONTENT = "its SOPInstanceUID is that of another file with other content"


class Failure(NamedTuple):
    """A file that could not be imported, and why, in words that quote nothing of it."""

    path: str
    reason: str


def failures(exc: Changed, paths: Iterable[str]) -> Iterator[Failure]:
    """A file that could not be read, and those that go in with it."""
    yield Failure(exc.path, str(exc))
    for path in paths:
        if path != exc.path:
            yield Failure(path, "belongs with a file that could not be read; import again")


class Instance(NamedTuple):
    """One file of a series."""

    number: int
    sop_uid: str
    path: str
    stamp: FileStamp


@dataclass(slots=True)
class SeriesFiles:
    """All files of one series.

    `instances` are those to pack, one for each SOPInstanceUID, in order; `twins` are further files
    with the very bytes of one of them.
    """

    key: SeriesKey
    instances: list[Instance] = field(default_factory=list)
    twins: list[Instance] = field(default_factory=list)

    @property
    def files(self) -> list[Instance]:
        """All files whose content is in the series."""
        return [*self.instances, *self.twins]

    @property
    def members(self) -> list[Member]:
        """What is packed."""
        return [Member(one.path, one.stamp) for one in self.instances]


class Description(NamedTuple):
    """What is known of an object to be made.

    `folder` and `label` are those of the twin. An empty label stands for the one that follows from
    the content (`Namer.neutral`), when that was read. `names` is what names the patient. `held` is
    what was held back of descriptions, to be sealed (`medgrid.actions.words`).
    """

    folder: LFN
    label: str
    attributes: dict[str, Any]
    names: Mapping[str, str]
    held: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class Draft:
    """An object to be made, the bytes as they came, and its de-identified twin.

    `read` makes a pass over its files, which gives both; `look` reads their headers only.
    `described` is known when either is over. `files` are the files whose content it holds, and
    `beside` their companions, which it holds, too, some of them `doubtful`; others are `refused`.
    `content` gives the bytes of the original alone.
    `spots` are what a volume is known by besides its content, the present one first; empty, its LFN
    is, or what that would be in folders `elsewhere`. `replaces` is the LFN it becomes a new version
    of, `twin_lfn` that of its twin, `base` what `replaces` names now; `is_for_twin` says that this
    holds the same, and has no twin.
    `was_removed` says that a mark of what was removed ends, that of a series by one of the names
    `marked`; `lacks_twin` why no twin is wanted.
    """

    kind: ObjectKind
    filename: str
    size_bytes: int
    files: list[tuple[str, FileStamp]]
    read: Callable[[], Pass]
    look: Callable[[], None]
    described: Callable[[], Description]
    content: Callable[[], Iterable[bytes]] = tuple
    beside: Sequence[tuple[str, FileStamp]] = ()
    doubtful: Sequence[Trouble] = ()
    refused: Sequence[Trouble] = ()
    patient: str | None = None
    study_uid: str | None = None
    series_uid: str | None = None
    series_id: str = ""  # the same for whichever patient
    spots: tuple[LFN, ...] = ()
    elsewhere: tuple[LFN, ...] = ()
    replaces: LFN | None = None
    twin_lfn: LFN | None = None
    base: ObjectId | None = None
    was_removed: bool = False
    marked: Sequence[SeriesName] = ()
    lacks_twin: str = ""
    is_for_twin: bool = False

    def forget(self) -> None:
        """Let go what was read, which is large, when all of it is known."""
        del self.read, self.look, self.described, self.content

    @property
    def all_files(self) -> list[tuple[str, FileStamp]]:
        """Its files and their companions."""
        return [*self.files, *self.beside]

    @property
    def series(self) -> SeriesName | None:
        """Name of the series it packs, None when it is something else."""
        if self.kind is not ObjectKind.SERIES:
            return None
        return SeriesName(self.patient, self.study_uid, self.series_uid)


class Namer:
    """Pseudonyms and places of the catalog for what is imported.

    Parameters
    ----------
    key : bytes
        The grid's pseudonym key.
    to : LFN
        Folder everything goes below.
    issuer : str
        Who gave the patient ids, for files that do not say.
    vocabulary : Vocabulary
        Words that descriptions may have.
    has_session : callable
        Whether the grid has images of a session that is called so.
    merged : mapping
        Whom patients became, by pseudonym (`medgrid.catalog.merged`).
    """

    def __init__(
        self,
        key: bytes,
        to: LFN,
        issuer: str,
        vocabulary: Vocabulary = SHIPPED,
        has_session: Callable[[str], bool] = lambda _label: False,
        merged: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.vocabulary = vocabulary
        self._has_session = has_session
        self._key = key
        self._to = to
        self._issuer = issuer
        self._merged = merged
        self._former: dict[str, list[str]] = {}
        for old, new in merged.items():
            self._former.setdefault(new, []).append(old)

    def now(self, patient: str) -> str:
        """Whom a patient has become: themselves, unless they were merged."""
        return self._merged.get(patient, patient)

    def former(self, patient: str) -> Sequence[str]:
        """Who became a patient."""
        return self._former.get(patient, ())

    def of_series(self, key: SeriesKey) -> str:
        """Pseudonym of a series' patient.

        Without an id it follows from name and birth date, without these each study is a patient of
        its own.
        """
        issuer = key.issuer or self._issuer
        if key.patient_id:
            return self.of_subject(key.patient_id, "", issuer)
        named = issuer, key.patient_name, key.birth_date
        label = (
            neutral_label(self._key, "patient by name", *named)
            if key.patient_name
            else neutral_label(self._key, "patient by study", key.study_uid)
        )
        return self.now(f"P-{label}")

    def of_volume(self, volume: Volume) -> str | None:
        """Pseudonym of a volume's patient, None when nothing says who it is.

        The subjects of two BIDS datasets are not the same people, unless an issuer is given.
        """
        if not volume.patient_id:
            return None
        return self.of_subject(volume.patient_id, volume.dataset, volume.issuer)

    def of_subject(self, subject: str, dataset: str, issuer: str = "") -> str:
        """Pseudonym of whom a BIDS dataset, or an issuer, calls `subject`."""
        return self.now(pseudonym(self._key, subject, issuer or self._issuer or dataset))

    def session(self, subject: str, session: str, keys: PatientKeys | None) -> str:
        """``ses-LABEL`` of a subject, or what stands for it where its words are not known.

        Dates in it move; it may be empty. What the grid has a session under stays its name when a
        word of it is released.
        """
        label = session.removeprefix("ses-")
        known = keys.without_days(label) if keys else label
        if label and not SHIPPED.knows(normal(known)):
            told = self._told(subject, session)
            is_held = not self.vocabulary.knows(normal(known))
            if is_held or self._has_session(told.removeprefix("ses-")):
                return told
        return self.session_place(subject, session, keys)

    def session_place(self, subject: str, session: str, keys: PatientKeys | None) -> str:
        """The same, whatever words are known: what stands for it where it names the subject."""
        if session and Scrubber(long_words(id_words(subject))).finds(session):
            return self._told(subject, session)
        return keys.text(session) if keys else session

    def references(self, volume: Volume, keys: PatientKeys | None) -> dict[str, list[str]]:
        """Images of the subject that a volume names, as the grid calls them."""
        return {
            field: [
                "/".join(filter(None, (self.session(volume.patient_id, session, keys), label)))
                for session, label in named
            ]
            for field, named in volume.references.items()
        }

    def _told(self, subject: str, session: str) -> str:
        return f"ses-{neutral_label(self._key, 'session', subject, session)}"

    def folder(self, patient: str | None, inner: str) -> LFN:
        """Folder of a patient's study; what is nobody's lies at the top."""
        return self._to.child(patient, inner) if patient else self._to

    def spots(
        self, volume: Volume, patient: str | None, own_place: Sequence[str]
    ) -> tuple[LFN, ...]:
        """What a volume is known by: keyed; as it was keyed before, cut; as it was before that.

        One of somebody who was merged is known by what it was before, too.
        """
        found: list[LFN] = []
        for folder, place in self.places(volume, patient):
            if not place:
                *folders, place = own_place or [""]
                folder = folder.child(*folders) if folders else folder
            if place:
                cut = segment(place)
                found += [keyed_spot(self._key, folder, one) for one in (place, cut)]
                found.append(folder.child(cut))
        return tuple(dict.fromkeys(found))

    def places(self, volume: Volume, patient: str | None) -> Iterator[tuple[LFN, str]]:
        """Folder and place of a volume, as of its patient and as of who became them."""
        for whose in [patient, *(self.former(patient) if patient else ())]:
            keys = self.keys(whose) if whose else None
            day = first(keyed(volume.attributes, keys).get("StudyDate"))
            session = self.session_place(volume.patient_id, volume.session, keys)
            place = keys.text(volume.place) if keys else volume.place
            yield self.folder(whose, str(day or session or "undated")), place

    def neutral(self, sha256: str) -> str:
        """Label of a volume that nothing names, the same for the same content."""
        return f"volume-{neutral_label(self._key, 'volume', sha256)}"

    def word(self, text: str) -> str:
        """What stands for a word of a table that is not known, the same in the whole grid."""
        return f"word-{neutral_label(self._key, 'word', text)}"

    def file_key(self, path: str) -> str:
        """What a file is known by in the catalog."""
        return file_key(self._key, path)

    def keys(self, patient: str) -> PatientKeys:
        """What stands for a patient's dates and UIDs."""
        return PatientKeys.of(self._key, patient)

    def series_id(self, key: SeriesKey) -> str:
        """What a series is known by whoever its patient is."""
        return keyed_digest(self._key, "series", key.study_uid, key.series_uid)[:16].hex()

    def series_names(self, key: SeriesKey) -> list[SeriesName]:
        """What a series is known by in the catalog; marks may know one by what it was before."""
        patient = self.of_series(key)
        every = map(self.keys, (patient, *self.former(patient)))
        return [SeriesName(patient, k.uid(key.study_uid), k.uid(key.series_uid)) for k in every]


def keyed_spot(key: bytes, folder: LFN, place: str) -> LFN:
    """What a volume is known by, made so that nobody reads it."""
    return LFN(f"/{neutral_label(key, 'spot', folder, place)}")


def group(
    scanned: Iterable[Scanned],
    failed: Callable[[Failure], None],
    broken: Callable[[str, FileStamp, str], None],
) -> list[SeriesFiles]:
    """Sort instances into series, in order, each SOPInstanceUID once.

    An instance that names no issuer is of the series whose other instances name one.
    Two files with one SOPInstanceUID and other content cannot both be right: the first by path
    stays, the other is `broken`; one that could not be read has `failed`.
    """
    series: dict[SeriesKey, SeriesFiles] = {}
    for one in scanned:
        header = one.header
        if header is None:
            continue
        key = series_key(header)
        files = series.get(key)
        if files is None:
            files = series[key] = SeriesFiles(key)
        number = header.number if header.number is not None else 0
        files.instances.append(Instance(number, header.sop_uid, one.path, one.stamp))
    _join_issuers(series)
    for files in series.values():
        files.instances.sort(key=lambda one: (one.number, one.sop_uid, one.path))
        _once(files, failed, broken)
    return list(series.values())


def _join_issuers(series: dict[SeriesKey, SeriesFiles]) -> None:
    """Let instances without an issuer be of the series that differs in nothing else."""
    issuers: dict[SeriesKey, list[SeriesKey]] = {}
    for key in series:
        issuers.setdefault(key._replace(issuer=""), []).append(key)
    for key, keys in issuers.items():
        if key in series and len(keys) == 2:
            (named,) = (one for one in keys if one.issuer)
            series[named].instances += series.pop(key).instances


def _once(
    files: SeriesFiles,
    failed: Callable[[Failure], None],
    broken: Callable[[str, FileStamp, str], None],
) -> None:
    first: dict[str, Instance] = {}
    for one in files.instances:
        twin = first.setdefault(one.sop_uid, one)
        if twin is one:
            continue
        try:
            same = same_bytes(twin, one)
        except Changed as exc:
            *_, failure = failures(exc, [one.path])  # the first is read again, and told of then
            failed(failure)
            continue
        if same:
            files.twins.append(one)
        else:
            broken(one.path, one.stamp, _OTHER_CONTENT)
    files.instances = list(first.values())


def same_bytes(one: Instance, other: Instance) -> bool:
    """Whether two files have the same content."""
    if one.stamp.size_bytes != other.stamp.size_bytes:
        return False
    both = (Member(each.path, each.stamp).chunks() for each in (one, other))
    return all(mine == theirs for mine, theirs in zip(*both, strict=True))


def series_draft(files: SeriesFiles, namer: Namer) -> Draft:
    """Make the draft of a series; its headers describe it when they are read, all of them."""
    members = files.members
    keys = namer.keys(namer.of_series(files.key))
    patient = keys.pseudonym
    study_uid, series_uid = keys.uid(files.key.study_uid), keys.uid(files.key.series_uid)
    found = SeriesPass(members, keys, vocabulary=namer.vocabulary)

    def described() -> Description:
        attributes = (
            found.metadata.attributes(keys)
            | found.references.attributes(keys)
            | {
                "PatientID": patient,
                "StudyInstanceUID": study_uid,
                "SeriesInstanceUID": series_uid,
                "NumberOfSeriesRelatedInstances": len(members),
            }
        )
        folder = namer.folder(patient, str(first(attributes.get("StudyDate", "undated"))))
        held = {"words": sorted(found.metadata.held)}
        return Description(folder, label(attributes), attributes, found.metadata.names, held)

    return Draft(
        kind=ObjectKind.SERIES,
        filename=SERIES_FILENAME,
        size_bytes=packed_size([one.stamp.size_bytes for one in members]),
        files=[(one.path, one.stamp) for one in files.files],
        read=lambda: series_pass(found),
        look=found.look,
        described=described,
        patient=patient,
        study_uid=study_uid,
        series_uid=series_uid,
        series_id=namer.series_id(files.key),
    )


def volume_draft(
    file: Member,
    volume: Volume,
    namer: Namer,
    own_name: Sequence[str],
    own_place: Sequence[str],
    cache: Path,
) -> Draft:
    """Make the draft of a NIfTI file and its companions.

    Parameters
    ----------
    file : Member
    volume : Volume
    namer : Namer
    own_name : sequence of str
        Folders and a label, for a volume that nothing else names.
    own_place : sequence of str
        The same with all their words.
    cache : Path
        Folder for what is too large for memory.

    Raises
    ------
    Changed
        A companion is no more what it was when it was found.
    """
    patient = namer.of_volume(volume)
    keys = namer.keys(patient) if patient else None
    references = namer.references(volume, keys)
    beside = read_companions(volume, keys, namer.word, references, namer.vocabulary)
    attributes = keyed(volume.attributes, keys) | references
    attributes |= distinct("DiffusionBValue", beside.b_values)
    session = namer.session(volume.patient_id, volume.session, keys)
    label = volume.label
    if session:
        attributes["session"] = session.removeprefix("ses-")
    day = str(first(attributes.get("StudyDate")) or "")
    folder = namer.folder(patient, day or session or "undated")
    if not label:
        *folders, label = own_name or [""]
        folder = folder.child(*folders) if folders else folder
    if patient is not None:
        attributes["PatientID"] = patient
    held = {"words": sorted(volume.held), "texts": dict(volume.texts)}
    description = Description(folder, label, attributes, volume.nominative, held)
    draft = Draft(
        kind=ObjectKind.VOLUME,
        filename=volume.filename,
        size_bytes=file.stamp.size_bytes,
        files=[(file.path, file.stamp)],
        read=lambda: volume_pass(file, volume.review),
        look=lambda: None,
        described=lambda: description,
        content=file.chunks,
        doubtful=beside.doubtful,
        refused=beside.refused,
        patient=patient,
        study_uid=attributes.get("StudyInstanceUID"),
        series_uid=attributes.get("SeriesInstanceUID"),
        spots=namer.spots(volume, patient, own_place),
        elsewhere=tuple(folder for folder, _ in namer.places(volume, patient))[1:],
    )
    if beside.originals:
        parts = [
            Part(volume.filename, file.stamp.size_bytes, file.chunks),
            *beside_parts(beside.originals),
        ]
        draft.filename += PACKED_SUFFIX
        draft.size_bytes = packed_size([one.size_bytes for one in parts])
        draft.read = lambda: packed_pass(
            file, volume.filename, volume.review, beside.originals, beside.twins, cache
        )
        draft.content = lambda: packed(parts)
        draft.beside = [(one.path, one.stamp) for one in beside.files]
    return draft
