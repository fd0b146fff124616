"""Who brings images in for a care team opens none of them, and loses none either."""

from __future__ import annotations

import shutil
from pathlib import Path

from medgrid.crypto.certificate import Role
from tests.lab.dicoms import write_series
from tests.lab.hospital import Hospital


def test_a_registrar_imports_for_the_care_team(hospital: Hospital, tmp_path: Path) -> None:
    desk = hospital.add_person("desk", [Role.REGISTRAR])
    keys = "keys/pseudonym.key"
    shutil.copy(hospital.alice.home / keys, desk.home / keys)
    write_series(tmp_path / "dicom")
    before = hospital.alice.ok("query", "/ and class in (nominative, image)").lines
    lfns = desk.ok("import", tmp_path / "dicom", "--to", "/new", "--team", "alice").lines
    assert len(lfns) == 1
    assert desk.ok("query", "/").lines == ["/code/mask"]
    after = hospital.alice.ok("query", "/ and class in (nominative, image)").lines
    for lfn in sorted(set(after) - set(before)):
        assert hospital.alice.read(lfn)
    assert lfns[0] in after


def test_a_registrar_is_not_told_what_was_removed_was_called(
    hospital: Hospital, tmp_path: Path
) -> None:
    desk = hospital.add_person("desk", [Role.REGISTRAR])
    keys = "keys/pseudonym.key"
    shutil.copy(hospital.alice.home / keys, desk.home / keys)
    (path,) = write_series(tmp_path / "in", 1)
    words = ("import", tmp_path / "in", "--to", "/new", "--team", "alice")
    (lfn,) = desk.ok(*words).lines
    hospital.alice.ok("mv", lfn, "/alice/secret")
    hospital.alice.ok("rm", "--yes", "/alice/secret")
    for person, what in (
        (hospital.alice, "/alice/secret.original"),
        (desk, f"the image of {path}"),
    ):
        said = person.ok(*words).err
        assert said.startswith(f"medgrid: warning: {what} was removed on 2")
        assert ("secret" in said) == (person.name == "alice")
