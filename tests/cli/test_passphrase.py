"""``medgrid passphrase``, and every way a passphrase comes in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from medgrid.crypto.identity_files import load_identity
from medgrid.crypto.registration import create_registration, load_registrar
from tests.lab.prompt import Prompt


@pytest.fixture
def alice(prompt: Prompt) -> Prompt:
    """A home with an identity that has no passphrase."""
    prompt.env["MEDGRID_USER"] = "alice"
    prompt.ok("identity", "create", "alice", "--no-passphrase")
    return prompt


def opens(prompt: Prompt, passphrase: str) -> bool:
    """Whether this passphrase opens Alice's key."""
    load_identity(prompt.home / "keys", "alice", passphrase.encode)
    return True


def a_file(folder: Path, passphrase: str, name: str = "passphrase") -> Path:
    file = folder / name
    file.write_text(f"{passphrase}\n")
    file.chmod(0o600)
    return file


def test_typed_on_a_terminal(alice: Prompt) -> None:
    """It is asked for twice and never shown."""
    new, again = "new passphrase of identity alice: ", "the same again: "
    ran = alice.on_terminal("passphrase", typed=[(new, "grün 1\n"), (again, "grün 1\n")])
    assert (ran.code, ran.out) == (
        0,
        f"{new}\n{again}\nthe passphrase of identity alice is set\n",
    )
    assert opens(alice, "grün 1")
    old = "passphrase of identity alice: "
    typed = [(old, "grün 1\n"), (new, "two\n"), (again, "two\n")]
    ran = alice.on_terminal("passphrase", typed=typed)
    assert (ran.code, ran.out) == (
        0,
        f"{old}\n{new}\n{again}\nthe passphrase of identity alice is changed\n",
    )
    assert opens(alice, "two")
    ran = alice.on_terminal("passphrase", "--remove", typed=[(old, "two\n")])
    assert ran.code == 0
    assert "identity alice has no passphrase: file modes alone protect it\n" in ran.out
    assert opens(alice, "")


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (["wrong\n"], 5, "wrong passphrase for identity alice"),
        (["\n"], 5, "wrong passphrase for identity alice"),
        (["old\n", "\n"], 2, "an empty passphrase protects nothing"),
        (["old\n", "new\n", "ne\n"], 2, "the two passphrases differ"),
        (["old\n", "\x03"], 130, "interrupted"),
        (["old\n", "\x04"], 130, "interrupted"),
    ],
)
def test_what_is_typed_wrongly_changes_nothing(
    alice: Prompt, tmp_path: Path, typed: list[str], code: int, told: str
) -> None:
    alice.ok("passphrase", "--new-passphrase-file", a_file(tmp_path, "old"))
    before = (alice.home / "keys" / "identities" / "alice.c4gh").read_bytes()
    questions = [
        "passphrase of identity alice: ",
        "new passphrase of identity alice: ",
        "the same again: ",
    ]
    ran = alice.on_terminal("passphrase", typed=list(zip(questions, typed, strict=False)))
    assert ran.code == code
    assert f"error: \x1b[0m{told}\n" in ran.out or f"{told}\n" in ran.out
    assert (alice.home / "keys" / "identities" / "alice.c4gh").read_bytes() == before


def test_from_files(alice: Prompt, tmp_path: Path) -> None:
    old, new = a_file(tmp_path, "one"), a_file(tmp_path, "two", "new")
    ran = alice("passphrase", "--new-passphrase-file", old)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert opens(alice, "one")
    alice.env["MEDGRID_PASSPHRASE_FILE"] = str(old)
    ran = alice("passphrase", "--new-passphrase-file", new, "--json")
    assert ran.documents == [
        {
            "schema": "medgrid.passphrase/1",
            "key": "identity alice",
            "file": f"{alice.home}/keys/identities/alice.c4gh",
            "state": "changed",
        }
    ]
    assert opens(alice, "two")
    ran = alice("passphrase", "--remove")
    assert (ran.code, ran.err) == (5, "medgrid: error: wrong passphrase for identity alice\n")
    assert opens(alice, "two")
    ran = alice("--passphrase-file", new, "passphrase", "--remove")
    assert (ran.code, ran.err) == (
        0,
        "medgrid: warning: identity alice has no passphrase: file modes alone protect it\n",
    )
    assert opens(alice, "")


def test_a_new_identity_takes_the_file(prompt: Prompt, tmp_path: Path) -> None:
    file = a_file(tmp_path, "pass")
    ran = prompt("identity", "create", "alice", "--passphrase-file", file)
    assert (ran.code, ran.err) == (0, "")
    assert opens(prompt, "pass")


def test_a_file_that_others_can_read(alice: Prompt, tmp_path: Path) -> None:
    file = a_file(tmp_path, "one")
    file.chmod(0o644)
    ran = alice("passphrase", "--new-passphrase-file", file)
    assert (ran.code, ran.err) == (
        9,
        f"medgrid: error: {file}: others can read it\nmedgrid: hint: chmod 600 {file}\n",
    )
    assert opens(alice, "")


def test_nobody_is_asked_who_cannot_answer(alice: Prompt, tmp_path: Path) -> None:
    told = (
        "medgrid: error: the new passphrase of identity alice cannot be asked here\n"
        "medgrid: hint: say --new-passphrase-file FILE, or --remove\n"
    )
    ran = alice("passphrase", stdin="one\none\n")
    assert (ran.code, ran.out, ran.err) == (2, "", told)
    plain = {"NO_COLOR": "1"}
    for words in (("--noint", "passphrase"), ("passphrase", "--noint")):
        assert alice.on_terminal(*words, env=plain).out == told
    alice.ok("passphrase", "--new-passphrase-file", a_file(tmp_path, "one"))
    ran = alice("passphrase", "--remove")
    assert (ran.code, ran.err) == (
        2,
        "medgrid: error: the passphrase of identity alice cannot be asked here\n"
        "medgrid: hint: say --passphrase-file FILE, or set MEDGRID_PASSPHRASE_FILE\n",
    )


def test_the_terminal_is_asked_while_stdin_is_a_pipe(alice: Prompt, tmp_path: Path) -> None:
    """As in ``medgrid query ... | medgrid submit ... -``."""

    class Piped(Prompt):
        def command(self, *words: str | Path) -> list[str]:
            code = (
                "import os, sys; os.dup2(os.open(os.devnull, os.O_RDONLY), 0); "
                "os.execv(sys.argv[1], sys.argv[1:])"
            )
            return [sys.executable, "-c", code, *super().command(*words)]

    alice.ok("passphrase", "--new-passphrase-file", a_file(tmp_path, "one"))
    piped = Piped(alice.home, alice.env)
    asked = "passphrase of identity alice: "
    ran = piped.on_terminal("passphrase", "--remove", typed=[(asked, "one\n")])
    assert ran.code == 0
    assert ran.out.startswith(asked)
    assert opens(alice, "")


def test_the_registration_key(alice: Prompt, tmp_path: Path) -> None:
    keys = alice.home / "keys"
    made = create_registration(keys, None)
    ran = alice("passphrase", "--registration", "--new-passphrase-file", a_file(tmp_path, "one"))
    assert (ran.code, ran.err) == (0, "")
    assert load_registrar(keys, lambda: b"one") == made
    ran = alice("identity", "certify", "alice", "--role", "patient")
    assert (ran.code, ran.err.splitlines()[0]) == (
        2,
        "medgrid: error: the passphrase of the registration key cannot be asked here",
    )
    wrong = a_file(tmp_path, "two")
    ran = alice("identity", "certify", "alice", "--role", "patient", "--passphrase-file", wrong)
    assert (ran.code, ran.err) == (
        5,
        "medgrid: error: wrong passphrase for the registration key\n",
    )
    stick = tmp_path / "stick.key"
    (keys / "registration.key").rename(stick)
    right = a_file(tmp_path, "one")
    ran = alice("passphrase", "--key", stick, "--passphrase-file", right, "--remove")
    assert ran.err == (
        "medgrid: warning: the registration key has no passphrase: file modes alone protect it\n"
    )
    assert load_registrar(keys, file=stick) == made


def test_who_has_no_identity(prompt: Prompt) -> None:
    prompt.env["MEDGRID_USER"] = "carol"
    ran = prompt("passphrase", "--remove")
    assert (ran.code, ran.err) == (
        9,
        "medgrid: error: there is no identity carol here\n"
        "medgrid: hint: make one with 'medgrid identity create carol', or copy its files to "
        f"{prompt.home}/keys/identities\n",
    )
    assert not prompt.home.exists()
