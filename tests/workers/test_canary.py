"""What a worker's disk, memory, command lines and environments say of protected jobs: nothing.

Jobs that print, write and name files after canaries run, fail, crash, are killed and cancelled.
Everything that lies on the host is then searched for each canary and each key, in several writings.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import itertools
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.model import Cause
from medgrid.workers.base import JournalRecord, Limits, OutputPattern
from tests.lab.memory import FILES
from tests.lab.postgres import SERVERS
from tests.lab.waiting import wait_for
from tests.workers.owner import Owner
from tests.workers.places import Place, all_records, follow_until
from tests.workers.test_contract import stage_item, tar_of

CANARIES = [  # tests run beside others on this machine
    f"CANARY-{name}-{os.getpid()}" for name in ("input", "stdout", "stderr", "file", "text", "own")
]
PIPES = "import os\nfor name in open('in/words').read().split(): os.mkfifo('a-' + name)\n"


def writings(secret: bytes) -> dict[str, bytes]:
    """Ways in which `secret` could stand in a file."""
    found = {
        "raw": secret,
        "hex": secret.hex().encode(),
        "HEX": secret.hex().upper().encode(),
    }
    for shift in range(3):  # base64 of a longer text that holds it
        code = base64.b64encode(b"\0" * shift + secret)
        found[f"base64+{shift}"] = code[(4 if shift else 0) : len(code) // 4 * 4 - 4]
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode("ascii")
        found["utf-16-le"] = text.encode("utf-16-le")
        found["utf-16-be"] = text.encode("utf-16-be")
        found["json"] = repr(text).strip("'").encode()
    return found


def leaks(data: bytes, secrets: dict[str, bytes]) -> list[str]:
    """Names of the secrets that stand in `data`."""
    return [
        f"{name} ({how})"
        for name, secret in secrets.items()
        for how, written in writings(secret).items()
        if written in data
    ]


def files_below(top: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of all there is, names of links and their targets included."""
    for folder, names, files in os.walk(top):
        names[:] = [one for one in names if one != FILES and not one.startswith(SERVERS)]
        for name in [*names, *files]:
            path = Path(folder, name)
            yield str(path), str(path).encode() + b"\n"
            if path.is_symlink():
                yield str(path), str(path.readlink()).encode()
            elif path.is_file():
                with contextlib.suppress(OSError):
                    yield str(path), path.read_bytes()


_LOOK_EVERY_S = 0.02


class Sampler(threading.Thread):
    """Looks at command line and environment of every process, again and again."""

    def __init__(self, secrets: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.secrets = secrets
        self._over = threading.Event()
        self.found: set[str] = set()
        self.looks = 0

    def run(self) -> None:
        """Look until told to stop."""
        while not self._over.wait(_LOOK_EVERY_S):
            self.looks += 1
            for process in Path("/proc").iterdir():
                if not process.name.isdigit() or int(process.name) == os.getpid():
                    continue
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        found = leaks((process / name).read_bytes(), self.secrets)
                        self.found.update(f"{one} in {name}" for one in found)

    def look_well(self) -> None:
        """Wait until it has looked once from beginning to end."""
        before = self.looks
        wait_for(lambda: self.looks > before + 1, "a whole look at all processes")

    def stop(self) -> None:
        """Stop looking."""
        self._over.set()
        self.join()


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.sshd)])
def near_place(request: pytest.FixtureRequest) -> Place:
    """Engines whose files can be read from here."""
    found: Place = request.getfixturevalue(f"{request.param}_place")
    return found


def test_the_search_finds_what_is_there() -> None:
    secrets = {"name": b"CANARY-input-77317"}
    secret = secrets["name"]
    for data in (
        b"x" + secret,
        secret.hex().encode(),
        secret.decode().encode("utf-16-le"),
        *(base64.b64encode(b"y" * count + secret + b"zz") for count in range(7)),
    ):
        assert leaks(data, secrets), data
    assert leaks(zlib.compress(secret), secrets) == []


def test_no_canary_and_no_key_is_found_on_the_host(near_place: Place) -> None:
    place, owner = near_place, Owner()
    link = place.open()
    numbers = itertools.count(1)
    image = "".join(CANARIES).encode() * 3000
    tar = tar_of({CANARIES[3]: image})
    # the shell itself writes and names the files: no canary stands on a command line of the job
    script = (
        "head -c 300 in/image; head -c 300 in/image >&2; read words < in/words; "
        "for w in $words; do echo $w; echo $w >&2; echo $w > $w; echo $w > $TMPDIR/$w; "
        "cat in/image > image-$w.nii.gz; done; "
    )

    def launch(text: str, **more: object) -> str:
        attempt = place.attempt(next(numbers))
        given = owner.script(
            attempt,
            script + text,
            inputs=(
                owner.give(link, image, "in/image"),
                owner.give(link, " ".join(CANARIES).encode(), "in/words"),
                owner.give(link, tar, "in/series", unpack=True),
            ),
            texts={"in/text": CANARIES[4], "in/pipes": PIPES},
            outputs=(OutputPattern("o", "image-*.nii.gz", is_list=True),),
        )
        link.launch([dataclasses.replace(given, **more)])  # type: ignore[arg-type]
        return attempt

    secrets = {name: name.encode() for name in CANARIES}
    sampler = Sampler(dict(secrets))
    sampler.start()
    try:
        good = launch("sleep 0.3")
        bad = launch("exit 3")
        crashed = launch("kill -SEGV $$")
        missing = launch("true", outputs=(OutputPattern("none", "*.none"),))
        many = launch("true", outputs=(OutputPattern("one", "image-*"),))
        pipe = launch("python3 in/pipes", outputs=(OutputPattern("pipe", "a-*", is_list=True),))
        slow = launch("sleep 60", limits=Limits(walltime_s=0.5))
        done = follow_until(link, [good, bad, crashed, missing, many, pipe, slow])
        cancelled, killed = launch("sleep 60"), launch("sleep 60")
        follow_until(link, [cancelled, killed], "started")
        wait_for(lambda: ready(place, cancelled) and ready(place, killed), "the jobs to write")
        secrets.update({f"key {number}": key for number, key in enumerate(owner.keys)})
        sampler.secrets = dict(secrets)
        sampler.look_well()
        link.cancel([cancelled])
        place.shell(f"kill -9 {place.keeper(killed)}")
        done.update(follow_until(link, [cancelled, killed]))
        body_of_other, _ = owner.seal(b"x", "in/image")
        item = stage_item(owner.seal(image, "in/image")[1])
        link.stage([item])
        broken = launch(
            "true",
            inputs=(dataclasses.replace(body_of_other, sha256=item.sha256),),
        )
        done.update(follow_until(link, [broken]))
    finally:
        sampler.stop()
    causes = [Cause.OK, Cause.EXIT, Cause.SIGNAL] + [Cause.MISSING_OUTPUT] * 3
    causes += [Cause.WALLTIME, Cause.CANCELLED, Cause.LOST, Cause.STAGE_IN]
    attempts = [good, bad, crashed, missing, many, pipe, slow, cancelled, killed, broken]
    assert [done[attempt].cause for attempt in attempts] == causes
    check_contents(owner, done[good], image)
    assert owner.collect(link, done[good]) == [image] * len(CANARIES)
    for attempt in (bad, crashed, missing, many, slow, cancelled):
        assert CANARIES[0] in owner.told(done[attempt])["stdout_tail"]

    secrets.update({f"key {number}": key for number, key in enumerate(owner.keys)})
    secrets["owner"] = owner.private
    assert sampler.found == set()
    root = Path(place.root.strip("'"))
    searched = 0
    for top in {root, Path("/dev/shm"), Path(os.environ.get("XDG_RUNTIME_DIR", "/dev/shm"))}:
        for path, data in files_below(top):
            if path.endswith(".pyz"):
                continue
            searched += 1
            assert leaks(data, secrets) == [], path
    assert searched > 30
    for record in all_records(link):
        plain = dataclasses.replace(record, sealed_tails=b"", outputs=())
        assert leaks(repr(plain).encode(), secrets) == []
        assert leaks(repr(record.outputs).encode(), secrets) == []


def ready(place: Place, attempt: str) -> bool:
    """Whether a job has written the last of its files."""
    folder = f"{place.root}/attempts/{attempt}/private/work"
    return place.shell(f"ls {folder} 2>/dev/null | grep -c image- || true").strip() == str(
        len(CANARIES)
    )


def check_contents(owner: Owner, record: JournalRecord, image: bytes) -> None:
    """Check that the owner gets all that nobody else sees."""
    told = owner.told(record)
    assert set(told["paths"]) == {f"image-{name}.nii.gz" for name in CANARIES}
    assert {one.path for one in record.outputs} == {
        f"o/{number}.nii.gz" for number in range(1, len(CANARIES) + 1)
    }
    assert {one.size_bytes for one in record.outputs} == {len(image)}
    assert CANARIES[1] in told["stdout_tail"]
    assert CANARIES[2] in told["stderr_tail"]
