"""NIfTI files: geometry from the header, and whether all voxels are there.

Source: NIfTI-1 and NIfTI-2 data format, https://nifti.nimh.nih.gov.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["clean_volume", "derive_volume", "geometry"]

_CHUNK_BYTES = 1024 * 1024
_MAX_HEADER_BYTES = 4 * 1024 * 1024
_MM_PER_UNIT = {"mm": 1.0, "meter": 1000.0, "micron": 0.001, "unknown": 1.0}
_S_PER_UNIT = {"sec": 1.0, "msec": 0.001, "usec": 0.000001, "unknown": 1.0}
_MAX_PERIOD_S = 600.0  # more is a number of ms under the wrong unit
_GEOMETRY = (
    *("dim_info", "dim", "datatype", "bitpix", "pixdim", "scl_slope", "scl_inter"),
    *("slice_start", "slice_end", "slice_code", "slice_duration", "xyzt_units", "toffset"),
    *("cal_max", "cal_min", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
_INTENT = ("intent_code", "intent_p1", "intent_p2", "intent_p3")
_SPACE_CODES = {1: "scanner", 2: "aligned", 3: "talairach", 4: "mni"}


def geometry(stream: BinaryIO, size_bytes: int, *, compressed: bool) -> dict[str, Any]:
    """Read the header of a NIfTI file and check that its voxels are all there.

    Parameters
    ----------
    stream : binary file
        Open at the start.
    size_bytes : int
        Size of the file.
    compressed : bool
        Whether it is a gzip file; it is then decompressed to its end.

    Returns
    -------
    dict
        ``Columns``, ``Rows``, ``NumberOfSlices``, ``NumberOfTimepoints``; ``VoxelSizeX``, ``Y``,
        ``Z`` in mm; ``RepetitionTime`` in ms; ``VoxelType``, ``Orientation`` (``RAS``), ``Space``.

    Raises
    ------
    ValueError
        It is no NIfTI file, or not a whole one; the message quotes nothing of it.
    """
    if compressed:
        head, whole_bytes = _decompressed(stream)
    else:
        head, whole_bytes = stream.read(_MAX_HEADER_BYTES), size_bytes
    header = _header(head)
    needed = int(header.get_data_offset()) + _data_bytes(header)
    if whole_bytes < needed:
        raise ValueError(f"voxels end early: {whole_bytes} of {needed} bytes")
    return _describe(header)


def _decompressed(stream: BinaryIO) -> tuple[bytes, int]:
    """First bytes of a gzip file and the size of all of them."""
    head = bytearray()
    total = 0
    try:
        with gzip.GzipFile(fileobj=stream) as plain:
            while chunk := plain.read(_CHUNK_BYTES):
                total += len(chunk)
                if len(head) < _MAX_HEADER_BYTES:
                    head += chunk
    except EOFError:
        raise ValueError("compressed data end early") from None
    except gzip.BadGzipFile as exc:
        what = "is not gzip" if total == 0 else "fails its checksum"
        raise ValueError(f"compressed data {what}") from exc
    except zlib.error:
        raise ValueError("compressed data are damaged") from None
    return bytes(head), total


def _header(data: bytes) -> Any:
    nibabel: Any = _nibabel()

    if len(data) < 348:
        raise ValueError("too short for a NIfTI header")
    is_second = 540 in (_int32(data, "little"), _int32(data, "big"))
    magic = data[4:8] if is_second else data[344:348]
    if magic[:2] == b"ni":
        raise ValueError("a header whose voxels lie in another file (.hdr/.img); make it .nii")
    if magic[:2] != b"n+":
        raise ValueError("not a NIfTI file")
    kind = nibabel.Nifti2Header if is_second else nibabel.Nifti1Header
    try:
        return kind(data[: kind.sizeof_hdr], check=False)  # its extensions are nobody's business
    except Exception as exc:  # nibabel meets broken headers with errors of many kinds
        raise ValueError(f"header cannot be read ({type(exc).__name__})") from None


def _nibabel() -> Any:
    import nibabel

    return nibabel


def _int32(data: bytes, order: Any) -> int:
    return int.from_bytes(data[:4], order)


def _data_bytes(header: Any) -> int:
    try:
        item_bytes = header.get_data_dtype().itemsize
        shape = [int(size) for size in header.get_data_shape()]
    except Exception as exc:
        raise ValueError(f"header cannot be read ({type(exc).__name__})") from None
    if not shape or any(size < 1 for size in shape):
        raise ValueError("header has no or negative dimensions")
    return math.prod(shape) * int(item_bytes)


def _describe(header: Any) -> dict[str, Any]:
    nibabel: Any = _nibabel()

    shape = [*(int(size) for size in header.get_data_shape()), 1, 1, 1, 1][:4]
    zooms = [*(float(size) for size in header.get_zooms()), 0.0, 0.0, 0.0, 0.0][:4]
    try:
        space_unit, time_unit = header.get_xyzt_units()
    except KeyError:
        space_unit = time_unit = "unknown"
    scale = _MM_PER_UNIT.get(space_unit, 1.0)
    found: dict[str, Any] = {
        "Columns": shape[0],
        "Rows": shape[1],
        "NumberOfSlices": shape[2],
        "NumberOfTimepoints": shape[3],
        "VoxelType": str(header.get_data_dtype().name),
    }
    for name, size in zip(("VoxelSizeX", "VoxelSizeY", "VoxelSizeZ"), zooms, strict=False):
        if math.isfinite(size) and size > 0:
            found[name] = round(size * scale, 6)
    period_s = zooms[3] * _S_PER_UNIT.get(time_unit, 1.0)
    if shape[3] > 1 and 0 < period_s <= _MAX_PERIOD_S:
        found["RepetitionTime"] = round(period_s * 1000, 3)
    try:
        codes = nibabel.aff2axcodes(header.get_best_affine())
        if None not in codes:
            found["Orientation"] = "".join(codes)
    except Exception:  # noqa: S110 - an affine that cannot be inverted has no orientation
        pass
    code = int(header["sform_code"]) or int(header["qform_code"])
    if code in _SPACE_CODES:
        found["Space"] = _SPACE_CODES[code]
    return found


def derive_volume(source: BinaryIO) -> Iterator[bytes]:
    """De-identify a NIfTI file: its geometry and voxels, and nothing else.

    The header is made anew: text (descrip, aux_file, intent_name, db_name), fields of Analyze and
    extensions are left out, and so is what follows the voxels.

    Parameters
    ----------
    source : binary file
        NIfTI file at its start, plain or gzip.

    Yields
    ------
    bytes
        A gzip file without name and time, the same for the same volume always.

    Raises
    ------
    ValueError
        `source` is no whole NIfTI file; the message quotes nothing of it.
    """
    head = source.read(2)
    source.seek(0)
    stream: Any = gzip.GzipFile(fileobj=source) if head == b"\x1f\x8b" else source
    sink = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, sink, mtime=0) as packed:
        for chunk in _derived(stream):
            packed.write(chunk)
            if sink.tell() >= _CHUNK_BYTES:
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
    yield sink.getvalue()


def _derived(stream: Any) -> Iterator[bytes]:
    """Plain bytes of the new file."""
    try:
        start = stream.read(_MAX_HEADER_BYTES)
        header = _header(start)
        offset, left = int(header.get_data_offset()), _data_bytes(header)
        yield _new_header(header)
        voxels = start[offset:]
        skip = offset - len(start)  # of extensions longer than all that was read
        while skip > 0:
            chunk = stream.read(min(skip, _CHUNK_BYTES))
            if not chunk:
                raise ValueError("voxels end early")
            skip -= len(chunk)
        while left:
            chunk = voxels[:left] or stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise ValueError("voxels end early")
            voxels = b""
            left -= len(chunk)
            yield chunk
    except EOFError:
        raise ValueError("compressed data end early") from None
    except (gzip.BadGzipFile, zlib.error):
        raise ValueError("compressed data are damaged") from None


def _new_header(header: Any) -> bytes:
    """Header, without extensions, that has the geometry of another."""
    new = type(header)(endianness=header.endianness)
    for name in _GEOMETRY:
        new[name] = header[name]
    if int(header["intent_code"]):
        for name in _INTENT:
            new[name] = header[name]
    used = int(header["dim"][0]) + 1
    new["dim"][used:] = 1
    new["pixdim"][used:] = 1
    new.set_data_offset(new.single_vox_offset)
    new["magic"] = new.single_magic
    block: bytes = new.binaryblock
    return block + bytes(int(new.single_vox_offset) - len(block))


def clean_volume(source: Path, target: Path) -> dict[str, Any]:
    """Write what `derive_volume` makes of a file into a new one; give its geometry.

    Raises
    ------
    ValueError
        `source` is no whole NIfTI file.
    """
    with source.open("rb") as stream, target.open("xb") as file:
        for chunk in derive_volume(stream):
            file.write(chunk)
    with gzip.open(target, "rb") as plain:
        return _describe(_header(plain.read(_MAX_HEADER_BYTES)))
