"""The command line of a descriptor as words and value-keys, and how it becomes arguments.

A template is read by the POSIX rules of quoting (IEEE 1003.1 Shell Command Language 2.2). One that
uses no more of the shell than words and quotes is run without a shell. One that does (pipes,
redirections, variables, ...) is given to ``/bin/sh -c`` as written, with each value-key replaced by
``"${1}"``, ``"${2}"``...: values are arguments of the shell, never part of its script.

The promise that any text arrives byte for byte is kept by ``tests/algorithms/test_argv.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from medgrid.algorithms.options import options
from medgrid.errors import ConfigError

__all__ = [
    "BUNDLE",
    "BUNDLE_KEY",
    "WORKDIR",
    "Argument",
    "Key",
    "Place",
    "Template",
    "command_template",
    "read_template",
]

BUNDLE_KEY = "[BUNDLE]"


class Place(Enum):
    """A directory on the worker, known only there."""

    BUNDLE = "bundle"  # of the unpacked code bundle
    WORKDIR = "workdir"  # the job's working directory


BUNDLE = Place.BUNDLE
WORKDIR = Place.WORKDIR

Argument = tuple[str | Place, ...]
"""One argument: the concatenation of its parts."""


@dataclass(frozen=True, slots=True)
class Key:
    """A value-key as it stands in a template."""

    text: str


Word = tuple[str | Key, ...]

_OPERATORS = "|&;<>()\n"
_EXPANSIONS = "$`*?~!{}"
_TOKEN = re.compile(r"\[[A-Z][A-Z0-9_]*\]")
_POSITIONAL = re.compile(r"\$\{?[0-9@*#]")


@dataclass(frozen=True, slots=True)
class Template:
    """A command line, read.

    Attributes
    ----------
    words : tuple of words
        Text with the quotes taken away, and keys.
    pieces : tuple of str or Key
        The template as written, cut at its keys.
    shell : bool
        Whether it needs a shell.
    """

    words: tuple[Word, ...]
    pieces: tuple[str | Key, ...]
    shell: bool

    @property
    def keys(self) -> set[str]:
        """All value-keys in it."""
        return {piece.text for piece in self.pieces if isinstance(piece, Key)}

    def standing_alone(self, key: str) -> bool:
        """Whether `key` is always a word of its own."""
        return all(len(word) == 1 for word in self.words if any(part == Key(key) for part in word))

    def arguments(
        self, values: Mapping[str, Sequence[Argument]], shell: str = "/bin/sh"
    ) -> tuple[Argument, ...]:
        """Put values in.

        Parameters
        ----------
        values : mapping of value-key to arguments
            A key without arguments is left out. A key that is a part of a word has at most one.
        shell : str
            The interpreter for a template that needs one, or for a `WORKDIR` in a value.
        """
        needs_workdir = any(
            WORKDIR in argument for key in self.keys for argument in values.get(key, ())
        )
        if self.shell or needs_workdir:
            return self._shell_arguments(values, shell)
        found: list[Argument] = []
        for word in self.words:
            if len(word) == 1 and isinstance(word[0], Key):
                found += values.get(word[0].text, ())
                continue
            parts: list[str | Place] = []
            for part in word:
                if isinstance(part, Key):
                    for argument in values.get(part.text, ()):
                        parts += argument
                else:
                    parts.append(part)
            if parts:
                found.append(_joined(parts))
        return tuple(found)

    def _shell_arguments(
        self, values: Mapping[str, Sequence[Argument]], shell: str
    ) -> tuple[Argument, ...]:
        script: list[str] = []
        given: list[Argument] = []

        def positional(parts: Argument) -> str:
            given.append(parts)
            return f"${{{len(given)}}}"

        for piece in self.pieces:
            if isinstance(piece, str):
                script.append(piece)
                continue
            rendered = []
            for argument in values.get(piece.text, ()):
                text = ""
                rest: list[str | Place] = []
                for part in (*argument, None):
                    if part is not None and part is not WORKDIR:
                        rest.append(part)
                        continue
                    if rest:
                        text += positional(_joined(rest))
                        rest = []
                    if part is WORKDIR:
                        text += "${PWD}"
                rendered.append(f'"{text}"')
            script.append(" ".join(rendered))
        return ((shell,), ("-c",), ("".join(script),), ("sh",), *given)


def _joined(parts: Sequence[str | Place]) -> Argument:
    """Neighbouring texts as one."""
    found: list[str | Place] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(found) or ("",)


def read_template(text: str, keys: Collection[str]) -> Template:
    """Read a command line.

    Parameters
    ----------
    text : str
        The template.
    keys : collection of str
        Value-keys that may stand in it.

    Raises
    ------
    ConfigError
        A quote is not closed, a token in brackets is no key, or a key stands where its value could
        not arrive unharmed.
    """
    reader = _Reader(text.strip("\n"), sorted(keys, key=len, reverse=True))
    reader.read()
    template = Template(tuple(reader.words), tuple(reader.pieces), reader.shell)
    if not template.words:
        raise ConfigError("the command line is empty")
    return template


def command_template(descriptor: Mapping[str, Any]) -> Template:
    """The command line of a descriptor, read.

    Raises
    ------
    ConfigError
        See `read_template`.
    """
    keys = {
        entry["value-key"]
        for entry in (*descriptor["inputs"], *descriptor.get("output-files", ()))
        if "value-key" in entry
    }
    if "bundle" in options(descriptor):
        keys.add(BUNDLE_KEY)
    return _read_once(descriptor["command-line"], frozenset(keys))


@lru_cache(maxsize=64)
def _read_once(text: str, keys: frozenset[str]) -> Template:
    """Thousands of jobs of a submission have one command line."""
    return read_template(text, keys)


class _Reader:
    """One pass over a template."""

    def __init__(self, text: str, keys: Sequence[str]) -> None:
        self.text = text
        self.known = keys
        self.words: list[Word] = []
        self.pieces: list[str | Key] = []
        self.shell = False
        self.quoted_keys: list[tuple[str, str]] = []  # key, where it stands
        self._word: list[str | Key] | None = None
        self._start = 0  # of the piece being read

    def read(self) -> None:
        text = self.text
        quote = ""
        at = 0
        while at < len(text):
            char = text[at]
            key = self._key_at(at)
            if key is not None:
                self._see_key(key, at, quote)
                at += len(key)
            elif quote == "'":
                if char == "'":
                    quote = ""
                else:
                    self._see(char)
                at += 1
            elif char == "\\":
                follows = text[at + 1 : at + 2]
                if quote and follows not in ("$", "`", '"', "\\", "\n"):
                    self._see(char + follows)
                elif follows != "\n":
                    self._see(follows)
                at += 2
            elif quote:
                if char == '"':
                    quote = ""
                else:
                    self.shell |= char in "$`"
                    self._see(char)
                at += 1
            elif char in "'\"":
                quote = char
                self._see("")
                at += 1
            elif char == "#" and self._word is None:
                at = self._skip_comment(at)
            else:
                self._see_plain(char)
                at += 1
        if quote:
            raise ConfigError(f"the command line has a {quote} that is not closed")
        self._end_word()
        self.pieces.append(text[self._start :])
        self._check_tokens()
        if self.shell:
            self._check_shell()

    def _key_at(self, at: int) -> str | None:
        return next((key for key in self.known if self.text.startswith(key, at)), None)

    def _see(self, text: str) -> None:
        if self._word is None:
            self._word = []
        if self._word and isinstance(self._word[-1], str):
            self._word[-1] += text
        else:
            self._word.append(text)

    def _see_key(self, key: str, at: int, quote: str) -> None:
        if quote:
            self.quoted_keys.append((key, "inside quotes"))
        elif self.text[:at].endswith("$"):
            self.quoted_keys.append((key, "right after '$'"))
        if self._word is None:
            self._word = []
        self._word.append(Key(key))
        self.pieces += [self.text[self._start : at], Key(key)]
        self._start = at + len(key)

    def _see_plain(self, char: str) -> None:
        if char in " \t":
            self._end_word()
        elif char in _OPERATORS:
            # a line end before or after all words separates nothing
            self.shell |= char != "\n" or bool(self.words or self._word)
            self._end_word()
        else:
            self.shell |= char in _EXPANSIONS or (char == "=" and self._is_assignment())
            self._see(char)

    def _is_assignment(self) -> bool:
        word = self._word or []
        return (
            not self.words
            and len(word) == 1
            and isinstance(word[0], str)
            and word[0].isidentifier()
        )

    def _skip_comment(self, at: int) -> int:
        self.shell = True
        end = self.text.find("\n", at)
        end = len(self.text) if end < 0 else end
        for key in self.known:
            if key in self.text[at:end]:
                raise ConfigError(f"the command line has {key} in a comment")
        return end

    def _end_word(self) -> None:
        if self._word is not None:
            # an empty text beside keys comes from quotes that hold nothing
            parts = [part for part in self._word if part != ""]
            self.words.append(tuple(parts or [""]))
            self._word = None

    def _check_tokens(self) -> None:
        for piece in self.pieces:
            found = None if isinstance(piece, Key) else _TOKEN.search(piece)
            if found:
                raise ConfigError(
                    f"the command line has {found[0]}, which is no value-key",
                    hint=f"value-keys are {', '.join(sorted(self.known)) or 'not given'}",
                )

    def _check_shell(self) -> None:
        """Refuse what would let a value be read as shell text, or change ``$1``."""
        for key, where in self.quoted_keys:
            raise ConfigError(
                f"the command line needs a shell and has {key} {where}",
                hint=f"write {key} without quotes: its value is quoted when it is put in",
            )
        literal = "".join(piece for piece in self.pieces if isinstance(piece, str))
        outside = re.sub(r"'[^']*'", "''", literal)
        for pattern, what in (
            (r"<<", "a here-document"),
            (r"\$\(\(|\$\[", "shell arithmetic"),
            (_POSITIONAL.pattern, "a positional parameter"),
            (r"\(\s*\)", "a shell function"),
            (r"(^|[\s;&|(`])(eval|shift|set)\s", "'eval', 'shift' or 'set'"),
        ):
            if re.search(pattern, outside):
                raise ConfigError(
                    f"the command line uses {what}, through which a value could be changed",
                    hint="put the script into the bundle and call it with arguments",
                )
