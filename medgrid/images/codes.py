"""Coded values: what DICOM's own tables hold, and nothing else.

A code of its table says the same of everybody; so it stays, whatever a patient is called. Programs
branch on these values.

Sources: ``codes.tsv`` for coded strings (PS3.3, PS3.16 annex L), pydicom's tables for coded
concepts (PS3.16 annexes B and D).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from medgrid.images.scrub import Scrubber
from medgrid.images.words import normal

__all__ = ["clean_code", "codes_of", "is_code", "meaning_of"]

_MAX_CODE: Final = 64
_ANY: Final = "*"


def clean_code(keyword: str, text: str, scrub: Scrubber) -> str | None:
    """A coded string, when it is a code of its attribute's table.

    Where devices add codes of their own, these must be made of known words.
    """
    text = text.strip("\0 ")
    codes, is_open = _table(keyword)
    if len(text) > _MAX_CODE or not text.isascii():
        return None
    if text.upper() in codes:
        return text
    if not is_open or not text:
        return None
    found = scrub.vocabulary.sift(normal(text))
    scrub.hold(found.held)
    return text if found.text == text and not found.held and not scrub.finds(text) else None


def codes_of(keyword: str) -> frozenset[str]:
    """Codes of an attribute's table, in capital letters."""
    return _table(keyword)[0]


def is_code(keyword: str, text: str) -> bool:
    """Whether a text is a code of its attribute's table, and that attribute has one."""
    return keyword in _texts_with_codes() and text.upper() in _table(keyword)[0]


def meaning_of(scheme: str, code: str) -> str | None:
    """What a coded concept means, None when DICOM's tables have none such."""
    return _concepts().get((scheme, code))


@cache
def _texts_with_codes() -> frozenset[str]:
    return frozenset(name.removesuffix(_ANY) for name in _tables()) - {""}


@cache
def _table(keyword: str) -> tuple[frozenset[str], bool]:
    """Codes of an attribute, and whether devices add to them."""
    tables = _tables()
    for name in (keyword, keyword + _ANY):
        if name in tables:
            return tables[name], name != keyword
    return tables[_ANY], False


@cache
def _tables() -> dict[str, frozenset[str]]:
    text = files("medgrid.images").joinpath("codes.tsv").read_text(encoding="ascii")
    lines = (line.split("\t") for line in text.splitlines() if line and line[0] != "#")
    return {name: frozenset(codes) for name, *codes in lines}


@cache
def _concepts() -> dict[tuple[str, str], str]:
    """Meanings by scheme and code, also by the codes that SNOMED had before (SRT)."""
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    found: dict[tuple[str, str], str] = {
        (scheme, code): meaning
        for scheme, keywords in cast("dict[str, Any]", concepts).items()
        for codes in keywords.values()
        for code, (meaning, _) in codes.items()
    }
    for code, now in mapping.get("SRT", {}).items():
        if ("SCT", now) in found:
            for scheme in ("SRT", "SNM3", "99SDM"):
                found.setdefault((scheme, code), found["SCT", now])
    return found
