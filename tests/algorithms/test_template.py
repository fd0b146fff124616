"""Command lines: words, quotes, what needs a shell, what is refused."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgrid.algorithms.template import Key, read_template
from medgrid.errors import ConfigError

KEYS = ["[A]", "[B]"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prog [A]", [("prog",), (Key("[A]"),)]),
        ("prog  --a=[A][B]x\n", [("prog",), ("--a=", Key("[A]"), Key("[B]"), "x")]),
        ("prog 'a b' \"c d\" e\\ f ''", [("prog",), ("a b",), ("c d",), ("e f",), ("",)]),
        ("prog 'x [A]'", [("prog",), ("x ", Key("[A]"))]),
        ("prog \\\n  [A]", [("prog",), (Key("[A]"),)]),
        ('prog "a\\b\\"c"', [("prog",), ('a\\b"c',)]),
        ("prog [abc]", [("prog",), ("[abc]",)]),
        ("prog --x=1", [("prog",), ("--x=1",)]),
    ],
)
def test_words_without_a_shell(text: str, words: list[object]) -> None:
    template = read_template(text, KEYS)
    assert list(template.words) == words
    assert not template.shell


@given(st.text(st.sampled_from("ab \t'\"\\-=./"), max_size=30).filter(str.strip))
def test_words_are_those_of_a_shell(text: str) -> None:
    try:
        words = shlex.split(text)
    except ValueError:
        return
    template = read_template("p " + text, [])
    if not template.shell:
        assert [word[0] for word in template.words] == ["p", *words]


@pytest.mark.parametrize(
    "text",
    [
        "a [A] | b",
        "a && b",
        "a; b",
        "a > b",
        "a < b",
        "a *.txt",
        "a $HOME",
        'a "$HOME"',
        "a `b`",
        "a &",
        "(a)",
        "a\nb",
        "X=1 a",
        "a # b",
        "a ~/b",
    ],
)
def test_what_needs_a_shell(text: str) -> None:
    assert read_template(text, KEYS).shell


def refused(text: str) -> tuple[str, str | None]:
    with pytest.raises(ConfigError) as error:
        read_template(text, KEYS)
    return error.value.message, error.value.hint


@pytest.mark.parametrize("text", ["a '[A]' | b", 'a "[A]" | b', 'a "$(b [A])"'])
def test_a_key_in_quotes_is_refused_where_there_is_a_shell(text: str) -> None:
    assert refused(text) == (
        "the command line needs a shell and has [A] inside quotes",
        "write [A] without quotes: its value is quoted when it is put in",
    )


def test_a_key_after_a_dollar_is_refused() -> None:
    assert refused("a $[A]")[0] == "the command line needs a shell and has [A] right after '$'"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a << E\n[A]\nE", "a here-document"),
        ("echo $(( [A] + 1 ))", "shell arithmetic"),
        ("echo $[ [A] ]", "shell arithmetic"),
        ("echo $1 [A]", "a positional parameter"),
        ('echo "${1}" [A]', "a positional parameter"),
        ("f() { cat [A]; }; f x", "a shell function"),
        ("eval [A]; b", "'eval', 'shift' or 'set'"),
        ("b; shift 2", "'eval', 'shift' or 'set'"),
    ],
)
def test_shell_that_could_change_a_value_is_refused(text: str, what: str) -> None:
    assert refused(text) == (
        f"the command line uses {what}, through which a value could be changed",
        "put the script into the bundle and call it with arguments",
    )


def test_an_awk_program_may_use_its_own_dollars() -> None:
    assert read_template("awk '{print $1}' [A] | sort", KEYS).shell


def test_other_refusals() -> None:
    assert refused("a [C]") == (
        "the command line has [C], which is no value-key",
        "value-keys are [A], [B]",
    )
    assert refused("a 'b")[0] == "the command line has a ' that is not closed"
    assert refused("a | b # [A]")[0] == "the command line has [A] in a comment"
    assert refused("  \n")[0] == "the command line is empty"


def test_absent_values() -> None:
    template = read_template("a [A] --b=[B] [A][B]", KEYS)
    assert template.arguments({}) == (("a",), ("--b=",))
    shell = read_template("a [A] --b=[B] | c", KEYS)
    assert shell.arguments({}) == (("/bin/sh",), ("-c",), ("a  --b= | c",), ("sh",))
