"""Values of headers and side-cars that name nobody.

Only what `medgrid.images.allowed` names is taken; names, ids, addresses, institutions, physicians,
operators, birth dates, comments and private elements never are. Codes are those of their tables
(`medgrid.images.codes`). Free text keeps known words (`medgrid.images.words`), and is scrubbed of
the words of the patient's names and ids, since people write them there. Dates of study and series
are moved, UIDs replaced, as in the de-identified images (`medgrid.images.patient`).

Source: DICOM PS3.15 annex E, Basic Application Level Confidentiality Profile with the options
Retain Longitudinal Temporal Information with Modified Dates, Retain Patient Characteristics and
Clean Descriptors.
`tests/images/test_deidentify.py` puts a name into every attribute there is.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medgrid.images import allowed
from medgrid.images.codes import clean_code, is_code
from medgrid.images.dicom import quiet_pydicom
from medgrid.images.patient import PatientKeys
from medgrid.images.scrub import Scrubber
from medgrid.images.words import SHIPPED, Vocabulary, normal

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset

__all__ = [
    "age_years",
    "allowed_value",
    "keyed",
    "label",
    "readable",
    "scrubber_of",
    "told_moment",
    "values_of",
    "words_of",
]

Attributes = dict[str, Any]

MAX_AGE_YEARS = 90
_MAX_TEXT = 256
_MAX_SIFTED = 1024  # characters
_MAX_CLEANED = 4096  # texts of one scrubber that are remembered
_MAX_SCRUBBED = 64 * 1024  # characters of a text; a longer one is left out
_MAX_WORDS = 1024
_KNOWN_TAGS = 1 << 14
_MAX_VALUES = 64
MAX_NUMBERS = 1024
MAX_MEASURED = 1e7
"""A day as one number is more, and so are seconds since 1970."""

_MAX_DEPTH = 8
_LABEL_MAX = 48
_A_TIME = re.compile(r"\d\d(:?\d\d(:?\d\d(\.\d{1,6})?)?)?")
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")

_PERSON_IDS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyID",
    "AdmissionID",
    "MilitaryRank",
    "PatientTelephoneNumbers",
    "MedicalRecordLocator",
    "RequestedProcedureID",
    "FillerOrderNumberImagingServiceRequest",
    "PlacerOrderNumberImagingServiceRequest",
)
_PHRASES = (
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "PatientAddress",
    "StationName",
    "DeviceSerialNumber",
)
_OWN_DATES = frozenset(
    ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
)
_TELLING = _OWN_DATES.union(_PERSON_IDS, _PHRASES)
MODALITIES = frozenset(  # PS3.3 C.7.3.1.1.1
    """
    AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DG DMS DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD
    IO IOL IVOCT IVUS KER KO LEN LP LS M3D MG MR NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT
    PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN
    RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC
    """.split()  # noqa: SIM905
)


def scrubber_of(ds: Dataset, vocabulary: Vocabulary = SHIPPED) -> Scrubber:
    """Scrubber of the names and ids a header holds, at any depth."""
    return Scrubber(words_of(ds), vocabulary)


def words_of(ds: Dataset) -> frozenset[str]:
    """Words of the names and ids a header holds, at any depth.

    Raises
    ------
    ValueError
        It cannot be read, or names its patient in so many words that a text would take for ever;
        the message quotes no value.
    """
    with quiet_pydicom():
        try:
            words = frozenset(_words_of(ds, 0))
        except MemoryError:
            raise
        except Exception as exc:  # pydicom meets broken bytes with errors of every kind
            raise ValueError(f"header cannot be read ({type(exc).__name__})") from None
    if len(words) > _MAX_WORDS:
        raise ValueError(f"names its patient in more than {_MAX_WORDS} words")
    return words


def _words_of(ds: Dataset, depth: int) -> Iterator[str]:
    for element in readable(ds, _is_telling):
        keyword = element.keyword
        if element.VR == "SQ" and depth < _MAX_DEPTH:
            for item in element.value or ():
                yield from _words_of(item, depth + 1)
        elif element.VR == "PN":
            for value in values_of(element):
                yield from person_words(str(value))
        elif keyword in _PERSON_IDS:
            for value in values_of(element):
                yield from id_words(str(value))
        elif keyword in _PHRASES:
            for value in values_of(element):
                if len(str(value)) >= 4:
                    yield str(value)
        elif keyword in _OWN_DATES:  # a true date beside a moved one tells how far all are moved
            yield from filter(None, (dicom_day(str(value)) for value in values_of(element)))


def person_words(name: str) -> Iterator[str]:
    """Words of a DICOM person name (PS3.5 6.2.1.2), of its family, given and middle names."""
    for group in name.split("="):
        words = []
        for part in group.split("^")[:3]:
            some = [one for one in re.split(r"[\s,.;'\u2019()-]+", part) if one]
            words += [one for one in some if len(one) >= 2 or not one.isascii()]
            if len(some) > 1:  # van der Berg, Al-Hassan
                yield "".join(some)
        yield from words
        if len(words) > 1:
            yield "".join(words)
            yield "".join(reversed(words))


def id_words(value: str) -> Iterator[str]:
    """An id, as it is and without what holds it together, and parts long enough to tell somebody.

    A number in it may be written without its leading zeros.
    """
    value = value.strip("\0 ")
    if len(value) >= 2:
        yield value
    parts = re.split(r"[^\w]+|_", value)
    for part in (*parts, "".join(parts)):
        if len(part) >= 4 and part != value:
            yield part
    for number in re.findall(r"[0-9]{5,}", value):
        for one in (number, number.lstrip("0")):
            if len(one) >= 5:
                yield one


def _is_telling(tag: int, found: DataElement | RawDataElement) -> bool:
    """Whether an element may hold words of the patient, seen without decoding it."""
    is_telling, known = _of_dictionary(tag)
    return is_telling or (known if found.VR in (None, "UN") else found.VR) in ("SQ", "PN")


@lru_cache(_KNOWN_TAGS)
def _of_dictionary(tag: int) -> tuple[bool, str]:
    """Whether an element tells who a patient is, and its value representation."""
    from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

    if not dictionary_has_tag(tag):
        return False, "UN"
    return dictionary_keyword(tag) in _TELLING, dictionary_VR(tag)


def readable(
    ds: Dataset, wanted: Callable[[int, DataElement | RawDataElement], bool] | None = None
) -> Iterator[DataElement]:
    """Elements that can be read; one that cannot is passed over."""
    for tag, found in list(ds.items()):
        if wanted is not None and not wanted(int(tag), found):
            continue
        try:
            element = ds[tag]
        except MemoryError:
            raise
        except Exception:  # noqa: S112 - a broken element has no value to give
            continue
        yield element


def values_of(element: DataElement) -> list[Any]:
    """Values of an element; none where it is empty."""
    value = element.value
    if value is None or value == "":
        return []
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__") or element.VR == "PN":
        many = element.VM > 1
        return list(value) if many else [value]
    return list(value)


def keyed(attributes: Mapping[str, Any], keys: PatientKeys | None) -> Attributes:
    """Attributes with the patient's own dates and UIDs; without `keys` they have none at all."""
    found = dict(attributes)
    for name in (allowed.DATES | allowed.UIDS) & found.keys():
        stands_for = keys and (keys.uid if name in allowed.UIDS else keys.told_day)
        many = found[name] if isinstance(found[name], list) else [found[name]]
        moved = [one for value in many if stands_for and (one := stands_for(str(value)))]
        own = list(dict.fromkeys(moved))
        if own:
            found[name] = own if len(own) > 1 else own[0]
        else:
            del found[name]
    return found


def told_moment(day: str, time: str) -> str:
    """A day ``YYYY-MM-DD`` with its time, if it has one: the two move together."""
    return f"{day}T{time.replace(':', '')}" if _A_TIME.fullmatch(time) else day


def allowed_value(
    keyword: str, values: list[Any], scrub: Scrubber, most_numbers: int = MAX_NUMBERS
) -> Any:
    """Value of an attribute as metadata, None when it must not or cannot be one."""
    clean: list[Any]
    if any(isinstance(value, bytes) for value in values):
        return None  # its representation is not known
    if keyword in allowed.NUMBERS:
        clean = [found for value in values if (found := number(value)) is not None]
    elif keyword in allowed.DATES:
        clean = [day for value in values if (day := dicom_day(str(value))) is not None]
    elif keyword in allowed.UIDS:
        clean = [str(value) for value in values if _UID.fullmatch(str(value))][:1]
    elif keyword == "Modality":
        clean = [str(value).strip().upper() for value in values]
        clean = [value for value in clean if value in MODALITIES]
    elif keyword == "PatientSex":
        clean = [str(value).strip().upper() for value in values]
        clean = [value for value in clean if value in ("M", "F", "O")]
    elif keyword in allowed.CODES:
        codes = (clean_code(keyword, str(value), scrub) for value in values)
        clean = [code for code in codes if code is not None]
    elif keyword in allowed.FREE_TEXT:
        clean = [text for value in values if (text := clean_text(str(value), scrub, keyword))]
    else:
        return None
    if len(clean) != len(values) and len(values) > 1 and keyword in allowed.NUMBERS:
        return None  # a vector that lacks a component says something else
    if not clean or len(clean) > (most_numbers if keyword in allowed.NUMBERS else _MAX_VALUES):
        return None
    return clean[0] if len(clean) == 1 else clean


def clean_text(text: str, scrub: Scrubber, keyword: str = "") -> str:
    """Known words of a text, without the patient's and without excess length.

    Parameters
    ----------
    text : str
    scrub : Scrubber
        Cuts the patient's words, and says which words are known.
    keyword : str
        Attribute that it is the value of: what devices say of themselves is not scrubbed.
    """
    if len(text) > _MAX_SCRUBBED:
        return ""
    known = scrub.cleaned.get((keyword, text))
    if known is not None:
        return known
    found = _cleaned(normal(text), scrub, keyword)
    if len(text) <= _MAX_TEXT and len(scrub.cleaned) < _MAX_CLEANED:
        scrub.cleaned[keyword, text] = found
    return found


def _cleaned(text: str, scrub: Scrubber, keyword: str) -> str:
    if is_code(keyword, text) or (keyword.endswith("Units") and scrub.vocabulary.is_unit(text)):
        return text
    if keyword in allowed.MACHINE:
        found = scrub.vocabulary.sift(text[:_MAX_SIFTED], place="machine", refuses=scrub.finds)
    else:
        found = scrub.vocabulary.sift(scrub(text)[:_MAX_SIFTED])
    scrub.hold(found.held)
    return found.text[:_MAX_TEXT]


def number(value: Any) -> int | float | bool | None:
    """What a value is as a number, None when it is none, or not finite."""
    if isinstance(value, bool):
        return value
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(found):
        return None
    return int(found) if found.is_integer() and abs(found) < 2**53 else found


def dicom_day(text: str) -> str | None:
    """DICOM date, also in the form before 1993, as ``YYYY-MM-DD``."""
    match = re.fullmatch(r"(\d{4})([.-]?)(\d\d)\2(\d\d)", text.strip("\0 "))
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4])).isoformat()
    except ValueError:
        return None


def first_value(ds: Dataset, keyword: str) -> str:
    """Value of an attribute as text, empty when there is none or it is broken."""
    try:
        value = ds.get(keyword)
    except MemoryError:
        raise
    except Exception:
        return ""
    return "" if value is None else str(value)


def age_years(age: str, birth_date: str = "", study_date: str = "") -> float | None:
    """Age in years from a DICOM age string (PS3.5 6.2 AS), else from two dates; over 89 is 90."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", age.strip("\0 ").upper())
    if match and match[0] != "000Y":  # which devices write when they were told nothing
        per_year = {"D": 365.25, "W": 52.1775, "M": 12.0, "Y": 1.0}[match[2]]
        years = round(int(match[1]) / per_year, 2)
    else:
        born, seen = dicom_day(birth_date), dicom_day(study_date)
        if born is None or seen is None:
            return None
        years = _years_between(date.fromisoformat(born), date.fromisoformat(seen))
    if years < 0:
        return None
    return float(MAX_AGE_YEARS) if years > MAX_AGE_YEARS - 1 else years


def _years_between(born: date, seen: date) -> float:
    """Whole years; below two of them, also parts."""
    had_birthday = (seen.month, seen.day) >= (born.month, born.day)
    years = seen.year - born.year - (not had_birthday)
    return float(years) if years >= 2 else round((seen - born).days / 365.25, 2)


def first(value: Any) -> Any:
    """A value, or the first of a list."""
    return first(value[0]) if isinstance(value, list) else value


def label(attributes: Mapping[str, Any]) -> str:
    """Last segment of a series' LFN, from metadata: ``T1w``, ``ep2d_bold``, ``CT-2``."""
    for name in ("SeriesDescription", "ProtocolName"):
        text = segment(str(first(attributes.get(name, ""))))
        if text:
            return text
    modality = str(first(attributes.get("Modality", "series")))
    place = first(attributes.get("SeriesNumber"))
    return modality if place is None else f"{modality}-{place}"


def segment(text: str, most: int = _LABEL_MAX) -> str:
    """Text as a segment of an LFN: letters, digits and ``._+-``, not too long, may be empty."""
    text = unicodedata.normalize("NFC", text)
    text = "".join(char if char.isalnum() or char in "._+-" else "_" for char in text)
    text = re.sub(r"_{2,}", "_", text)[:most]
    return text.strip("._-+")
