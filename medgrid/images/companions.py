"""Files that belong to an image: read within bounds, and what of them the twin has beside it.

The original has them as they came. Of the twin's, gradient tables are numbers; a table keeps its
numbers and known words, and has keyed codes for all other words, so that equal ones stay equal;
a side-car is made anew of the fields that may be known.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from medgrid.documents import MAX_BYTES, Unreadable, read_json
from medgrid.images.bids import SIDE_CAR, Companion
from medgrid.images.deidentify import MAX_MEASURED, keyed, number
from medgrid.images.pack import Member
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.volume import Volume
from medgrid.images.words import SHIPPED, Vocabulary, normal

__all__ = ["Beside", "Trouble", "json_bytes", "read_companions"]

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_TABLE_BYTES: Final = 64 * 1024 * 1024  # of one that was compressed
_MAX_LINE_BYTES: Final = 1024 * 1024
_MAX_CELLS: Final = 8_000_000
_MAX_DISTINCT: Final = 100_000  # words of the tables of one image
_MAX_GRADIENT: Final = 1e6
_ID_DIGITS: Final = 4  # numbers of so many may be a patient's
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_SMALL_NUMBERS: Final = re.compile(rb"(?:[+-]?\d{1,7}(?:\.\d*)?(?:\t|\r?\n|$))+")
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}", re.ASCII | re.IGNORECASE)
_NO_VALUE: Final = "n/a"
_MAX_WORDS: Final = 64  # characters of a cell of known words


class Trouble(NamedTuple):
    """What is wrong with a companion, in words that quote nothing of it."""

    file: Companion
    reason: str


@dataclass(slots=True)
class Beside:
    """Companions of one image: content by name.

    `originals` are as they came, `twins` what the twin has. `doubtful` are those to look at,
    `refused` those that are left out.
    """

    originals: dict[str, bytes] = field(default_factory=dict)
    twins: dict[str, bytes] = field(default_factory=dict)
    files: list[Companion] = field(default_factory=list)
    b_values: list[float] = field(default_factory=list)
    doubtful: list[Trouble] = field(default_factory=list)
    refused: list[Trouble] = field(default_factory=list)


def read_companions(
    volume: Volume,
    keys: PatientKeys | None,
    code: Callable[[str], str],
    references: Mapping[str, list[str]] = MappingProxyType({}),
    vocabulary: Vocabulary = SHIPPED,
) -> Beside:
    """Read the companions of a volume.

    Parameters
    ----------
    volume : Volume
    keys : PatientKeys, optional
        Of its patient.
    code : callable
        What stands for words that are not known.
    references : mapping
        What the side-car says of other images, as the grid calls these.
    vocabulary : Vocabulary
        Words that tables may have.

    Raises
    ------
    Changed
        One of them is no more what it was.
    """
    found = Beside()
    several: dict[str, list[dict[str, Any]]] = {}
    broken: list[tuple[str, bytes]] = []
    cells = _Cells(code, Scrubber(volume.words, vocabulary))
    for one in volume.companions:
        if one.stamp.size_bytes > _MAX_FILE_BYTES:
            found.refused.append(
                Trouble(one, f"larger than {_MAX_FILE_BYTES // 1024**2} MiB, and left out")
            )
            continue
        content = b"".join(Member(one.path, one.stamp).chunks())
        try:
            if one.name.endswith(".json"):
                fields = read_json(content)
                if not isinstance(fields, dict):
                    raise Unreadable("no JSON object")
                several.setdefault(one.name, []).append(fields)
            elif one.name.endswith((".bval", ".bvec")):
                rows = _numbers(content)
                found.twins[one.name] = content
                _check_gradients(found, one, rows, int(volume.attributes["NumberOfTimepoints"]))
            else:
                is_packed = one.name.endswith(".gz")
                found.twins[one.name] = _clean_table(content, cells, is_packed)
        except ValueError as exc:
            reason = f"stays with the original alone: {exc}"
            found.doubtful.append(Trouble(one, reason))
            broken.append((one.name, content))
        else:
            found.originals[one.name] = content
        found.files.append(one)
    for name, many in several.items():
        if len(many) > 1:
            merged = {key: value for fields in many for key, value in fields.items()}
            found.originals[name] = json_bytes(merged)
        clean = cells.columns(many)
        if name == SIDE_CAR:
            clean = {**keyed(volume.side_car, keys), **references}
        if clean:
            found.twins[name] = json_bytes(clean)
    for name, content in broken:
        stem, _, ending = name.partition(".")
        ways = (f"{stem}-{number}.{ending}" for number in count(2))
        free = next(way for way in chain([name], ways) if way not in found.originals)
        found.originals[free] = content
    return found


class _Cells:
    """Cleans texts of tables, each once."""

    def __init__(self, code: Callable[[str], str], scrub: Scrubber) -> None:
        self._code = code
        self._scrub = scrub
        self._words: dict[str, str] = {}

    def word(self, text: str) -> str:
        """A name of a column, or a word in a cell.

        Raises
        ------
        ValueError
            There are too many.
        """
        if text not in self._words:
            if len(self._words) == _MAX_DISTINCT:
                raise ValueError(f"it has more than {_MAX_DISTINCT} different words")
            self._words[text] = text if self._is_known(text) else self._code(text)
        return self._words[text]

    def _is_known(self, text: str) -> bool:
        return (
            len(text) <= _MAX_WORDS
            and normal(text) == text
            and self._scrub.vocabulary.knows(text, "table")
            and not self._scrub.finds(text)
        )

    def cell(self, text: str, may_be_id: bool) -> str:
        """A cell; numbers of a recording are no ids."""
        text = text.strip()
        if _NUMBER.fullmatch(text):
            value = abs(float(text))
            is_one = value < MAX_MEASURED and not (may_be_id and self._is_id(text, value))
            return text if is_one else _NO_VALUE
        if not text or text.lower() in (_NO_VALUE, "nan") or _COLOUR.fullmatch(text):
            return text
        return self.word(text)

    def _is_id(self, text: str, value: float) -> bool:
        """Whether a number, however it is written, is an id of the patient."""
        ways = (text, str(int(value)) if value.is_integer() else "")
        return any(
            len(one) >= _ID_DIGITS and one.isdigit() and self._scrub.finds(one) for one in ways
        )

    def columns(self, side_cars: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What may be known of the side-cars of a table."""
        found: dict[str, Any] = {}
        for fields in side_cars:
            for name in ("SamplingFrequency", "StartTime"):
                value = number(fields.get(name))
                if value is not None and abs(value) < MAX_MEASURED:
                    found[name] = value
            names = fields.get("Columns")
            if isinstance(names, list) and all(isinstance(one, str) for one in names):
                with contextlib.suppress(ValueError):
                    found["Columns"] = [self.word(one) for one in names]
        return found


def _clean_table(data: bytes, cells: _Cells, is_packed: bool) -> bytes:
    """A table without words that are not known; one that is compressed has no line of names.

    Raises
    ------
    ValueError
        It is damaged, or beyond the bounds.
    """
    target = io.BytesIO()
    source: Any = gzip.GzipFile(fileobj=io.BytesIO(data)) if is_packed else io.BytesIO(data)
    sink: Any = gzip.GzipFile("", "wb", 6, target, mtime=0) if is_packed else target
    seen_bytes = seen_cells = 0
    is_first = not is_packed
    try:
        while line := source.readline(_MAX_LINE_BYTES + 1):
            seen_bytes += len(line)
            seen_cells += line.count(b"\t") + 1
            if len(line) > _MAX_LINE_BYTES or seen_bytes > _MAX_TABLE_BYTES:
                raise ValueError("a line of it, or all of it, is too long")
            if seen_cells > _MAX_CELLS:
                raise ValueError(f"it has more than {_MAX_CELLS} cells")
            if is_packed and _SMALL_NUMBERS.fullmatch(line):
                sink.write(line)
                continue
            texts = line.decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")
            clean = [
                cells.word(text.strip()) if is_first else cells.cell(text, not is_packed)
                for text in texts
            ]
            is_first = False
            sink.write(("\t".join(clean) + "\n").encode())
    except (OSError, EOFError, zlib.error):
        raise ValueError("compressed data are damaged") from None
    if is_packed:
        sink.close()
    return target.getvalue()


def _numbers(data: bytes) -> list[list[float]]:
    """Rows of numbers.

    Raises
    ------
    ValueError
        It holds anything else.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES // 1024**2} MiB")
    rows: list[list[float]] = []
    for line in data.decode("ascii", "replace").splitlines():
        words = line.replace(",", " ").split()
        if not all(_NUMBER.fullmatch(word) or word.lower() == "nan" for word in words):
            raise ValueError("it holds something else than numbers")
        if words:
            rows.append([float(word) for word in words])
    if any(abs(one) >= _MAX_GRADIENT for row in rows for one in row):
        raise ValueError("it holds numbers that are no gradients")
    return rows


def _check_gradients(
    found: Beside, one: Companion, rows: Sequence[Sequence[float]], volumes: int
) -> None:
    """Compare a gradient table with the volumes it is for, and note b-values."""
    count = sum(map(len, rows))
    if one.name.endswith(".bval"):
        values = (number(value) for row in rows for value in row)
        found.b_values = [value for value in values if value is not None]
        expected, is_right = f"{volumes}", count == volumes
    else:
        shape = len(rows), {len(row) for row in rows}
        expected, is_right = f"3 x {volumes}", shape in ((3, {volumes}), (volumes, {3}))
    if not is_right:
        reason = f"holds {count} numbers, expected {expected}, as its image has {volumes} volumes"
        found.doubtful.append(Trouble(one, reason))


def json_bytes(fields: Mapping[str, Any]) -> bytes:
    """A side-car of these fields."""
    return json.dumps(fields, indent=2).encode() + b"\n"
