"""``medgrid demo``: what a newcomer types first."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from medgrid.cli.demo import Stage
from tests.lab.prompt import Prompt
from tests.lab.sshd import Sshd
from tests.lab.waiting import PATIENCE_S, wait_for

PNG = b"\x89PNG\r\n\x1a\n"


def processes_below(folder: Path) -> list[str]:
    found = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    return [line for line in found.splitlines() if str(folder) in line and "medgrid" in line]


def wait_for_none(folder: Path) -> None:
    """Agents take some seconds to end."""
    wait_for(
        lambda: not processes_below(folder), lambda: f"these to end: {processes_below(folder)}"
    )


def test_images_alone(prompt: Prompt, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    ran = prompt("demo", "--images", folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert (ran.code, ran.out) == (0, f"{len(files)} files in {folder}\n")
    assert len(files) == (38 if find_spec("nilearn") else 37)
    assert not prompt.home.exists()
    ran = prompt("demo", "--images", folder)
    assert ran.code == 2
    assert ran.err.startswith(
        "medgrid: error: invalid value for --images: the directory is not empty\n"
    )


def test_settings_of_the_users_grid_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But where packages come from does."""
    monkeypatch.setenv("MEDGRID_CATALOG", "postgresql://nowhere/medgrid")
    monkeypatch.setenv("MEDGRID_WHEELS", "/media/wheels")
    environ = Stage(tmp_path, to_stderr=False).environ
    assert {name: text for name, text in environ.items() if name.startswith("MEDGRID_")} == {
        "MEDGRID_HOME": str(tmp_path / "grid"),
        "MEDGRID_WHEELS": "/media/wheels",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("similarity_wheels")
def test_whole(prompt: Prompt, tmp_path: Path) -> None:
    """Every step is shown and ends well; a picture is left, and nothing else."""
    prompt.env["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    child = prompt.start("demo", cwd=tmp_path)
    out, err = child.communicate(timeout=2 * PATIENCE_S)
    assert child.returncode == 0, err + out
    typed = [line[2:] for line in out.splitlines() if line.startswith("$ ")]
    verbs = [re.match(r"medgrid (\w+)", line)[1] for line in typed]  # type: ignore[index]
    assert verbs == [
        "init",
        "import",
        "query",
        "algorithm",
        "query",
        "status",
        "fetch",
        "register",
        "query",
        "provenance",
    ]
    assert re.search(r"/trial/results/1\.\d/measures-1 +/trial/P-\w{10}/ses-1/T1w +1\.0", out)
    picture = Path(out.splitlines()[-1])
    assert picture == tmp_path / "medgrid-demo" / "best-match.png"
    assert picture.read_bytes().startswith(PNG)
    assert list((tmp_path / "scratch").glob("medgrid-demo-*")) == []
    assert not prompt.home.exists()
    wait_for_none(tmp_path / "scratch")


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.usefixtures("similarity_wheels")
def test_on_a_real_host(prompt: Prompt, tmp_path: Path, sshd: Sshd) -> None:
    """Jobs run there and nowhere else; all is kept; JSON is one document."""
    prompt.env["HOME"] = str(tmp_path / "home")
    ssh = tmp_path / "home" / ".ssh"
    ssh.mkdir(parents=True)
    (ssh / "known_hosts").write_text(sshd.known_hosts.read_text())
    (ssh / "config").write_text(f"Host far\n  HostName 127.0.0.1\n  IdentityFile {sshd.identity}\n")
    host = sshd.url.removeprefix("ssh://").replace("127.0.0.1", "far")
    kept = tmp_path / "kept"
    ran = prompt("demo", "--ssh", host, "--keep", kept, "--json", timeout_s=2 * PATIENCE_S)
    assert ran.code == 0, ran.err
    (document,) = ran.documents
    assert document["schema"] == "medgrid.demo/1"
    assert document["nmi"] > 1.0
    assert Path(document["picture"]).read_bytes().startswith(PNG)
    assert Path(document["picture"]).is_relative_to(kept)
    prompt.home = kept / "grid"
    assert {row[2] for row in prompt.ok("status", "1").rows} == {"there"}
    wait_for_none(kept)
