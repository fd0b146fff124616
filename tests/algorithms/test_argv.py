"""Any text a user gives arrives in the program's arguments byte for byte; real programs run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgrid.algorithms.descriptor import validate
from medgrid.algorithms.invocation import InputRef, compose
from medgrid.model import ObjectKind
from tests.algorithms.sample import with_inputs

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=40)
NASTY = [
    "",
    " ",
    "a b",
    "$(touch owned)",
    "`touch owned`",
    "'; touch owned; '",
    '"; touch owned; "',
    "a\nb\n",
    "\\",
    "\\n",
    "*",
    "[BUNDLE]",
    "[A]",
    "${1}",
    "-rf",
    "é\u2028漢",
    "\x01\x7f",
    "!history",
    "~root",
    "a=b",
    "%s",
]
# prints its arguments as JSON, however they came
ECHO = "import sys,json;print(json.dumps(sys.argv[1:]))"


def run(descriptor: dict[str, Any], values: dict[str, Any], folder: Path | None = None) -> Any:
    """Run what `compose` gives, as an agent would, and return the arguments the program saw."""
    validate(descriptor, "sample.json")
    words: list[str] = []
    for argument in compose(descriptor, {}, values).argv:
        parts: Sequence[Any] = [argument] if isinstance(argument, str) else argument
        words.append("".join(part if isinstance(part, str) else str(folder) for part in parts))
    ended = subprocess.run(words, capture_output=True, check=True, cwd=folder)
    return json.loads(ended.stdout)


def text_input(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "String", "value-key": f"[{name.upper()}]", **more}


PLAIN = with_inputs(
    f"{sys.executable} -c '{ECHO}' [A] --b=[B] [C] [D]",
    text_input("a"),
    text_input("b"),
    text_input("c", **{"list": True, "command-line-flag": "-c"}),
    text_input("d", **{"command-line-flag": "--dd", "command-line-flag-separator": "="}),
)
SHELL = with_inputs(
    f"true && {sys.executable} -c '{ECHO}' [A] --b=[B] [C] [D] | cat",
    *PLAIN["inputs"],
)


@pytest.mark.parametrize("descriptor", [PLAIN, SHELL], ids=["plain", "shell"])
@given(a=TEXTS, b=TEXTS, c=st.lists(TEXTS, min_size=1, max_size=12), d=TEXTS)
@settings(max_examples=40)
def test_any_text_arrives_whole(
    descriptor: dict[str, Any], a: str, b: str, c: list[str], d: str
) -> None:
    seen = run(descriptor, {"a": a, "b": b, "c": c, "d": d})
    assert seen == [a, f"--b={b}", "-c", *c, f"--dd={d}"]


@pytest.mark.parametrize("descriptor", [PLAIN, SHELL], ids=["plain", "shell"])
@pytest.mark.parametrize("text", NASTY)
def test_nasty_text_arrives_whole_and_does_nothing(
    descriptor: dict[str, Any], text: str, tmp_path: Path
) -> None:
    seen = run(descriptor, {"a": text, "b": text, "c": [text, text], "d": text}, tmp_path)
    assert seen == [text, f"--b={text}", "-c", text, text, f"--dd={text}"]
    assert list(tmp_path.iterdir()) == []


def test_a_value_is_never_read_again_for_keys() -> None:
    assert run(PLAIN, {"a": "[B]", "b": "[A]", "c": "[C]", "d": "[D]"}) == [
        "[B]",
        "--b=[A]",
        "-c",
        "[C]",
        "--dd=[D]",
    ]


def test_many_values_have_two_digit_positions_in_the_shell() -> None:
    many = [str(number) for number in range(25)]
    assert run(SHELL, {"a": "x", "b": "y", "c": many, "d": "z"})[3:-1] == many


def test_a_redirection_goes_where_the_value_says(tmp_path: Path) -> None:
    descriptor = with_inputs("echo [A] > [B].txt", text_input("a"), text_input("b"))
    validate(descriptor, "sample.json")
    argv = compose(descriptor, {}, {"a": "$HOME", "b": "it's"}).argv
    subprocess.run([str(word) for word in argv], check=True, cwd=tmp_path)
    assert (tmp_path / "it's.txt").read_text() == "$HOME\n"


@pytest.mark.parametrize("shell", ["", " | cat"], ids=["plain", "shell"])
def test_the_bundle_is_a_directory_known_on_the_worker(tmp_path: Path, shell: str) -> None:
    (tmp_path / "program.py").write_text("import sys,json;print(json.dumps(sys.argv[1:]))")
    descriptor = with_inputs(
        f"{sys.executable} [BUNDLE]/program.py [A]{shell}",
        text_input("a"),
        custom={"medgrid": {"bundle": "code"}},
    )
    assert run(descriptor, {"a": "x y"}, tmp_path) == ["x y"]


def test_an_absolute_path_is_made_on_the_worker(tmp_path: Path) -> None:
    descriptor = with_inputs(
        f"{sys.executable} -c '{ECHO}' [A] [IMAGE]",
        text_input("a"),
        {
            "id": "image",
            "type": "File",
            "value-key": "[IMAGE]",
            "uses-absolute-path": True,
            "command-line-flag": "--in",
            "command-line-flag-separator": "=",
        },
    )
    validate(descriptor, "sample.json")
    image = InputRef("image.nii", ObjectKind.VOLUME)
    argv = compose(descriptor, {"image": [image]}, {"a": "$PWD"}).argv
    ended = subprocess.run([str(w) for w in argv], capture_output=True, check=True, cwd=tmp_path)
    assert json.loads(ended.stdout) == ["$PWD", f"--in={tmp_path}/in/image/image.nii"]
