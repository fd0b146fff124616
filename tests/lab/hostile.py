"""Files that want too much, or say what is not so: small ones that would fill memory or days."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
import pydicom
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from tests.lab.dicoms import encoded, instance

__all__ = ["HOSTILE", "deflated_bomb", "element", "with_element"]

MIB: Final = 1024 * 1024
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element of a long value representation, explicit, little endian."""
    size = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value


def with_element(more: bytes) -> bytes:
    """A whole instance, with bytes put in before those of the patient."""
    data = encoded(instance())
    at = data.index(struct.pack("<HH", 0x0010, 0x0010), 132)
    return data[:at] + more + data[at:]


def deflated_bomb(mebibytes: int) -> bytes:
    """A deflated instance with a private element of zeros."""
    ds = instance()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    raw = buffer.getvalue()
    start = 144 + int.from_bytes(raw[140:144], "little")
    body = zlib.decompress(raw[start:], -zlib.MAX_WBITS)
    pack = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = element(0xFFFCFFFC, b"OB", b"", min(mebibytes * MIB, 0xFFFFFFFE))
    begin = pack.compress(body + head) + pack.flush(zlib.Z_FULL_FLUSH)
    zeros = pack.compress(bytes(MIB)) + pack.flush(zlib.Z_FULL_FLUSH)
    return raw[:start] + begin + zeros * mebibytes + pack.flush()


def _nested(depth: int) -> bytes:
    head = element(0x00081140, b"SQ", b"", _UNDEFINED)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, _UNDEFINED)
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return with_element((head + item) * depth + ends * depth)


def _in_implicit(more: bytes) -> bytes:
    """An instance that begins with an element without value representation."""
    ds = instance()
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    del ds.PatientName
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, implicit_vr=True, little_endian=True, enforce_file_format=True)
    data = buffer.getvalue()
    at = data.index(struct.pack("<HHI", 0x0010, 0x0020, 8))
    return data[:at] + more + data[at:]


def _volume(shape: tuple[int, ...], content: bytes = b"", **fields: float) -> bytes:
    header = nibabel.nifti1.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4) + content


def _gzip_bomb(mebibytes: int) -> bytes:
    """A small volume that is followed by zeros."""
    pack = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    begin = pack.compress(_volume((4, 5, 6), bytes(240))) + pack.flush(zlib.Z_FULL_FLUSH)
    zeros = pack.compress(bytes(MIB)) + pack.flush(zlib.Z_FULL_FLUSH)
    return begin + zeros * mebibytes + pack.flush()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../IM1.dcm", encoded(instance()))
    return buffer.getvalue()


def _claims(length: int) -> bytes:
    data = encoded(instance())
    at = data.index(b"\xe0\x7f\x10\x00OW\0\0") + 8
    return data[:at] + struct.pack("<I", length) + data[at + 4 :]


def _sparse(path: Path, mebibytes: int) -> None:
    """An instance with a large private element, which takes no room on the disk."""
    data = with_element(b"")
    at = data.index(struct.pack("<HH", 0x0010, 0x0010), 132)
    head = element(0x00091001, b"OB", b"", mebibytes * MIB)
    with path.open("wb") as stream:
        stream.write(data[:at] + head)
        stream.seek(mebibytes * MIB, 1)
        stream.write(data[at:])


_MEMORY = "its header would take more than 512 MiB of memory"

HOSTILE: Final[dict[str, tuple[Callable[[], bytes] | Callable[[Path], None], str]]] = {
    "deflated.dcm": (lambda: deflated_bomb(4096), "inflates to more than 256 MiB"),
    "half-deflated.dcm": (lambda: deflated_bomb(1)[:-900], "its deflated data end early"),
    "nested.dcm": (lambda: _nested(5000), "sequences are nested too deep"),
    "long.dcm": (
        lambda: with_element(element(0x00091001, b"OB", b"", 1 << 31)),
        "ends within its header",
    ),
    "claims.dcm": (lambda: _claims(0xFFFFFFFE), "ends within its pixel data"),
    "endless.dcm": (lambda: _claims(_UNDEFINED), "ends within its pixel data"),
    "private.dcm": (lambda path: _sparse(path, 600), _MEMORY),
    "names.dcm": (
        lambda: _in_implicit(struct.pack("<HHI", 0x10, 0x10, 4 * MIB) + b"a\\" * 2 * MIB),
        _MEMORY,
    ),
    "zip.dcm": (_zip, "not a DICOM file"),
    "zip.nii.gz": (_zip, "not a NIfTI file"),
    "members.nii.gz": (
        lambda: gzip.compress(b"") * 500_000,
        "compressed data are thousands of pieces with next to nothing in them",
    ),
    "behind.nii.gz": (
        lambda: _gzip_bomb(10_000),
        "compressed data hold more than the 592 bytes of its header",
    ),
    "claims.nii.gz": (
        lambda: gzip.compress(_volume((32767, 32767, 100), bytes(1000))),
        "expands to 214735258152 bytes, more than 100 times its size",
    ),
    "nowhere.nii": (
        lambda: _volume((4, 5, 6), bytes(240), vox_offset=float("nan")),
        "its voxels begin within its header",
    ),
    "inside.nii": (
        lambda: _volume((4, 5, 6), bytes(240), vox_offset=0),
        "its voxels begin within its header",
    ),
}
"""Name -> bytes of a file, or what writes it, and why it is not imported."""
