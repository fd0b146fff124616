"""Write the manual pages from the text that ``--help`` prints and the sections written by hand.

``python man/generate.py`` writes man/medgrid.1 and one page for each command. What stands in
man/sections/NAME.mdoc is put at the end of page NAME; man/sections/medgrid-all.mdoc ends the page
of each command that has no file of its own.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from medgrid.cli.main import COMMANDS, cli

HERE = Path(__file__).resolve().parent
DATE = "November 23, 2026"
NUMBERS = {"INTEGER": "N", "INTEGER RANGE": "N", "FLOAT": "X", "FLOAT RANGE": "X"}


def pages() -> dict[str, str]:
    """Text of every generated page, by file name."""
    found = {"medgrid.1": _top_page()}
    top = click.Context(cli, info_name="medgrid")
    for name in COMMANDS:
        command = cli.get_command(top, name)
        assert command is not None  # noqa: S101 - every listed command is there
        found[f"medgrid-{name}.1"] = _page(name, command, top)
    return found


def _head(title: str, name: str, summary: str) -> list[str]:
    return [
        ".\\\" made by man/generate.py from 'medgrid --help' and man/sections: do not edit",
        f".Dd {DATE}",
        f".Dt {title.upper()} 1",
        ".Os",
        ".Sh NAME",
        f".Nm {name}",
        f".Nd {_text(summary[:1].lower() + summary[1:].rstrip('.'))}",
    ]


def _top_page() -> str:
    lines = _head("medgrid", "medgrid", "question to images, images to jobs, jobs to results")
    context = click.Context(cli, info_name="medgrid")
    lines += [".Sh SYNOPSIS", ".Nm medgrid", *_option_synopsis(cli, context)]
    lines += [".Ar command", ".Op Ar argument ...", ".Sh DESCRIPTION", *_prose(cli)]
    lines += [*_options(cli, context, "The options, which stand before the command:")]
    lines += [".Sh COMMANDS"]
    sections: dict[str, list[tuple[str, str]]] = {}
    for name, (_, section, summary) in COMMANDS.items():
        sections.setdefault(section, []).append((name, summary))
    for section, rows in sections.items():
        lines += [f".Ss {section}", ".Bl -tag -width Ds"]
        for name, summary in rows:
            lines += [f".It Xr medgrid-{name} 1", _text(summary.rstrip("."))]
        lines.append(".El")
    return _finish(lines, "medgrid")


def _page(name: str, command: click.Command, top: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=top)
    lines = _head(f"medgrid-{name}", f"medgrid-{name}", COMMANDS[name][2])
    lines.append(".Sh SYNOPSIS")
    if not isinstance(command, click.Group):
        lines += _synopsis(command, context)
        lines += [".Sh DESCRIPTION", *_prose(command), *_options(command, context)]
        return _finish(lines, f"medgrid-{name}")
    parts = []
    for word in sorted(command.commands):
        part = command.commands[word]
        if not part.hidden:
            parts.append((part, click.Context(part, info_name=word, parent=context)))
    for part, below in parts:
        lines += _synopsis(part, below)
    lines += [".Sh DESCRIPTION", *_prose(command)]
    for part, below in parts:
        lines += [f".Ss {below.command_path}", *_prose(part), *_options(part, below)]
    return _finish(lines, f"medgrid-{name}")


def _finish(lines: list[str], name: str) -> str:
    """Add the sections that are written by hand."""
    own = HERE / "sections" / f"{name}.mdoc"
    hand = own if own.exists() else HERE / "sections" / "medgrid-all.mdoc"
    return "\n".join(lines) + "\n" + hand.read_text(encoding="utf-8")


def _synopsis(command: click.Command, context: click.Context) -> list[str]:
    lines = [f".Nm {context.command_path}", *_option_synopsis(command, context)]
    for param in command.get_params(context):
        if isinstance(param, click.Argument):
            word = param.make_metavar(context).replace("...", "")
            optional = word.startswith("[")
            bare = word[1:-1] if optional else word
            tail = " ..." if param.nargs != 1 else ""
            lines.append(f".{'Op ' if optional else ''}Ar {_text(bare)}{tail}")
    return lines


def _visible(command: click.Command, context: click.Context) -> Iterator[click.Option]:
    for param in command.get_params(context):
        if isinstance(param, click.Option) and not param.hidden and "--help" not in param.opts:
            yield param


def _flag(option: click.Option, name: str, context: click.Context) -> str:
    """``Fl -slots Ar N`` for --slots."""
    word = f"Fl {_text(name[1:])}"
    if option.is_flag or option.count:
        return word
    metavar = option.make_metavar(context)
    return f"{word} Ar {_text(NUMBERS.get(metavar, metavar))}"


def _option_synopsis(command: click.Command, context: click.Context) -> list[str]:
    lines = []
    for option in _visible(command, context):
        flag = _flag(option, max(option.opts, key=len), context)
        tail = " ..." if option.multiple else ""
        lines.append(f".{flag}{tail}" if option.required else f".Op {flag}{tail}")
    return lines


def _options(
    command: click.Command, context: click.Context, title: str = "The options:"
) -> list[str]:
    lines = []
    for option in _visible(command, context):
        names = sorted([*option.opts, *option.secondary_opts], key=len)
        flags = " , ".join(_flag(option, name, context) for name in names)
        record = option.get_help_record(context)
        lines += [f".It {flags}", *_sentences(record[1] if record else "")]
    return [".Pp", title, ".Bl -tag -width Ds", *lines, ".El"] if lines else []


def _prose(command: click.Command) -> list[str]:
    """Paragraphs of a command's help; a paragraph after ``\\b`` keeps its lines."""
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        if lines:
            lines.append(".Pp")
        if paragraph.startswith("\b"):
            if lines and lines[-1] == ".Pp":
                lines.pop()
            lines.append(".Bd -literal -offset indent")
            lines += [_literal(line) for line in paragraph.split("\n")[1:]]
            lines.append(".Ed")
        else:
            lines += _sentences(" ".join(paragraph.split()))
    return [line for number, line in enumerate(lines) if line != ".Pp" or number + 1 < len(lines)]


def _sentences(text: str) -> list[str]:
    """Running text, each sentence on lines of its own."""
    lines = []
    for sentence in re.split(r"(?<=[.;:!?])\s+", text):
        lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
    return [_text(line) for line in lines]


def _text(text: str) -> str:
    """One line of running text."""
    text = text.replace("\\", "\\e").replace("\n", " ")
    return "\\&" + text if text.startswith((".", "'")) else text


def _literal(text: str) -> str:
    """One line to be typed as it stands."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha")
    text = text.replace("~", "\\(ti").replace("`", "\\(ga")
    return "\\&" + text if text.startswith(".") else text


if __name__ == "__main__":
    for file, page in pages().items():
        (HERE / file).write_text(page, encoding="utf-8")
