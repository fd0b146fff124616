"""The journal: durable, read by offset, cut where a crash tore it, alive on a full disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medgrid.agent.journal import Journal
from tests.lab.durable import calls_of, too_early
from tests.lab.hosts import Lab

_COMMIT = """
import sys
from medgrid.agent.journal import Journal
journal = Journal(sys.argv[1], sys.argv[2])
for number in range(3):
    journal.append({"n": number})
    journal.commit()
    open(f"{sys.argv[3]}{number}", "x")
"""


def opened(folder: Path) -> Journal:
    return Journal(str(folder / "journal"), str(folder / "ballast"))


def test_only_what_is_committed_can_be_read(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append({"n": 1})
    journal.append({"n": 2})
    assert list(journal.records()) == []
    journal.commit()
    records = list(journal.records())
    assert [record for _, record in records] == [{"n": 1}, {"n": 2}]
    assert records[-1][0] == journal.offset == (tmp_path / "journal").stat().st_size
    assert list(journal.records(records[0][0])) == records[1:]


def test_what_is_committed_is_on_the_disk(tmp_path: Path) -> None:
    journal, told = tmp_path / "journal", tmp_path / "told"
    calls = calls_of(tmp_path, _COMMIT, journal, tmp_path / "ballast", told)
    found = too_early(calls, str(journal), lambda call: call.path.startswith(str(told)))
    assert [is_early for _, is_early in found] == [False] * 3


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_torn_line_is_cut_wherever_it_tore(tmp_path: Path, cut: int) -> None:
    journal = opened(tmp_path)
    for number in range(3):
        journal.append({"n": number})
    journal.commit()
    journal.close()
    size = (tmp_path / "journal").stat().st_size
    os.truncate(tmp_path / "journal", size - cut)
    journal = opened(tmp_path)
    kept = [record["n"] for _, record in journal.records()]
    assert kept == list(range(2 if cut <= 8 else 1))
    journal.append({"n": 9})
    journal.commit()
    assert [record["n"] for _, record in journal.records()] == [*kept, 9]


def test_a_torn_line_longer_than_a_read(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b'{"n":1}\n' + b"x" * (3 << 20))
    assert list(opened(tmp_path).records()) == [(8, {"n": 1})]


def test_records_longer_than_a_read(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for number in range(5):
        journal.append({"n": number, "text": "x" * (700 << 10)})
    journal.commit()
    assert [record["n"] for _, record in journal.records()] == [0, 1, 2, 3, 4]


def test_brief_records_have_no_launch(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    told = {"event": "done", "message": 'it said ,"launch":{"argv":[]}'}
    journal.append({"event": "accepted", "launch": {"argv": ["true"], "launch": {}}})
    journal.append(told)
    journal.commit()
    whole, brief = list(journal.records()), list(journal.records(brief=True))
    assert [record for _, record in brief] == [{"event": "accepted"}, told]
    assert [offset for offset, _ in brief] == [offset for offset, _ in whole]
    assert whole[0][1]["launch"] == {"argv": ["true"], "launch": {}}


def test_an_offset_inside_a_record_is_refused(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append({"n": 1})
    journal.commit()
    for offset in (-1, 3, 100):
        with pytest.raises(ValueError, match=f"no record starts at offset {offset}"):
            list(journal.records(offset))


@pytest.mark.lab
def test_the_ballast_makes_room_on_a_full_disk(hosts: Lab) -> None:
    host = hosts.host(1)
    source = Path(__file__).parents[2] / "medgrid" / "agent" / "journal.py"
    check = (
        "import sys; sys.path.insert(0, '/journal'); from journal import Journal\n"
        "import os\n"
        "j = Journal('/journal/j', '/journal/ballast'); assert j.has_ballast\n"
        "free = os.statvfs('/').f_bavail * 4096\n"
        "with open('/filler', 'wb') as f: os.posix_fallocate(f.fileno(), 0, free)\n"
        "j.append({'n': 'x' * 1000000}); j.commit()\n"
        "assert not j.has_ballast and len(list(j.records())) == 1\n"
        "big = {'n': 'y' * 20000000}; j.append(big)\n"
        "try: j.commit()\n"
        "except OSError as exc: assert exc.errno == 28\n"
        "else: raise SystemExit('it fitted')\n"
        "assert len(list(j.records())) == 1 and j.is_dirty\n"
        "os.unlink('/filler'); j.commit(); assert len(list(j.records())) == 2\n"
        "assert j.restore_ballast(); print('fine')\n"
    )
    host.exec(
        "mkdir -p /journal && cat > /journal/journal.py <<'END'\n" + source.read_text() + "\nEND"
    )
    assert host.exec("python3 - <<'END'\n" + check + "END") == "fine\n"
    host.exec("rm -rf /journal /filler")


def test_what_a_failed_write_left_is_not_built_upon(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append({"n": 1})
    journal.commit()
    with (tmp_path / "journal").open("ab") as stream:  # as if truncating had failed, too
        stream.write(b'{"n":')
    journal.append({"n": 2})
    journal.commit()
    assert [record["n"] for _, record in journal.records()] == [1, 2]
    journal.close()
    assert [record["n"] for _, record in opened(tmp_path).records()] == [1, 2]


def test_what_is_withdrawn_is_not_written(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    for number in (1, 2, 3):
        journal.append({"n": number})
    journal.withdraw(0)
    journal.withdraw(2)
    journal.commit()
    assert [record["n"] for _, record in journal.records()] == [1]
