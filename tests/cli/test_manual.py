"""The manual says what ``--help`` says, and is well-formed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import fields
from types import ModuleType

import pytest

from medgrid.cli.main import COMMANDS
from medgrid.config import Settings
from tests.lab.prompt import ROOT

MAN = ROOT / "man"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", MAN / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_as_generated(generator: ModuleType) -> None:
    pages = generator.pages()
    assert set(pages) == {"medgrid.1"} | {f"medgrid-{name}.1" for name in COMMANDS}
    stale = [
        name
        for name, text in pages.items()
        if not (MAN / name).exists() or (MAN / name).read_text() != text
    ]
    assert stale == [], "run 'python man/generate.py'"


def test_no_page_is_left_over(generator: ModuleType) -> None:
    assert {path.name for path in MAN.glob("*.1")} == set(generator.pages())


def test_every_setting_is_described() -> None:
    page = (MAN / "medgrid-config.5").read_text()
    for field in fields(Settings):
        if field.name != "home":
            assert f".It Ic {field.name}\n" in page


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_lint() -> None:
    pages = sorted(str(path) for path in MAN.glob("*.[1-8]"))
    ran = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout) == (0, "")
