"""The jobs of a run: what they read, what they do, and what they must have written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from medgrid.model import LFN, DataClass, JobId, Replica
from tests.campaign.drawing import JobKind
from tests.lab.arena import Arena

__all__ = ["Asked", "expected_outputs", "submit"]

Asked = dict[JobId, JobKind]
"""The jobs that were submitted."""

# the name of the trace tells the agent, so that workers which share a host do not mix
_SCRIPT = """\
set -e
read -r mode sleep_s lines code name < "$1"
echo "$MEDGRID_ATTEMPT $name" >> "/dev/shm/mgtrace-${MEDGRID_ATTEMPT%%/*}"
sleep "$sleep_s"
parts=1
case $mode in
fail) echo "failing $name" >&2; exit "$code";;
daemon) setsid sleep 300 < /dev/null > /dev/null 2>&1 & ;;
loud) yes "loud $name" | head -n 200000; yes "louder $name" | head -n 200000 >&2;;
many) parts=5;;
esac
digest=$(sha256sum < "$1" | cut -c1-64)
yes "$digest" | head -n "$lines" > out.txt
for part in $(seq "$parts"); do echo "$name $part" > "part.$part"; done
"""


def submit(arena: Arena, public: Sequence[JobKind], sealed: Sequence[JobKind], se: str) -> Asked:
    """Make inputs, each with a replica on both storage elements, and submit their jobs."""
    field = arena.field
    field.algorithm("work", _SCRIPT, outputs=["out.txt", "part.*"])
    found: Asked = {}
    for kinds, data_class in ((public, DataClass.PUBLIC), (sealed, DataClass.IMAGE)):
        if not kinds:
            continue
        contents = {kind.name: kind.text for kind in kinds}
        lfns = field.put(*contents, data_class=data_class, contents=contents)
        _copy_to_second(arena, lfns)
        ids = field.submit("work", *lfns, "--se", se)
        found |= {JobId.parse(word): kind for word, kind in zip(ids, kinds, strict=True)}
    return found


def expected_outputs(kind: JobKind) -> dict[str, bytes]:
    """File name -> content."""
    line = hashlib.sha256(kind.text.encode()).hexdigest() + "\n"
    parts = 5 if kind.mode == "many" else 1
    found = {f"part.{part}": f"{kind.name} {part}\n".encode() for part in range(1, parts + 1)}
    return found | {"out.txt": (line * kind.lines).encode()}


def _copy_to_second(arena: Arena, lfns: Sequence[str]) -> None:
    with arena.field.grid() as grid:
        for copies in grid.catalog.objects.locate([LFN(lfn) for lfn in lfns]).values():
            (first,) = copies
            target = arena.second / first.pfn
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((arena.first / first.pfn).read_bytes())
            second: Replica = replace(first, se="second")
            grid.catalog.objects.add_replica(second)
