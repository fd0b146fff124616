"""What names a patient, to be sealed for the care team: the opposite of an allow-list.

Source: DICOM PS3.3 C.2.2 (Patient Identification), C.2.3 (Patient Demographic).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from medgrid.images.deidentify import dicom_day, first_value
from medgrid.images.dicom import quiet_pydicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["NOMINATIVE", "differ_in_names", "nominative", "nominative_fields", "spellings"]

NOMINATIVE: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "PatientBirthDate",
    "PatientBirthTime",
    "PatientBirthName",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientMotherBirthName",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientTelecomInformation",
    "CountryOfResidence",
    "RegionOfResidence",
    "MilitaryRank",
    "BranchOfService",
    "MedicalRecordLocator",
    "InsurancePlanIdentification",
    "PatientReligiousPreference",
    "Occupation",
    "EthnicGroup",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "ResponsibleOrganization",
    "PatientInstitutionResidence",
    "PatientComments",
)
_DATES: Final = ("PatientBirthDate",)
_MAX_TEXT: Final = 1024


def differ_in_names(one: str, other: str) -> bool:
    """Whether two DICOM files say the same of all but who the patient is."""
    import pydicom

    with quiet_pydicom():
        try:
            first, second = (pydicom.dcmread(path) for path in (one, other))
            for ds in (first, second):
                for name in (*NOMINATIVE, "OtherPatientIDsSequence"):
                    if name in ds:
                        del ds[name]
            syntaxes = {ds.file_meta.get("TransferSyntaxUID") for ds in (first, second)}
            return len(syntaxes) == 1 and bool(first == second)
        except Exception:  # pydicom meets broken bytes with errors of every kind
            return False


def nominative(ds: Dataset) -> dict[str, str]:
    """All that names the patient in a header: DICOM keyword -> text.

    Several values are joined by ``\\``; ids of the other ids' sequence stand among
    `OtherPatientIDs`; a date is ``YYYY-MM-DD``. What is empty is left out.
    """
    with quiet_pydicom():
        found = nominative_fields({name: _text(ds, name) for name in NOMINATIVE})
        others = [found["OtherPatientIDs"]] if "OtherPatientIDs" in found else []
        try:
            items = list(ds.get("OtherPatientIDsSequence") or ())
        except MemoryError:
            raise
        except Exception:  # a broken sequence holds no ids
            items = []
        others += [text for item in items if (text := _text(item, "PatientID").strip("\0 "))]
        if others:
            found["OtherPatientIDs"] = "\\".join(dict.fromkeys(others))
        return found


def nominative_fields(fields: Mapping[str, Any]) -> dict[str, str]:
    """All that names the patient in the fields of a side-car."""
    found = {}
    for name in NOMINATIVE:
        text = str(fields.get(name) or "").strip("\0 ")[:_MAX_TEXT]
        if name in _DATES:
            text = dicom_day(text) or text
        if text:
            found[name] = text
    return found


def spellings(name: str) -> tuple[str, ...]:
    """Ways in which a person's name may have been written; the first is the one for new patients.

    Spaces around components, empty components at the end and case say nothing (DICOM PS3.5
    6.2.1.1, PS3.4 C.2.2.2.1).
    """
    groups = (
        "^".join(part.strip() for part in group.split("^")).rstrip("^")
        for group in unicodedata.normalize("NFC", name).split("=")
    )
    plain = "=".join(groups).rstrip("=")
    return tuple(dict.fromkeys((plain.upper(), name, plain, plain.title(), plain.lower())))


def _text(ds: Dataset, keyword: str) -> str:
    try:
        value = ds.get(keyword)
    except MemoryError:
        raise
    except Exception:
        return ""
    if value is None or isinstance(value, str) or keyword not in ds or ds[keyword].VM < 2:
        return first_value(ds, keyword)
    return "\\".join(map(str, value))
