"""What others wrote, read within bounds: JSON, YAML and tables.

A file may be of any size and shape. What goes beyond the bounds is refused with a reason, before
it costs much; the reason quotes no value.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["MAX_BYTES", "Unreadable", "read_file", "read_json", "read_table", "read_yaml"]

MAX_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_DIGITS = 300
_MAX_CELLS = 1_000_000
_PART = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]')


class Unreadable(ValueError):
    """A document cannot be read; the message stands behind its name: ``x: not valid JSON``."""


def read_file(path: Path) -> bytes:
    """Read a file, and no more of it than may be read: one byte more says that it is too large."""
    with path.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


def read_json(data: bytes, *, strict: bool = False) -> Any:
    """Read JSON.

    Parameters
    ----------
    data : bytes
        UTF-8 with or without a byte order mark, or UTF-16 with one.
    strict : bool
        Refuse what is no JSON though many write it: NaN and infinity, the same key twice.

    Raises
    ------
    Unreadable
        It is not JSON, or beyond the bounds.
    """
    text = _text(data, "JSON")
    depth = 0
    for part in _PART.finditer(text) if text.count("[") + text.count("{") > _MAX_DEPTH else ():
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part[0], 0)
        if depth > _MAX_DEPTH:
            raise Unreadable(f"nested more than {_MAX_DEPTH} deep")
    try:
        found = json.loads(
            text,
            parse_int=partial(_whole, strict=strict),
            parse_constant=_refuse if strict else float,
            object_pairs_hook=_once if strict else None,
        )
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeEncodeError:  # an escape such as \ud800 alone, which nobody can write down
        raise Unreadable("not valid JSON: it has half of a character") from None
    except json.JSONDecodeError as exc:
        where = f"{exc.msg.lower()} at line {exc.lineno} column {exc.colno}"
        raise Unreadable(f"not valid JSON: {where}") from None
    except Unreadable:
        raise
    except (ValueError, RecursionError):
        raise Unreadable("not valid JSON") from None


def read_table(data: bytes, delimiter: str = "\t") -> list[dict[str, str]]:
    """Read values that a character parts, under a line of names; missing cells are empty.

    Bytes that are no UTF-8 are replaced.

    Raises
    ------
    Unreadable
        It is beyond the bounds.
    """
    csv.field_size_limit(MAX_BYTES)
    text = _text(data, "a table", "replace")  # spreadsheets write in many encodings
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() for name in next(rows, [])]
    found = []
    for cells in rows:
        if cells:
            found.append(dict(zip(names, [*cells, *[""] * len(names)], strict=False)))
            if len(found) * len(names) > _MAX_CELLS:
                raise Unreadable(f"has more than {_MAX_CELLS} cells")
    return found


def read_yaml(data: bytes) -> Any:
    """Read YAML: no tags, no aliases, no key twice.

    Raises
    ------
    Unreadable
        It is not such YAML, or beyond the bounds.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
            opens = self.check_event(yaml.events.CollectionStartEvent)
            self.depth += opens
            if self.depth > _MAX_DEPTH:
                text = f"nested more than {_MAX_DEPTH} deep"
                raise yaml.composer.ComposerError(None, None, text, mark)
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= opens

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in names:
                    text = f"the key {key.value!r} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
                names.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    stream = io.StringIO(_text(data, "YAML"))  # of a plain string, errors would quote lines
    try:
        return yaml.load(stream, Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        at = exc.problem_mark or exc.context_mark
        where = f" at line {at.line + 1} column {at.column + 1}" if at else ""
        raise Unreadable(f"not valid YAML: {exc.problem}{where}") from None
    except yaml.YAMLError:  # a character that YAML does not allow
        raise Unreadable("not valid YAML") from None
    except (ValueError, RecursionError):
        raise Unreadable("not valid YAML: a number or date is none") from None


def _text(data: bytes, what: str, errors: str = "strict") -> str:
    if len(data) > MAX_BYTES:
        raise Unreadable(f"larger than {MAX_BYTES // 1024**2} MiB")
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_wide else "utf-8-sig", errors)
    except UnicodeDecodeError as exc:
        raise Unreadable(f"not {what} in UTF-8: byte {exc.start} is none") from None


def _whole(text: str, strict: bool) -> int | float:
    """A whole number; one of too many digits for any use is infinite, or refused."""
    if len(text) <= _MAX_DIGITS:
        return int(text)
    return float(text) if not strict else _refuse(f"{len(text)} digits")


def _refuse(name: str) -> NoReturn:
    raise Unreadable(f"not valid JSON: {name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("not valid JSON: a key stands twice")
    return found
