"""What a de-identified image says of itself: who stands for the patient, and how it was made.

Sources: DICOM PS3.15 annex E.1.1, PS3.3 C.12.1.1 and C.7.1.1, PS3.16 CID 7050.
"""

from __future__ import annotations

from typing import Final

from medgrid.images.encode import Element, Syntax, elements, item
from medgrid.images.patient import PatientKeys

__all__ = ["stamp"]

_METHODS: Final = (
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113111", "Retain Safe Private Option"),
)
_EMPTY: Final = (
    (0x00080020, "DA"),  # StudyDate
    (0x00080030, "TM"),  # StudyTime
    (0x00080050, "SH"),  # AccessionNumber
    (0x00080090, "PN"),  # ReferringPhysicianName
    (0x00100030, "DA"),  # PatientBirthDate
    (0x00100040, "CS"),  # PatientSex
    (0x00200011, "IS"),  # SeriesNumber
    (0x00200013, "IS"),  # InstanceNumber
)
"""Elements that every image must have and that may be empty (type 2)."""


def stamp(keys: PatientKeys, study_uid: str, syntax: Syntax) -> list[Element]:
    """Elements that every de-identified image gets, unless it has them.

    The end of its StudyInstanceUID is its StudyID, without which it could be in no DICOMDIR.
    """
    pseudonym = keys.pseudonym.encode("ascii")
    return [
        *((tag, vr, b"") for tag, vr in _EMPTY),
        (0x00100010, "PN", pseudonym + b"^"),  # PatientName
        (0x00100020, "LO", pseudonym),  # PatientID
        (0x00200010, "SH", study_uid[-10:].encode("ascii")),  # StudyID
        (0x00120062, "CS", b"YES"),  # PatientIdentityRemoved
        (0x00120063, "LO", b"medgrid, DICOM PS3.15 annex E by allow-list"),
        (0x00120064, "SQ", _methods(syntax)),  # DeidentificationMethodCodeSequence
        (0x00280303, "CS", b"MODIFIED"),  # LongitudinalTemporalInformationModified
    ]


def _methods(syntax: Syntax) -> bytes:
    return b"".join(
        item(
            elements(
                [
                    (0x00080100, "SH", code.encode("ascii")),
                    (0x00080102, "SH", b"DCM"),
                    (0x00080104, "LO", meaning.encode("ascii")),
                ],
                syntax,
            ),
            syntax,
        )
        for code, meaning in _METHODS
    )
