"""The elements of a de-identified header: what the allow-lists keep, cleaned, at every depth.

What is kept says `medgrid.images.kept`, how it is cleaned `medgrid.images.clean`; what stays of
vendors' private elements, `medgrid.images.private`.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from medgrid.images.clean import BINARY_BYTES, Cleaner
from medgrid.images.codes import meaning_of
from medgrid.images.encode import Element, Syntax, elements, item
from medgrid.images.kept import DUMMIES, DUMMIES_WITHIN, EMPTIED, NAMES, is_kept, is_text
from medgrid.images.private import SAFE_PRIVATE
from medgrid.images.private.canon import IMAGE_COMMENTS, direction
from medgrid.images.private.values import Items, Value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["Rewriter", "undecoded"]

_MAX_DEPTH: Final = 16
_PER_FRAME: Final = 0x52009230
_PACKED: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_CODE_VALUES: Final = (0x00080100, 0x00080119)
_SCHEME: Final = 0x00080102
_MEANING: Final = 0x00080104
_CODE: Final = (*_CODE_VALUES, _SCHEME, _MEANING)


_MOMENTS: Final = (
    (0x00080020, 0x00080030),  # StudyDate, StudyTime
    (0x00080021, 0x00080031),  # SeriesDate, SeriesTime
    (0x00080022, 0x00080032),  # AcquisitionDate, AcquisitionTime
    (0x00080023, 0x00080033),  # ContentDate, ContentTime
    (0x30060008, 0x30060009),  # StructureSetDate, StructureSetTime
)
_BESIDE: Final = {one: other for day, time in _MOMENTS for one, other in ((day, time), (time, day))}
"""The date that goes with a time, and the time that goes with a date."""


class Rewriter:
    """Cleans and encodes the elements of one dataset.

    Attributes
    ----------
    is_unicode : bool
        Whether some text is not ASCII.
    is_lossy : bool
        Whether some private element that would be kept holds what it must not.
    private : dict
        Values of private elements that are kept, by creator and group and last byte of the tag.
    """

    def __init__(self, clean: Cleaner, syntax: Syntax, is_signed: bool) -> None:
        self._clean = clean
        self._syntax = syntax
        self._is_signed = is_signed
        self.is_unicode = False
        self.is_lossy = False
        self.private: dict[tuple[str, int], bytes] = {}

    def dataset(self, ds: Dataset, depth: int = 0) -> list[Element]:
        """Elements that stay of a dataset or an item."""
        found: list[Element] = []
        blocks: dict[int, Element] = {}
        for tag, raw in list(ds.items()):
            try:
                one = self._element(ds, int(tag), raw, depth)
            except MemoryError:
                raise
            except Exception:  # noqa: S112 - a broken element is dropped
                continue
            if one is not None:
                found.append(one)
                if one[0] >> 16 & 1:
                    creator = _creator_tag(one[0])
                    blocks[creator] = (creator, "LO", undecoded(ds, creator).encode("ascii"))
        found += blocks.values()
        if any(tag in _CODE for tag, _, _ in found):
            found = self._public_code(found)
        return found

    def _element(self, ds: Dataset, tag: int, raw: Any, depth: int) -> Element | None:
        if tag >> 16 & 1:
            return self._private(ds, tag, raw, depth)
        if tag == IMAGE_COMMENTS:
            comment = direction(undecoded(ds, tag), self._clean.is_clean)
            return None if comment is None else (tag, "LT", comment)
        if not is_kept(tag):
            return _placeholder(tag, depth)
        keyword, vr = _of_dictionary(tag)
        if vr == "SQ":
            return self._sequence(ds, tag, depth)
        if is_text(tag):
            return self._text(ds, tag, vr) or _placeholder(tag, depth)
        if tag in NAMES:
            return tag, vr, self._name(ds, tag)
        vr = self._resolved(vr, raw.VR)
        data = self._encoded(raw, vr)
        if data is None:
            return None
        beside = undecoded(ds, _BESIDE[tag]) if tag in _BESIDE else ""
        value = self._clean.value(keyword, vr, data, beside)
        return None if value is None else (tag, vr, value)

    def _private(self, ds: Dataset, tag: int, raw: Any, depth: int) -> Element | None:
        """One of the private elements that are known, made anew of the numbers in it."""
        if tag & 0xFFFF < 0x1000:
            return None
        creator, key = undecoded(ds, _creator_tag(tag)), tag >> 16 << 8 | tag & 0xFF
        kept = SAFE_PRIVATE.get(creator, {}).get(key)
        if kept is None or not raw.value:
            return None
        try:
            if isinstance(kept, Items):
                found = self._sequence(ds, tag, depth)
                value = found[2] if found else b""
            else:
                value = self._rebuilt(raw, kept)
        except MemoryError:
            raise
        except Exception:  # whatever it holds, it is not what is known of it
            self.is_lossy = True
            return None
        if not value:
            return None
        self.private[creator, key] = value
        return tag, kept.vr, value

    def _rebuilt(self, raw: Any, kept: Value) -> bytes:
        """Value of a private element; empty when there is nothing in it to keep."""
        data = self._encoded(raw, kept.vr) if raw.VR in (kept.vr, "UN", None) else None
        value = data and kept.rebuilt(data, self._syntax.order, self._clean.is_clean)
        if value is None:
            raise ValueError("a private element that is not what is known of it")
        return value

    def _encoded(self, one: Any, vr: str) -> bytes | None:
        """Value as a file has it; pydicom decodes a few elements for its own use."""
        if one.is_raw:
            if vr in BINARY_BYTES and one.is_little_endian != (self._syntax.order == "<"):
                return None
            return bytes(one.value or b"")
        values = list(one.value) if one.VM > 1 else [one.value] if one.VM else []
        if vr in _PACKED:
            return struct.pack(f"{self._syntax.order}{len(values)}{_PACKED[vr]}", *values)
        return "\\".join(map(str, values)).encode("ascii") if vr not in BINARY_BYTES else None

    def _resolved(self, vr: str, found: str | None) -> str:
        """One of the representations a tag may have."""
        if " or " not in vr:
            if found not in (None, "UN", vr) and (vr in BINARY_BYTES or found in BINARY_BYTES):
                raise ValueError("another representation than the dictionary's")
            return vr
        known = vr.split(" or ")
        if found in known:
            return str(found)
        if found not in (None, "UN"):
            raise ValueError("another representation than the dictionary's")
        if "OW" in known:
            return "OW"
        return "SS" if self._is_signed else "US"

    def _text(self, ds: Dataset, tag: int, vr: str) -> Element | None:
        value: Any = ds[tag].value
        many = [value] if isinstance(value, str) or value is None else list(value)
        before = [str(one) for one in many if one is not None]
        keyword = _of_dictionary(tag)[0]
        is_code = tag in _CODE  # looked up with the others of its concept
        after = [one.strip() if is_code else self._clean.text(one, keyword) for one in before]
        if any(before) and not any(after):
            return None
        text = "\\".join(after)
        self.is_unicode |= not text.isascii() and not is_code
        return tag, vr, text.encode("utf-8")

    def _name(self, ds: Dataset, tag: int) -> bytes:
        """Name of a structure, or the number that stands for it."""
        text = " ".join(str(ds[tag].value or "").split())
        if self._clean.names_structure(text):
            return text.encode("ascii")
        number, kind = NAMES[tag]
        return f"{kind}-{int(ds[number].value)}".encode("ascii")

    def _sequence(self, ds: Dataset, tag: int, depth: int) -> Element | None:
        if depth >= _MAX_DEPTH:
            return None
        items = _items(ds, tag)
        kept = []
        for one in items:
            content = self.dataset(one, depth + 1)
            if content or tag == _PER_FRAME:
                kept.append(item(elements(content, self._syntax), self._syntax))
        return None if items and not kept else (tag, "SQ", b"".join(kept))

    def _public_code(self, found: list[Element]) -> list[Element]:
        """Elements of an item whose concept is one of DICOM's tables; else without the concept."""
        said = {tag: value.decode("utf-8") for tag, _, value in found if tag in _CODE}
        code = next((said[tag] for tag in _CODE_VALUES if said.get(tag)), "")
        meaning = meaning_of(said.get(_SCHEME, ""), code)
        if meaning is None:
            return [one for one in found if one[0] not in _CODE]
        words = said.get(_MEANING, "")
        if not words or self._clean.text(words) != words:
            words = meaning
        self.is_unicode |= not words.isascii()
        others = [one for one in found if one[0] != _MEANING]
        return [*others, (_MEANING, "LO", words.encode("utf-8"))]


def _items(ds: Dataset, tag: int) -> list[Dataset]:
    """Items of a sequence, also where the file does not say that it is one (PS3.5 6.2.2)."""
    from pydicom.values import convert_SQ

    raw: Any = ds.get_item(tag)
    if raw.is_raw and raw.VR in ("UN", None) and tag >> 16 & 1:
        return list(convert_SQ(raw.value, True, raw.is_little_endian))
    return list(ds[tag].value or ())


def _creator_tag(tag: int) -> int:
    """Tag of the element that says whose a private element is (PS3.5 7.8.1)."""
    return tag & 0xFFFF0000 | tag >> 8 & 0xFF


@lru_cache(1 << 14)  # of the tags there are
def _of_dictionary(tag: int) -> tuple[str, str]:
    """Keyword and value representation of an element."""
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    return keyword_for_tag(tag), dictionary_VR(tag)


def _placeholder(tag: int, depth: int) -> Element | None:
    """What stands for an element that objects of some classes must have."""
    if tag in EMPTIED:
        return tag, EMPTIED[tag], b""
    if tag in DUMMIES and depth == 0:
        return (tag, *DUMMIES[tag])
    if tag in DUMMIES_WITHIN:
        return (tag, *DUMMIES_WITHIN[tag])
    return None


def undecoded(ds: Dataset, tag: int) -> str:
    """Plain text of an element, which stays as the file has it."""
    raw = ds.get_item(tag)
    value: Any = getattr(raw, "value", None) or b""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\0 ")
