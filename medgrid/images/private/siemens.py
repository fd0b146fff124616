"""Siemens: the CSA headers, their numbers in the XA software's elements, diffusion.

A CSA header is rebuilt with the tags that place an image, tell its diffusion weighting and time its
slices; of the protocol (ASCCONV) those lines stay whose key is known and whose value is a number.

Sources: nibabel's documentation, "Siemens format DICOM with CSA header"; dcm2niix, nii_dicom.cpp.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final

from medgrid.images.private.values import (
    DIRECTIONALITY,
    Codes,
    IsClean,
    Items,
    Kept,
    Numbers,
    Rebuilt,
    Words,
    fitted,
    number_text,
)

__all__ = ["CSA_IMAGE", "ELEMENTS", "csa_tags"]

_MAX_TAGS: Final = 128
_MAX_ITEMS: Final = 4096
_LEAST_ITEMS: Final = 6
_CHECK: Final = 77
_HEAD: Final = b"SV10\4\3\2\1"
_TIME_MS: Final = (-1e7, 1e7)
_SLICE_TIME_MS: Final = (-86_400_000, 86_400_000)  # some are times of day
_UNIT: Final = (-1.01, 1.01)

_CSA_TAGS: Final[Mapping[str, tuple[str, float, float, int]]] = {
    "NumberOfImagesInMosaic": ("US", 0, 4096, 1),
    "B_value": ("IS", 0, 100_000, 1),
    "DiffusionGradientDirection": ("FD", *_UNIT, 3),
    "SliceNormalVector": ("FD", *_UNIT, 3),
    "SliceMeasurementDuration": ("DS", *_TIME_MS, 1),
    "BandwidthPerPixelPhaseEncode": ("FD", 0, 1e6, 1),
    "ImaRelTablePosition": ("IS", -10_000, 10_000, 3),
    "MosaicRefAcqTimes": ("FD", *_SLICE_TIME_MS, _MAX_ITEMS),
    "ProtocolSliceNumber": ("IS", 0, 10_000, 1),
    "PhaseEncodingDirectionPositive": ("IS", 0, 1, 1),
}
"""Tags of the image header that stay: representation, range, how many values at most."""

_COUNT: Final = (0, 65_536)
_CODE: Final = (0, 4096)
_MICROSECONDS: Final = (-1e7, 1e7)
_ANY: Final = (-1e7, 1e7)
_PROTOCOL: Final[Mapping[str, tuple[float, float]]] = {
    "lContrasts": _CODE,
    "lInvContrasts": _CODE,
    "dAveragesDouble": _COUNT,
    "lDelayTimeInTR": _MICROSECONDS,
    "ucReadOutMode": _CODE,
    "ucCoilCombineMode": _CODE,
    "alTE[]": _MICROSECONDS,
    "alTI[]": _MICROSECONDS,
    "sKSpace.lPhaseEncodingLines": _COUNT,
    "sKSpace.lBaseResolution": _COUNT,
    "sKSpace.uc2DInterpolation": _CODE,
    "sKSpace.ucPhasePartialFourier": _CODE,
    "sKSpace.dPhaseOversamplingForDialog": _CODE,
    "sKSpace.dPhaseResolution": _CODE,
    "sSliceArray.ucMode": _CODE,
    "sSliceArray.ucImageNumb": _CODE,
    "sSliceArray.ucImageNumbSag": _CODE,
    "sSliceArray.ucImageNumbCor": _CODE,
    "sSliceArray.ucImageNumbTra": _CODE,
    "sSliceArray.lConc": _CODE,
    "sFastImaging.lEchoSpacing": _MICROSECONDS,
    "sPat.lAccelFactPE": _CODE,
    "sPat.lAccelFact3D": _CODE,
    "sPat.dTotalAccelFact": _CODE,
    "sPat.lRefLinesPE": _COUNT,
    "sPat.ucPATMode": _CODE,
    "sPrepPulses.ucMTC": _CODE,
    "sDiffusion.dsScheme": _CODE,
    "sDiffusion.sFreeDiffusionData.lDiffDirections": _CODE,
    "sDiffusion.sFreeDiffusionData.asDiffDirVector[].dSag": (-2, 2),
    "sDiffusion.sFreeDiffusionData.asDiffDirVector[].dCor": (-2, 2),
    "sDiffusion.sFreeDiffusionData.asDiffDirVector[].dTra": (-2, 2),
    "sAsl.sPostLabelingDelay[]": _MICROSECONDS,
    "sAsl.ulLabelingDuration": _MICROSECONDS,
    "sWipMemBlock.alFree[]": _ANY,
    "sWipMemBlock.adFree[]": _ANY,
    "sWiPMemBlock.alFree[]": _ANY,
    "sWiPMemBlock.adFree[]": _ANY,
    "sRSatArray.asElm[].dThickness": (0, 1000),
    "sRSatArray.asElm[].ulShape": _CODE,
    "sRSatArray.asElm[].sPosition.dTra": (-1000, 1000),
    "sRSatArray.asElm[].sNormal.dTra": (-2, 2),
    "sTXSPEC.asNucleusInfo[].flReferenceAmplitude": (0, 10_000),
    "sGRADSPEC.asGPAData[].lOffsetX": (-65_536, 65_536),
    "sGRADSPEC.asGPAData[].lOffsetY": (-65_536, 65_536),
    "sGRADSPEC.asGPAData[].lOffsetZ": (-65_536, 65_536),
    "sGRADSPEC.lOffsetX": (-65_536, 65_536),
    "sGRADSPEC.lOffsetY": (-65_536, 65_536),
    "sGRADSPEC.lOffsetZ": (-65_536, 65_536),
    "sGRADSPEC.alShimCurrent[]": (-65_536, 65_536),
}
"""Keys of the protocol that stay, without the numbers of their places, and the values' range."""

_SEQUENCE: Final = re.compile(r"tSequenceFileName\s*=\s*\"+([^\"]*)\"+\s*")
_SEQUENCES: Final = Words(
    (
        *("jw_tgse_VEPCASL", "to_ep2d_VEPCASL", "tgse_pcasl", "tgse_pasl", "ep2d_pcasl_UI_PHC"),
        *("ep2d_pcasl", "ep2d_pasl", "ep2d_fairest", "ep2d_asl"),
        *("ep2d_diff_sms_fwf_simple", "ep2d_diff_fwf"),
    ),
    within=True,
)
"""Sequences whose numbers mean something else than those of others."""

_LINE: Final = re.compile(
    r"([A-Za-z0-9_.\[\]]{1,128})\s*=\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?|0x[0-9a-f]{1,8})\s*",
    re.IGNORECASE,
)
_PLACE: Final = re.compile(r"\[(\d{1,3})\]")
_DIMENSION: Final = re.compile(r"X|\d{1,5}")
_DIMENSIONS: Final = "ICE_Dims"
_MAX_DIMENSIONS: Final = 32
_ACCELERATION: Final = re.compile(r"(p\d{1,2})? ?(s\d{1,2})?")
_BEGIN: Final = b"### ASCCONV BEGIN"
_END: Final = b"### ASCCONV END"
_PHOENIX: Final = "MrPhoenixProtocol"
_OLDER_PROTOCOL: Final = "MrProtocol"


def _tags(data: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Each tag of a CSA header that has items, with its values, which may be none."""
    if data[:4] != _HEAD[:4]:
        raise ValueError("no CSA header")
    count, check = struct.unpack_from("<2I", data, 8)
    if not 0 < count <= _MAX_TAGS or check != _CHECK:
        raise ValueError("a damaged CSA header")
    offset = 16
    for _ in range(count):
        name, items = struct.unpack_from("<64s12xi4x", data, offset)
        offset += 84
        if not 0 <= items <= _MAX_ITEMS:
            raise ValueError("a damaged CSA header")
        values = []
        for _ in range(items):
            (length,) = struct.unpack_from("<4xI8x", data, offset)
            offset += 16
            end = offset + length
            if end > len(data):
                raise ValueError("a CSA header that ends early")
            if length:
                values.append(data[offset:end].partition(b"\0")[0].strip())
            offset += length + -length % 4
        if not items:
            continue
        yield name.partition(b"\0")[0].decode("ascii", "replace"), [one for one in values if one]


def csa_tags(header: bytes) -> dict[str, list[float]]:
    """Numbers of a CSA header that was rebuilt, by the names of their tags."""
    return {
        name: [float(one) for one in texts]
        for name, texts in _tags(header)
        if name in _CSA_TAGS and texts
    }


def _csa(tags: Mapping[str, tuple[str, Sequence[str]]]) -> bytes:
    """A CSA header of tags: representation and values of each."""
    parts = [_HEAD, struct.pack("<2I", len(tags), _CHECK)]
    for name, (vr, texts) in tags.items():
        items = max(len(texts), _LEAST_ITEMS)  # readers look at six, whether they are there or not
        parts.append(
            struct.pack("<64si4s3i", name.encode(), len(texts), vr.encode(), 0, items, _CHECK)
        )
        for text in (*texts, *[""] * (items - len(texts))):
            value = f"{text}\0".encode() if text else b""
            length = len(value)
            parts.append(struct.pack("<4i", length, length, _CHECK, length))
            parts.append(value + bytes(-length % 4))
    return b"".join(parts)


def _image_header(data: bytes, is_clean: IsClean) -> bytes | None:
    kept: dict[str, tuple[str, Sequence[str]]] = {}
    for name, texts in _tags(data):
        if name == _DIMENSIONS and texts and (value := _dimensions(texts[0], is_clean)):
            kept[name] = "LO", [value.decode("ascii")]
        if name not in _CSA_TAGS:
            continue
        if not texts:
            kept[name] = _CSA_TAGS[name][0], ()  # readers tell empty items from none
            continue
        vr, low, high, most = _CSA_TAGS[name]
        value = Numbers("DS", low, high, most).rebuilt(b"\\".join(texts), "<", is_clean)
        if value is None:
            return None
        kept[name] = vr, value.decode("ascii").split("\\")
    return _csa(kept) if kept else b""


def _dimensions(data: bytes, is_clean: IsClean) -> bytes | None:
    """Places of an image in the reconstruction: the coil or ``X``, the echo, and others."""
    parts = data.decode("ascii").strip("\0 ").split("_")
    if not 2 <= len(parts) <= _MAX_DIMENSIONS or not all(map(_DIMENSION.fullmatch, parts)):
        return None
    if any(part != "X" and fitted(int(part), *_COUNT, is_clean) is None for part in parts):
        return None
    return "_".join(part if part == "X" else str(int(part)) for part in parts).encode("ascii")


def _acceleration(data: bytes, is_clean: IsClean) -> bytes:  # noqa: ARG001 - two digits say nothing
    """How many times fewer lines and slices were measured: ``p2 s3``."""
    found = _ACCELERATION.fullmatch(data.decode("ascii", "replace").strip("\0 "))
    return " ".join(filter(None, found.groups())).encode("ascii") if found else b""


def _series_header(data: bytes, is_clean: IsClean) -> bytes | None:
    said = {name: texts[0] for name, texts in _tags(data) if texts}
    text = _protocol(said.get(_PHOENIX, said.get(_OLDER_PROTOCOL, b"")), is_clean)
    return _csa({_PHOENIX: ("UN", [text])}) if text else b""


def _series_header_xa(data: bytes, is_clean: IsClean) -> bytes | None:
    text = _protocol(data, is_clean)
    return f"<XProtocol>\n{text}".encode("ascii") if text else b""


def _protocol(data: bytes, is_clean: IsClean) -> str:
    """The lines of a protocol that stay; empty when there is none."""
    begin = data.find(_BEGIN)
    end = data.find(_END, begin)
    if begin < 0 or end < 0:
        return ""
    lines = data[begin:end].decode("ascii", "replace").splitlines()[1:]
    kept = [one for line in lines if (one := _protocol_line(line, is_clean))]
    return "\n".join([f"{_BEGIN.decode()} ###", *kept, f"{_END.decode()} ###\n"])


def _protocol_line(line: str, is_clean: IsClean) -> str | None:
    said = _SEQUENCE.fullmatch(line)
    if said is not None:
        word = _SEQUENCES.rebuilt(said[1].encode("ascii", "replace"), "<", is_clean)
        return f'tSequenceFileName = ""{word.decode()}""' if word else None
    found = _LINE.fullmatch(line)
    bounds = _PROTOCOL.get(_PLACE.sub("[]", found[1])) if found else None
    if found is None or bounds is None:
        return None
    is_hex = found[2][:2].lower() == "0x"
    value = fitted(int(found[2], 16) if is_hex else float(found[2]), *bounds, is_clean)
    if value is None:
        return None
    key = _PLACE.sub(lambda place: f"[{int(place[1])}]", found[1])
    if is_hex:
        return f"{key} = {hex(int(value))}"
    # readers that know no exponents read another number where there is one, and so must go on
    text = number_text(value)
    return f"{key} = {text if 'e' in found[2].lower() else format(Decimal(text), 'f')}"


CSA_IMAGE: Final = ("SIEMENS CSA HEADER", 0x002910)

_IMAGE_TYPES: Final = frozenset(
    """
    ORIGINAL DERIVED PRIMARY SECONDARY M P R I NORM ND DIS2D DIS3D MOSAIC DIFFUSION NONE TRACEW ADC
    FA ASL FMRI MOCO PHASE MAGNITUDE FM1_1 FM1_2 FM3_1 FM4_1 FM4_2 FIL FSL DRB DRG DRS DRBG DRBGS
    """.split()  # noqa: SIM905
)

_MR_HEADER: Final[Mapping[int, Kept]] = {
    0x00190A: Numbers("US", 0, 4096),  # NumberOfImagesInMosaic
    0x00190B: Numbers("DS", *_TIME_MS),  # SliceMeasurementDuration
    0x00190C: Numbers("IS", 0, 100_000),  # B_value
    0x00190D: DIRECTIONALITY,
    0x00190E: Numbers("FD", *_UNIT, most=3),  # DiffusionGradientDirection
    0x001914: Numbers("IS", -10_000, 10_000, most=3),  # ImaRelTablePosition
    0x001918: Numbers("IS", 0, 10_000_000),  # RealDwellTime
    0x001927: Numbers("FD", -1e5, 1e5, most=6),  # B_matrix
    0x001928: Numbers("FD", 0, 1e6),  # BandwidthPerPixelPhaseEncode
    0x001929: Numbers("FD", *_SLICE_TIME_MS, most=_MAX_ITEMS),  # MosaicRefAcqTimes
    0x005111: Rebuilt(_acceleration, "LO"),  # PATModeText
}

ELEMENTS: Final[Mapping[str, Mapping[int, Kept]]] = {
    "SIEMENS MR HEADER": _MR_HEADER,
    "SIEMENS CSA HEADER": {
        0x002910: Rebuilt(_image_header),
        0x002920: Rebuilt(_series_header),
    },
    "SIEMENS MR SDS 01": {
        0x002105: Numbers("IS", -10_000, 10_000, most=3),  # RelTablePosition
        0x002109: Rebuilt(_acceleration, "LO"),  # PATModeText
        0x002119: Rebuilt(_series_header_xa),
        0x0021FE: Items(),
    },
    "SIEMENS MR SDI 02": {
        0x002104: Numbers("DS", *_TIME_MS),  # TimeAfterStart
        0x002106: Rebuilt(_dimensions, "LO"),  # ICE_Dims
        0x00211C: Numbers("IS", 0, 1),  # PhaseEncodingDirectionPositive
        0x002142: Numbers("IS", 0, 10_000_000),  # RealDwellTime
        0x002153: Numbers("FD", 0, 1e6),  # BandwidthPerPixelPhaseEncode
        0x002175: Codes(_IMAGE_TYPES),
        0x00218A: Numbers("IS", 0, 10_000_000),  # FrameNumberInSeries
        0x00218E: Rebuilt(_dimensions, "ST"),
        0x0021FE: Items(),
    },
}
