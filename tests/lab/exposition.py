"""The Prometheus text format 0.0.4, read as strictly as its specification is written."""

from __future__ import annotations

import re

__all__ = ["Sample", "exposition"]

Sample = tuple[str, frozenset[tuple[str, str]]]

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_HELP = re.compile(rf"# HELP ({_NAME}) (?:[^\\]|\\\\|\\n)*")
_TYPE = re.compile(rf"# TYPE ({_NAME}) (counter|gauge)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def exposition(text: str) -> dict[Sample, float]:
    """Values by name and labels; fails on what the format does not allow.

    Each family stands once and together, its HELP before its TYPE before its samples.
    """
    assert text.endswith("\n"), "the last line has no end"
    found: dict[Sample, float] = {}
    seen: list[str] = []
    kind = ""
    for line in text.removesuffix("\n").split("\n"):
        if (head := _HELP.fullmatch(line)) is not None:
            assert head[1] not in seen, f"{head[1]} stands twice"
            seen.append(head[1])
            kind = ""
        elif (head := _TYPE.fullmatch(line)) is not None:
            assert seen[-1:] == [head[1]], f"{line}: not after its HELP"
            assert not kind, f"{line}: a second TYPE"
            kind = head[2]
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, f"{line!r} is no line of the format"
            assert kind, f"{line}: not after its TYPE"
            assert sample[1] == seen[-1], f"{line}: not below its own TYPE"
            is_total = sample[1].endswith("_total")
            assert is_total == (kind == "counter"), f"{line}: counters, and they alone, are _total"
            key = (sample[1], frozenset(_labels(sample[2] or "")))
            assert key not in found, f"{line}: a second sample"
            found[key] = float(sample[3])
            assert kind != "counter" or found[key] >= 0
    return found


def _labels(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _LABEL.match(text, at)
        assert match is not None, f"{text!r}: no labels"
        value = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), match[2])
        assert match[1] not in dict(found), f"{text!r}: {match[1]} stands twice"
        found.append((match[1], value))
        at = match.end()
        if at < len(text):
            assert text[at] == ",", f"{text!r}: no comma"
            at += 1
    return found
