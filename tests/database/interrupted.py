"""Upgrades in processes that are killed, or whose calls fail, at one call after another.

    python -m tests.database.interrupted upgrade KIND FOLDER CONTROL ERROR NUMBER...

runs with a `Shim` loaded, whose control file is CONTROL. FOLDER holds ``before.db``, the migrations
and the revision they lead to. Each upgrade is a process made by fork, for which the NUMBER-th call
fails with ERROR, or kills it when that is 0. One JSON line says how each ended.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path

import alembic.command  # noqa: F401 - once for all processes

from medgrid.errors import MedgridError
from tests.database.kinds import KINDS
from tests.lab.shim import Role, Shim


def main(words: list[str]) -> int:
    name, folder, control, error, *numbers = words[1:]
    (kind,) = (one for one in KINDS if one.name == name)
    migrations = kind.made_up(Path(folder))
    newest = max(path.name[1:5] for path in migrations.glob("v*.py"))
    schema = dataclasses.replace(kind.schema, revision=newest, migrations=migrations)
    shim = Shim(Path(control), is_new=False)
    for number in map(int, numbers):
        place = Path(folder) / f"call-{number}"
        place.mkdir()
        shutil.copy(Path(folder) / "before.db", place / "made.db")
        shim.fail(Role.UPGRADE, number, error=int(error) or None)
        child = os.fork()
        if child == 0:
            try:
                kind.upgrade(f"sqlite:///{place / 'made.db'}", schema)
            except MedgridError as refused:
                (place / "error").write_text(refused.message)
                os._exit(refused.exit_code)
            except BaseException as unforeseen:
                sys.stderr.write(repr(unforeseen))
                os._exit(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        count = shim.count
        shim.heal()
        line = json.dumps({"call": number, "status": status, "calls": count})
        sys.stdout.write(f"{line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
