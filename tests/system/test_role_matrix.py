"""Every role, verb and kind of thing at the prompt: the commands do what the policy says.

What somebody may not see answers as what does not exist, to the letter; what they see and may not
do is denied; and nothing that was refused has changed anything.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import pytest

from medgrid.crypto.policy import Kind, Verb, may
from medgrid.model import Review
from tests.lab.hospital import JANE, Hospital
from tests.lab.prompt import Ran
from tests.lab.ward import EVERYBODY, THINGS, UNCERTIFIED, thing, who
from tests.lanes import Sample

_ALL = "class in (nominative, image, public)"
_OBJECT: tuple[tuple[Verb, str], ...] = (
    (Verb.SEE, "stat {}"),
    (Verb.SEE, "stat {} --json"),
    (Verb.SEE, "replica ls {}"),
    (Verb.SEE, "provenance {}"),
    (Verb.SEE, "provenance --forward {}"),
    (Verb.SEE, f"query|lfn={{}} and {_ALL}|--fail-empty"),
    (Verb.SEE, f"query|lfn={{}} and {_ALL}|--columns|Modality,PatientID,owner|--fail-empty"),
    (Verb.SEE, f"query|lfn={{}} and {_ALL}|--count|--fail-empty"),
    (Verb.READ, "fetch {} --dir OUT"),
    (Verb.SUBMIT, "submit checksum {}"),
    (Verb.SUBMIT, "list-match checksum {}"),
    (Verb.WRITE, "mv {} /elsewhere/x"),
    (Verb.WRITE, "rm -y --force {}"),
    (Verb.WRITE, "register NOTE --to {} --replace"),
    (Verb.GRANT, "grant rita {} --for 1d"),
    (Verb.GRANT, "revoke bob {}"),
    (Verb.REVIEW, "review release {}"),
    (Verb.REVIEW, "review reject {}"),
    (Verb.REKEY, "rekey --force {}"),
)
_COMMANDS: Mapping[Kind, tuple[tuple[Verb, str], ...]] = {
    Kind.PATIENT: (
        (Verb.SEE, "team ls {}"),
        (Verb.WHOIS, "whois {}"),
        (Verb.WHOIS, "whois {} --json"),
        (Verb.TEAM, "team add {} dave --role physician"),
        (Verb.TEAM, "team rm {} paula"),
        (Verb.WITHDRAW, "withdraw {} --dry-run"),
        (Verb.WITHDRAW, "withdraw {} --yes"),
        (Verb.REKEY, "rekey --force --patient {}"),
        (Verb.WRITE, "register NOTE --to /new/note --meta PatientID={}"),
        (Verb.WRITE, "meta set {} arm=treated"),
        (Verb.WRITE, "patient merge {} P-JOHN --dry-run"),
    ),
    Kind.JOB: (
        (Verb.STATUS, "status {}"),
        (Verb.STATUS, "status {} --json"),
        (Verb.STATUS, "status {} --count"),
        (Verb.SEE, "explain {}"),
        (Verb.SEE, "log {}"),
        (Verb.SEE, "log {} --json"),
        (Verb.READ, "peek {}"),
        (Verb.FETCH, "fetch {} --dir OUT"),
        (Verb.WRITE, "register {} --to /new/results"),
        (Verb.WRITE, "clear --yes {}"),
        (Verb.CANCEL, "cancel {}"),
        (Verb.CANCEL, "resubmit {}"),
        (Verb.CANCEL, "resubmit --failed {}"),
    ),
    Kind.DATASET: (
        (Verb.SEE, "dataset show {}"),
        (Verb.SEE, f"query|dataset={{}} and {_ALL}|--fail-empty"),
        (Verb.WRITE, "dataset rm {}"),
    ),
}
_TELLING = "register NOTE --to {} --replace"  # a name can be given once: that it is taken is told
_ABSENT = {"/m/public": "/m/nothin", "1.1": "7.1", "cohort": "cohorx", "P-JANE": "P-JANX"}


def commands(word: str) -> tuple[tuple[Verb, str], ...]:
    return _COMMANDS.get(THINGS[word].kind, _OBJECT)


EVERYTHING = [(word, verb, command) for word in THINGS for verb, command in commands(word)]
DRAWN = 8  # of what one person may or may not do


def run(ward: Hospital, name: str, command: str, word: str) -> Ran:
    words = command.split("|") if "|" in command else command.split()
    out = ward.folder / "out" / str(time.time_ns())
    note = ward.folder / "note.txt"
    note.write_text("a note")
    places = {"OUT": str(out), "NOTE": str(note)}
    ran = ward.people[name].run(*(places.get(one, one.format(word)) for one in words))
    text = []
    for one in (ran.out, ran.err):
        for said, neutral in ((word, "WORD"), (f"submission {word[0]}", "it"), (str(out), "OUT")):
            one = one.replace(said, neutral)
        text.append(one)
    return Ran(ran.code, *text)


def is_allowed(name: str, verb: Verb, word: str, command: str = "") -> bool:
    found = thing(word, name)
    if command.startswith("revoke"):  # who gave it, and also what nobody could be granted now
        if (name, word) == ("otto", "/m/summary"):
            return True
        found = replace(found, review=Review.NONE)
    return bool(may(who(name), verb, found, time.time()))


def state(ward: Hospital) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the catalog and of the key store, but for the audit log."""
    found = {}
    for file in sorted(ward.folder.rglob("*.db")):
        with closing(sqlite3.connect(file)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                if table not in ("audit", "checkpoint", "sqlite_sequence", "sqlite_stat1"):
                    rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
                    found[f"{file.name} {table}"] = sorted(rows, key=repr)
    return found


def refusals(name: str, word: str, command: str) -> tuple[int, ...]:
    """Exit codes of what is refused to who sees the thing."""
    if name in UNCERTIFIED:
        return (4, 5)  # no such identity
    if command.startswith("revoke"):
        return (4,)  # no grant that is theirs to take back
    if word == "/m/public" and command.startswith("grant"):
        return (0,)  # everybody reads it: there is nothing to do
    return (5,)


def successes(word: str, command: str) -> tuple[int, ...]:
    """Exit codes of what is allowed."""
    if word == "1.1":
        return (0, 3, 4)  # the job waits, and has no outputs yet
    if command.startswith("review release") and word != "/m/gated":
        return (2,)  # it needs no review
    if command == _TELLING:
        return (0, 3)  # it is told who does not see what is somebody else's now
    return (0,)


@pytest.mark.parametrize("name", EVERYBODY)
def test_what_is_refused(ward: Hospital, name: str, sample: Sample) -> None:
    before = state(ward)
    wrong: list[tuple[object, ...]] = []
    refused = [
        (word, command)
        for word, verb, command in EVERYTHING
        if not is_allowed(name, verb, word, command)
    ]
    for word, command in sample(refused, DRAWN):
        ran = run(ward, name, command, word)
        if command == _TELLING:
            if ran.code == 0:
                wrong.append((word, command, ran))
        elif is_allowed(name, Verb.SEE, word):
            if ran.code not in refusals(name, word, command):
                wrong.append((word, command, ran))
        else:
            absent = run(ward, name, command, _ABSENT.get(word, word[:-2] + "qq"))
            if ran != absent or ran.code == 0:
                wrong.append((word, command, ran, absent))
    assert not wrong, "\n".join(map(repr, wrong))
    assert state(ward) == before


@pytest.mark.parametrize("name", EVERYBODY)
def test_what_is_allowed(
    _ward_template: Hospital, ward: Hospital, name: str, sample: Sample
) -> None:
    wrong = []
    allowed = [
        (word, verb, command)
        for word, verb, command in EVERYTHING
        if is_allowed(name, verb, word, command)
    ]
    for number, (word, verb, command) in enumerate(sample(allowed, DRAWN)):
        fresh = ward
        if verb not in (Verb.SEE, Verb.READ, Verb.WHOIS, Verb.STATUS):
            folder = ward.folder.with_name(f"ward-{number}")
            fresh = _ward_template.copy(folder, ward.monkeypatch)
        ran = run(fresh, name, command, word)
        if ran.code not in successes(word, command) or "no job" in ran.err:
            wrong.append((word, command, ran))
    assert not wrong, "\n".join(map(repr, wrong))


LISTS = (
    (f"query|/m and {_ALL}", "/m/"),
    (f"query|/m and {_ALL}|--json|--columns|Modality,PatientID,owner,class,original", "/m/"),
    ("ls /m", "/m/"),
    ("ls -l /m", "/m/"),
    ("status", "1.1"),
    ("dataset ls", "cohort"),
    ("team ls", JANE),
    ("audit", "/m/"),
)


@pytest.mark.parametrize("name", EVERYBODY)
def test_what_lists_show(ward: Hospital, name: str) -> None:
    """Exactly what one may see; no line more, no number that counts the rest."""
    wrong = []
    for command, begin in LISTS:
        words = command.split("|") if "|" in command else command.split()
        ran = ward.people[name].run(*words)
        shown = {word for word in THINGS if word.startswith(begin) and word in ran.out}
        seen = {word for word in THINGS if word.startswith(begin) and sees(name, word)}
        if shown - seen or (seen - shown and command != "audit"):
            wrong.append((command, ran.code, shown ^ seen, ran.err))
    seen = {word for word in THINGS if word.startswith("/m/") and sees(name, word)}
    counted = ward.people[name].ok("query", f"/m and {_ALL}", "--count").lines
    explained = ward.people[name].ok("query", f"/m and {_ALL}", "--explain").rows
    assert counted == [str(len(seen))]
    assert str(len(seen)) in explained[-1], explained
    assert not wrong, "\n".join(map(repr, wrong))


def sees(name: str, word: str) -> bool:
    return is_allowed(name, Verb.SEE, word)
