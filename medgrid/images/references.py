"""What objects that are made from images refer to: reports, plans, contours, segments, doses.

Source: DICOM PS3.3 section 10.3 (references to instances), C.17.2 (evidence), C.8.8.5 (contours).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from medgrid.images.deidentify import first_value, readable
from medgrid.images.dicom import is_document, is_image, quiet_pydicom
from medgrid.images.patient import PatientKeys
from medgrid.images.rewrite import undecoded

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["References"]

_SCANS: Final = ("MR", "CT", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF")
_SOP_CLASS, _SOP_INSTANCE, _MODALITY = 0x00080016, 0x00080018, 0x00080060
_LARGE: Final = frozenset((0x52009230, 0x30060039, 0x54000100))
"""Frames, contours, waveforms: what they refer to stands before them, too."""
_MAX_DEPTH: Final = 16
_MAX_UIDS: Final = 256


class References:
    """Gathers what the instances of a series refer to.

    Scans are passed over: what they refer to is how they were planned.
    """

    def __init__(self) -> None:
        self._series: dict[str, None] = {}
        self._documents: dict[str, None] = {}
        self._own: dict[str, None] = {}

    def add(self, ds: Dataset) -> None:
        """Take what a header refers to."""
        if is_document(undecoded(ds, _SOP_CLASS)):
            self._own[undecoded(ds, _SOP_INSTANCE)] = None
        elif undecoded(ds, _MODALITY) in _SCANS:
            return
        with quiet_pydicom():
            for item in _items(ds, 0):
                self._series[first_value(item, "SeriesInstanceUID")] = None
                sop_class = first_value(item, "ReferencedSOPClassUID")
                if sop_class and not is_image(sop_class):
                    self._documents[first_value(item, "ReferencedSOPInstanceUID")] = None

    def attributes(self, keys: PatientKeys) -> dict[str, Any]:
        """Attributes of the catalog, in the UIDs that stand for these there.

        ``ReferencedSeriesInstanceUID`` names series, ``ReferencedSOPInstanceUID`` what is no image,
        by the ``SOPInstanceUID`` which that has there.
        """
        found = {
            "ReferencedSeriesInstanceUID": self._series,
            "ReferencedSOPInstanceUID": self._documents,
            "SOPInstanceUID": self._own,
        }
        kept = {name: [keys.uid(one) for one in uids if one] for name, uids in found.items()}
        return {
            name: uids[:_MAX_UIDS] if len(uids) > 1 else uids[0]
            for name, uids in kept.items()
            if uids
        }


def _items(ds: Dataset, depth: int) -> Iterator[Dataset]:
    """Items of all sequences, at any depth."""
    if depth >= _MAX_DEPTH:
        return
    for element in readable(ds, lambda tag, _: _is_sequence(tag) and tag not in _LARGE):
        for item in element.value or ():
            yield item
            yield from _items(item, depth + 1)


@lru_cache(1 << 14)  # of the tags there are
def _is_sequence(tag: int) -> bool:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
