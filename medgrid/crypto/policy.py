"""Who may do what: one function decides, everything that acts on data asks it.

`may` is pure: it looks nothing up. The asker brings what the decision needs: roles from the
asker's certificate, relation to the patient and grant from the catalog. Nobody is an administrator
over data: a role that is not named in a rule has nothing.

The catalog's filter (`medgrid.catalog.sight`) and the row policies of PostgreSQL
(`medgrid.catalog.row_security`) say the rule of `Verb.SEE` in SQL;
``tests/catalog/test_sight_agrees.py`` compares the three. ``tests/crypto/test_policy.py`` walks
every role, verb and kind of thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from medgrid.model import DataClass, Review

__all__ = ["Care", "Decision", "Kind", "Role", "Thing", "Verb", "Who", "may"]


class Role(StrEnum):
    """What a certificate says somebody is; by itself it opens nothing."""

    PHYSICIAN = "physician"
    RESEARCHER = "researcher"
    PATIENT = "patient"
    REGISTRAR = "registrar"  # brings data in for others, reads none of it
    BROKER = "broker"  # moves jobs; gets keys per job, see the key store's delegations


class Care(StrEnum):
    """What somebody is to one patient."""

    PHYSICIAN = "physician"  # of the care team
    PATIENT = "patient"  # the patient, or who stands for them


class Kind(StrEnum):
    """What a thing is."""

    ORIGINAL = "original"  # class nominative
    DERIVATIVE = "derivative"  # the de-identified twin, or other images of one patient
    RESULT = "result"  # made from data of one patient
    SUMMARY = "summary"  # made from data of several patients
    PUBLIC = "public"  # nobody's data
    PATIENT = "patient"
    JOB = "job"
    DATASET = "dataset"
    PLACE = "place"  # site, storage element, worker
    ALGORITHM = "algorithm"
    AUDIT = "audit"  # a record of the audit log


class Verb(StrEnum):
    """What somebody wants to do."""

    SEE = "see"  # know that it exists, its metadata
    READ = "read"  # its content
    WRITE = "write"  # rename, remove, change metadata, add to it
    ADD = "add"  # bring new data of a patient; register an algorithm
    GRANT = "grant"  # let somebody read it; take that back
    REVIEW = "review"  # look for text in the pixels and release it
    WHOIS = "whois"  # the patient's name
    REKEY = "rekey"
    WITHDRAW = "withdraw"
    TEAM = "team"  # change the patient's care team
    SUBMIT = "submit"  # give it to a job, or run it
    STATUS = "status"
    CANCEL = "cancel"
    FETCH = "fetch"
    AUDIT = "audit"  # see who did what with it


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who asks: certified name and roles."""

    name: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Thing:
    """What is asked for, and what the asker is to it.

    Attributes
    ----------
    kind : Kind
        What it is.
    data_class : DataClass
        Class of an object.
    owner : str
        Whose it is: who registered the object, submitted the job, saved the dataset, or did what
        the audit record tells.
    patient : str or None
        Pseudonym, when it belongs to one patient.
    review : Review
        Whether pixels must be looked at before an object can be granted.
    care : frozenset of Care
        What the asker is to the patient.
    granted : bool
        Whether the asker was granted it, ...
    grant_until_s : float or None
        ... and until when; None is without end.
    has_team : bool
        Whether anybody cares for the patient yet.
    """

    kind: Kind
    data_class: DataClass = DataClass.IMAGE
    owner: str = ""
    patient: str | None = None
    review: Review = Review.NONE
    care: frozenset[str] = frozenset()
    granted: bool = False
    grant_until_s: float | None = None
    has_team: bool = True

    @property
    def is_object(self) -> bool:
        """Whether it has content of its own."""
        return self.kind in _OBJECTS


_OBJECTS = frozenset((Kind.ORIGINAL, Kind.DERIVATIVE, Kind.RESULT, Kind.SUMMARY, Kind.PUBLIC))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says, and why, in words that name no patient."""

    allowed: bool
    reason: str

    def __bool__(self) -> bool:
        return self.allowed


def may(who: Who, verb: Verb, thing: Thing, now_s: float) -> Decision:
    """Decide whether `who` may do `verb` to `thing` at `now_s` (epoch seconds)."""
    rules = _OBJECT_RULES if thing.is_object else _RULES.get(thing.kind, {})
    rule = rules.get(verb)
    if rule is None:
        return Decision(False, f"nobody may {verb} a {thing.kind}")
    return rule(who, thing, now_s)


def _yes(reason: str) -> Decision:
    return Decision(True, reason)


def _no(reason: str) -> Decision:
    return Decision(False, reason)


def _is_owner(who: Who, thing: Thing) -> bool:
    return bool(who.name) and thing.owner == who.name


def _everybody(_who: Who, thing: Thing, _now_s: float) -> Decision:
    return _yes(f"everybody may know of a {thing.kind}")


def _owner(who: Who, thing: Thing, _now_s: float) -> Decision:
    if _is_owner(who, thing):
        return _yes(f"it is their own {thing.kind}")
    return _no(f"a {thing.kind} is its owner's alone")


def _read(who: Who, thing: Thing, now_s: float) -> Decision:
    if thing.data_class is DataClass.PUBLIC:
        return _yes("it is public")
    if _is_owner(who, thing):
        return _yes("it is their own")
    if Care.PHYSICIAN in thing.care:
        return _yes("they care for the patient")
    if Care.PATIENT in thing.care:
        return _yes("they are the patient")
    if not thing.granted:
        return _no("it was not granted to them")
    if thing.data_class is not DataClass.IMAGE:
        return _no("data that names the patient is never granted")
    if thing.review is Review.NEEDED:
        return _no("its pixels were not reviewed")
    if thing.grant_until_s is not None and thing.grant_until_s <= now_s:
        return _no("the grant has expired")
    return _yes("it was granted to them")


def _write(who: Who, thing: Thing, _now_s: float) -> Decision:
    if _is_owner(who, thing):
        return _yes("it is their own")
    return _physician(who, thing, _now_s)


def _physician(_who: Who, thing: Thing, _now_s: float) -> Decision:
    if Care.PHYSICIAN in thing.care:
        return _yes("they care for the patient")
    return _no("only a physician of the patient may")


def _controls(who: Who, thing: Thing, now_s: float) -> Decision:
    """Physician of the patient; what belongs to no single patient is its owner's to decide."""
    if thing.data_class is DataClass.PUBLIC:
        return _no("it is public")
    if thing.patient is None and _is_owner(who, thing) and Role.PHYSICIAN in who.roles:
        return _yes("it is their own, and of no single patient")
    return _physician(who, thing, now_s)


def _grant(who: Who, thing: Thing, now_s: float) -> Decision:
    if thing.data_class is DataClass.NOMINATIVE:
        return _no("data that names the patient is never granted")
    decision = _controls(who, thing, now_s)
    if decision and thing.review is Review.NEEDED:
        return _no("its pixels were not reviewed")
    return decision


def _rekey(who: Who, thing: Thing, now_s: float) -> Decision:
    if thing.data_class is not DataClass.PUBLIC and thing.patient is None and _is_owner(who, thing):
        return _yes("it is their own, and of no single patient")
    return _controls(who, thing, now_s)


def _whois(_who: Who, thing: Thing, _now_s: float) -> Decision:
    if thing.patient is None:
        return _no("it belongs to no single patient")
    if Care.PHYSICIAN in thing.care:
        return _yes("they care for the patient")
    if Care.PATIENT in thing.care:
        return _yes("they are the patient")
    return _no("only the patient and the care team may")


def _team(who: Who, thing: Thing, now_s: float) -> Decision:
    if not thing.has_team and who.roles & {Role.PHYSICIAN, Role.REGISTRAR}:
        return _yes("nobody cares for the patient yet")
    return _physician(who, thing, now_s)


def _add(who: Who, thing: Thing, now_s: float) -> Decision:
    if Role.REGISTRAR in who.roles:
        return _yes("they bring data in for the care teams")
    return _team(who, thing, now_s)


def _certified(who: Who, _thing: Thing, _now_s: float) -> Decision:
    if who.roles & {Role.PHYSICIAN, Role.RESEARCHER}:
        return _yes("they work with data here")
    return _no("only physicians and researchers may")


def _audit(who: Who, thing: Thing, now_s: float) -> Decision:
    if _is_owner(who, thing):
        return _yes("it is their own")
    return _whois(who, thing, now_s)


_Rule = Callable[[Who, Thing, float], Decision]

_OBJECT_RULES: dict[Verb, _Rule] = {
    Verb.SEE: _read,
    Verb.READ: _read,
    Verb.SUBMIT: _read,
    Verb.FETCH: _read,
    Verb.WRITE: _write,
    Verb.GRANT: _grant,
    Verb.REVIEW: _controls,
    Verb.WHOIS: _whois,
    Verb.REKEY: _rekey,
    Verb.WITHDRAW: _controls,
    Verb.AUDIT: _audit,
}

_RULES: dict[Kind, dict[Verb, _Rule]] = {
    Kind.PATIENT: {
        Verb.SEE: _whois,
        Verb.READ: _whois,
        Verb.WHOIS: _whois,
        Verb.AUDIT: _whois,
        Verb.WRITE: _physician,
        Verb.GRANT: _physician,
        Verb.REVIEW: _physician,
        Verb.REKEY: _physician,
        Verb.WITHDRAW: _physician,
        Verb.TEAM: _team,
        Verb.ADD: _add,
    },
    Kind.JOB: dict.fromkeys(
        (Verb.SEE, Verb.READ, Verb.WRITE, Verb.STATUS, Verb.CANCEL, Verb.FETCH, Verb.AUDIT), _owner
    ),
    Kind.DATASET: dict.fromkeys((Verb.SEE, Verb.READ, Verb.WRITE, Verb.SUBMIT), _owner),
    # who administers the catalog's database changes places; they hold nobody's data
    Kind.PLACE: dict.fromkeys((Verb.SEE, Verb.READ), _everybody),
    Kind.ALGORITHM: {
        Verb.SEE: _everybody,
        Verb.READ: _everybody,
        Verb.FETCH: _everybody,
        Verb.SUBMIT: _everybody,
        Verb.ADD: _certified,
    },
    Kind.AUDIT: {Verb.SEE: _audit, Verb.READ: _audit},
}
