"""What algorithms need on a worker: programs, python packages, containers."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.model import Cause, Priority, Sha256, Worker
from medgrid.workers.base import Bundle, Environment, Launch, OutputPattern, WorkerLink
from tests.lab.hosts import Lab
from tests.lab.waiting import linger, wait_for
from tests.workers.conftest import settings_for
from tests.workers.owner import Owner
from tests.workers.places import (
    Place,
    collected,
    follow_until,
    local_shell,
    oldest_python,
    run,
    script,
)
from tests.workers.test_contract import stage_item, tar_of

WHEEL = {
    "greeting.py": "def greet():\n    return 'hello from a wheel'\n",
    "greeting-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\nRequires-Dist: left-out-on-purpose\n"
    ),
    "greeting-1.0.dist-info/WHEEL": (
        "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "greeting-1.0.dist-info/RECORD": "greeting.py,,\n",
}
IN_A_BOX = Environment("container", image="localhost/mini:1")


def staged_wheels(link: WorkerLink, pip_wheel: Path, requirement: str) -> Environment:
    """Stage a tar of wheels; the environment that `requirement` makes of it."""
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    item = stage_item(
        tar_of(
            {
                pip_wheel.name: pip_wheel.read_bytes(),
                "greeting-1.0-py3-none-any.whl": wheel.getvalue(),
            }
        )
    )
    link.stage([item])
    return Environment(
        "python",
        digest=Sha256(hashlib.sha256(requirement.encode()).hexdigest()),
        wheels=Bundle(item.sha256, item.size_bytes),
        requirements=(requirement,),
    )


def test_programs_of_the_host_are_looked_for_first(place: Place) -> None:
    link = place.open()
    needs = Environment(programs=("sh", "no-such-a", "no-such-b"))
    record = run(link, script(place.attempt(1), "true", environment=needs))
    assert (record.cause, record.message) == (
        Cause.ENVIRONMENT,
        "not on the worker's PATH: no-such-a, no-such-b",
    )
    assert (
        run(link, script(place.attempt(2), "true", environment=Environment(programs=("sh",)))).cause
        is Cause.OK
    )


def test_a_python_environment_is_built_once_without_network(place: Place, pip_wheel: Path) -> None:
    link = place.open()
    environment = staged_wheels(link, pip_wheel, "greeting==1.0")
    code = "import greeting, sys; print(greeting.greet(), sys.prefix)"
    launches = [
        Launch(place.attempt(number), ("python", "-c", code), environment=environment)
        for number in range(1, 5)
    ]
    link.launch(launches)
    done = follow_until(link, [one.attempt for one in launches])
    said = {record.stdout_tail for record in done.values()}
    assert len(said) == 1
    assert said.pop().startswith("hello from a wheel /")
    assert place.shell(f"ls {place.root}/environments").split() == [environment.digest]
    assert place.shell(f"find {place.root} -maxdepth 2 -perm /077").split() == []


def test_a_requirement_that_is_not_among_the_wheels(local_place: Place, pip_wheel: Path) -> None:
    link = local_place.open()
    environment = staged_wheels(link, pip_wheel, "farewell==2.0")
    launch = Launch(local_place.attempt(), ("python", "-c", ""), environment=environment)
    record = run(link, launch)
    assert record.cause is Cause.ENVIRONMENT
    assert record.message.startswith("the python environment cannot be built: ")
    assert "farewell==2.0" in record.message
    assert local_place.shell(f"ls {local_place.root}/environments") == ""


def test_a_half_built_environment_is_built_anew(local_place: Place, pip_wheel: Path) -> None:
    link = local_place.open()
    environment = staged_wheels(link, pip_wheel, "greeting")
    half = f"{local_place.root}/environments/{environment.digest}"
    local_place.shell(f"mkdir {half}; echo junk > {half}/bin")
    code = "import greeting"
    launch = Launch(local_place.attempt(), ("python", "-c", code), environment=environment)
    assert run(link, launch).cause is Cause.OK


def test_an_agent_killed_while_it_builds(local_place: Place, pip_wheel: Path) -> None:
    link = local_place.open()
    environment = staged_wheels(link, pip_wheel, "greeting")
    launch = Launch(
        local_place.attempt(), ("python", "-c", "import greeting"), environment=environment
    )
    link.launch([launch])
    wait_for(
        lambda: local_place.shell(f"ls {local_place.root}/environments"), "the building to begin"
    )
    local_place.kill_agent()
    link = local_place.open()
    assert follow_until(link, [launch.attempt])[launch.attempt].cause is Cause.OK


def test_no_container_runtime(ssh_place: Place) -> None:
    if shutil.which("podman") or shutil.which("apptainer"):
        pytest.skip("this host has a container runtime")
    record = run(ssh_place.open(), script(ssh_place.attempt(), "true", environment=IN_A_BOX))
    assert record.cause is Cause.ENVIRONMENT
    assert record.message == (
        "the worker has no container runtime (apptainer, podman) for this image"
    )


@pytest.fixture
def boxes(lab_place: Place, hosts: Lab) -> Iterator[Place]:
    """A worker of one slot whose jobs can run in containers."""
    static = Path("/usr/share/doc/busybox-static")  # a busybox that runs alone in an image
    if not shutil.which("podman") or not shutil.which("crun") or not static.exists():
        pytest.skip("needs podman, crun and busybox-static")
    prepare = textwrap.dedent(
        """
        mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || true
        mkdir -p /etc/containers
        printf '[storage]\\ndriver="vfs"\\ngraphroot="/scratch/store"\\nrunroot="/run/store"\\n' \
            > /etc/containers/storage.conf
        printf '[containers]\\ncgroups="disabled"\\ndefault_ulimits=%s\\n' \
            '["nofile=1024:1024", "nproc=1000:1000"]' > /etc/containers/containers.conf
        mkdir -p /image/bin && cp "$(command -v busybox)" /image/bin/busybox
        for name in sh echo cat sleep touch ls; do ln -sf busybox /image/bin/$name; done
        tar -C /image -c . | podman import -q - localhost/mini:1
        """
    )
    host, root = hosts.host(2), f"/root/{Path(lab_place.root).name}"
    host.exec(prepare)
    lab_place.worker = Worker(
        "boxes",
        host.url.replace("grid@", "root@"),
        "site",
        slots=1,
        options={"root": root},
    )
    lab_place.root, lab_place.shell = root, host.exec
    yield lab_place
    lab_place.close()
    lab_place.links.clear()
    host.exec(f"rm -rf {root}")


@pytest.mark.lab
def test_a_job_in_a_container(boxes: Place) -> None:
    link = boxes.open()
    assert "podman" in link.info.runtimes
    tools = stage_item(tar_of({"say.sh": b"echo bundled\n"}))
    link.stage([tools])
    record = run(
        link,
        Launch(
            boxes.attempt(1),
            (
                "sh",
                "-c",
                'sh "$0"; cat in; ls /sys/class/net; pwd > out',
                ({"bundle": True}, "/say.sh"),
            ),
            texts={"in": "text\n"},
            outputs=(OutputPattern("o", "out"),),
            bundle=Bundle(tools.sha256, tools.size_bytes),
            environment=IN_A_BOX,
        ),
    )
    assert (record.cause, record.stderr_tail) == (Cause.OK, "")
    assert record.stdout_tail == "bundled\ntext\nlo\n"
    assert collected(link, record) == [b"/medgrid/work\n"]
    owner = Owner()
    private = owner.script(
        boxes.attempt(3),
        "cat in; touch /tmp/scratch; touch /no 2>/dev/null || echo read-only; pwd > out",
        inputs=(owner.give(link, b"JANE-DOE-4711\n", "in"),),
        outputs=(OutputPattern("o", "out"),),
        environment=IN_A_BOX,
    )
    record = run(link, private)
    assert (record.cause, record.message) == (Cause.OK, "")
    assert owner.told(record)["stdout_tail"] == "JANE-DOE-4711\nread-only\n"
    assert owner.collect(link, record) == [b"/medgrid/work\n"]
    assert (
        boxes.shell(f"grep -rl JANE-DOE-4711 {boxes.root} /scratch /var/log /run /dev/shm || true")
        == ""
    )
    endless = script(boxes.attempt(2), "sleep 4711", environment=IN_A_BOX)
    link.launch([endless])
    follow_until(link, [endless.attempt], "started")
    wait_for(lambda: boxes.processes("sleep 4711"), "the program to run")
    link.cancel([endless.attempt])
    assert follow_until(link, [endless.attempt])[endless.attempt].cause is Cause.CANCELLED
    assert boxes.processes("sleep 4711") == []
    assert boxes.shell("podman ps -aq") == ""


@pytest.mark.lab
def test_a_job_in_a_container_stands_still_for_an_emergency(boxes: Place) -> None:
    link = boxes.open()
    text = "while [ ! -e /medgrid/work/over ]; do echo tick >> ticks; sleep 0.1; done"
    counting = script(boxes.attempt(1), text, environment=IN_A_BOX)
    ticks = f"cat {boxes.root}/attempts/{counting.attempt}/work/ticks 2>/dev/null | wc -l"

    def counted() -> int:
        return int(boxes.shell(ticks))

    link.launch([counting])
    wait_for(lambda: counted() > 0, "it to count")
    rank = Priority.EMERGENCY.rank
    urgent = script(boxes.attempt(2), "exec sleep 300", environment=IN_A_BOX, rank=rank)
    link.launch([urgent])
    follow_until(link, [counting.attempt], "suspended")
    follow_until(link, [urgent.attempt], "started")
    wait_for(lambda: boxes.processes("sleep 300"), "the emergency to run")
    before = counted()
    linger(1, "what does not stand still counts on")
    assert counted() == before
    link.cancel([urgent.attempt])
    follow_until(link, [counting.attempt], "resumed")
    wait_for(lambda: counted() > before, "it to count on")
    boxes.shell(f"touch {boxes.root}/attempts/{counting.attempt}/work/over")
    assert follow_until(link, [counting.attempt])[counting.attempt].cause is Cause.OK
    assert boxes.shell("podman ps -aq") == ""


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to hide a library from one program")
def test_a_python_without_ciphers_gets_no_protected_job(tmp_path: Path) -> None:
    code = "import _hashlib; print(open('/proc/self/maps').read())"
    maps = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    library = re.search(r"/\S*/libcrypto\S*", maps)
    if library is None:
        pytest.skip("needs a Python with a libcrypto of its own file")
    folder = str(Path(library.group()).parent)
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\nexec unshare -m sh -c '"
        f'for f in {folder}/libcrypto.so*; do mount --bind /dev/null "$f"; done; '
        f'exec {sys.executable} "$@"\' python "$@"\n'
    )
    python.chmod(0o755)
    worker = Worker("bare", "local:", "site", slots=2, options={"python": str(python)})
    place = Place(worker, settings_for(tmp_path), str(tmp_path / "agent" / "bare"), local_shell)
    try:
        link, owner = place.open(), Owner()
        assert link.info.ciphers == ()
        record = run(link, owner.script(place.attempt(1), "true"))
        assert (record.cause, record.message) == (
            Cause.ENVIRONMENT,
            "the worker's python has no ciphers for protected data",
        )
        assert run(link, script(place.attempt(2), "true")).cause is Cause.OK
    finally:
        place.close()


def test_python_3_8_is_enough(tmp_path: Path) -> None:
    python = oldest_python()
    if python is None:
        pytest.skip("no python3.8 on the PATH or of pyenv")
    worker = Worker("old", "local:", "site", slots=2, options={"python": python})
    place = Place(worker, settings_for(tmp_path), str(tmp_path / "agent" / "old"), local_shell)
    try:
        link = place.open()
        assert link.info.python.startswith("3.8.")
        item = stage_item(b"x" * 1000)
        link.stage([item])
        launch = script(place.attempt(1), "echo x | tee out", outputs=(OutputPattern("o", "out"),))
        record = run(link, launch)
        assert record.cause is Cause.OK
        assert collected(link, record) == [b"x\n"]
        running = script(place.attempt(2), "sleep 0.5; echo still here")
        link.launch([running])
        follow_until(link, [running.attempt], "started")
        place.kill_agent()
        link = place.open()
        assert follow_until(link, [running.attempt])[running.attempt].stdout_tail == "still here\n"
        owner = Owner()
        private = owner.script(
            place.attempt(4),
            "cat in | tee out",
            inputs=(owner.give(link, b"secret" * 20000, "in"),),
            outputs=(OutputPattern("o", "out"),),
        )
        record = run(link, private)
        assert owner.collect(link, record) == [b"secret" * 20000]
        assert owner.told(record)["stdout_tail"].endswith("secret")
        sleeper = script(place.attempt(3), "setsid sleep 60 & sleep 60")
        link.launch([sleeper])
        link.cancel([sleeper.attempt])
        assert follow_until(link, [sleeper.attempt])[sleeper.attempt].cause is Cause.CANCELLED
    finally:
        place.close()
