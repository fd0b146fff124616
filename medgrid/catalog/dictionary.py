"""DICOM's data dictionary (PS3.6), read when a question uses a name that nothing else explains.

``dicom.tsv`` holds tag, value representation and keyword of every public attribute that is no
sequence and no bulk data; ``tests/catalog/test_dictionary.py`` compares it with pydicom's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from medgrid.catalog.attributes import COLUMNS, TAGS
from medgrid.model import AttributeType

__all__ = ["DicomAttribute", "dicom", "keywords"]

_NUMBERS = frozenset(("DS", "IS", "US", "UL", "UV", "SS", "SL", "SV", "FL", "FD", "AS"))


@dataclass(frozen=True, slots=True)
class DicomAttribute:
    """A public DICOM attribute."""

    keyword: str
    vr: str

    @property
    def type(self) -> AttributeType:
        """Type its values have in the catalog; ages are numbers of years."""
        if self.vr in _NUMBERS:
            return AttributeType.NUMBER
        return AttributeType.DATE if self.vr == "DA" else AttributeType.TEXT


def dicom(name: str) -> DicomAttribute | None:
    """Look up a keyword or a tag ``(gggg,eeee)``."""
    spec = COLUMNS.get(TAGS.get(name, name))
    if spec is not None and spec.tag is not None and spec.type is AttributeType.DATE:
        return DicomAttribute(spec.name, "DA")
    return _dictionary().get(name)


def keywords() -> list[str]:
    """All keywords."""
    return [name for name in _dictionary() if not name.startswith("(")]


@cache
def _dictionary() -> dict[str, DicomAttribute]:
    text = files("medgrid.catalog").joinpath("dicom.tsv").read_text(encoding="ascii")
    found: dict[str, DicomAttribute] = {}
    for line in text.splitlines():
        tag, vr, keyword = line.split("\t")
        found[f"({tag})"] = found[keyword] = DicomAttribute(keyword, vr)
    return found
