"""Files that a host fetches by itself: kept when they are what they should be, else told."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medgrid.agent.fetching import fetch
from medgrid.agent.layout import Layout
from medgrid.agent.receiving import problem

SFTP = """#!/bin/sh
# copies on this host, and writes down how it was called
echo "$@" >"$0.called"
while read -r verb paths; do eval "cp $paths"; done
"""


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    before, here = os.umask(0o077), Path.cwd()
    program = tmp_path / "bin" / "sftp"
    program.parent.mkdir()
    program.write_text(SFTP)
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    made = Layout(str(tmp_path / "agent"))
    made.make()
    yield made
    os.umask(before)
    os.chdir(here)


def wanted(path: Path, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"sha256": sha256, "size_bytes": len(content), "path": str(path)}


def request(*files: dict[str, Any], host: str = "far") -> dict[str, Any]:
    source = {"host": host, "port": 2222, "user": "grid", "identity": "/keys/se"}
    return {"source": source, "files": list(files)}


def test_what_is_fetched_is_checked_one_by_one(layout: Layout, tmp_path: Path) -> None:
    large, spoiled, gone = (tmp_path / name for name in ("a 'large' \"one\"", "spoiled", "gone"))
    large.write_bytes(content := os.urandom(3_000_000))
    spoiled.write_bytes(b"other bytes")
    files = (wanted(large, content), wanted(spoiled, b"bytes"), wanted(gone, b"nothing"))
    found = fetch(layout, request(*files), lambda: None)
    other = hashlib.sha256(b"other bytes").hexdigest()
    assert found["problems"] == [
        problem("integrity", files[1]["sha256"], other),
        problem(
            "unreadable", files[2]["sha256"], f"cp: cannot stat '{gone}': No such file or directory"
        ),
    ]
    assert not found["is_out_of_reach"]
    assert Path(layout.cached(files[0]["sha256"])).read_bytes() == content
    assert not Path(layout.cached(files[1]["sha256"])).exists()
    assert list(Path(layout.part("")).iterdir()) == []
    called = (tmp_path / "bin" / "sftp.called").read_text()
    assert called.startswith("-b - -P 2222 -o BatchMode=yes -o StrictHostKeyChecking=yes ")
    assert called.endswith(" -o IdentityFile=/keys/se -o User=grid far\n")


def test_a_host_that_does_not_answer_is_out_of_reach(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "bin" / "sftp").write_text("#!/bin/sh\necho 'far: timed out' >&2; exit 255\n")
    one = wanted(tmp_path / "a", b"bytes")
    assert fetch(layout, request(one), lambda: None) == {
        "problems": [problem("unreadable", one["sha256"], "far: timed out")],
        "is_out_of_reach": True,
    }


def test_a_full_disk_says_so(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "bin" / "sftp").write_text("#!/bin/sh\necho 'a: No space left on device' >&2\n")
    one = wanted(tmp_path / "a", b"bytes")
    (told,) = fetch(layout, request(one), lambda: None)["problems"]
    assert told["kind"] == "no-space"


def test_a_host_is_never_an_option(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a host"):
        fetch(layout, request(host="-oProxyCommand=x"), lambda: None)
