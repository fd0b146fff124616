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

__all__ = ["VolumeDerivative", "clean_volume", "derive_volume", "geometry"]

_CHUNK_BYTES = 1024 * 1024
_HEADER_BYTES = 540  # of NIfTI-2, without extensions; NIfTI-1 has 348
_HEADER_STEP_BYTES = 4096
_GZIP = 16 + zlib.MAX_WBITS
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


def geometry(
    stream: BinaryIO, size_bytes: int, *, compressed: bool, whole: bool = True
) -> dict[str, Any]:
    """Read the header of a NIfTI file and check that its voxels are all there.

    Parameters
    ----------
    stream : binary file
        Open at the start.
    size_bytes : int
        Size of the file.
    compressed : bool
        Whether it is a gzip file.
    whole : bool
        Decompress a gzip file to its end; else its header alone is read, and who reads its voxels
        finds out whether they are there.

    Returns
    -------
    dict
        ``Columns``, ``Rows``, ``NumberOfSlices``, ``NumberOfTimepoints``, and for a fifth dimension
        ``NumberOfComponents``; ``VoxelSizeX``, ``Y``, ``Z`` in mm; ``RepetitionTime`` in ms;
        ``VoxelType``, ``Orientation`` (``RAS``), ``Space``.

    Raises
    ------
    ValueError
        It is no NIfTI file, or not a whole one; the message quotes nothing of it.
    """
    step_bytes = _CHUNK_BYTES if whole and compressed else _HEADER_STEP_BYTES
    head, whole_bytes = b"", 0
    plain = _gunzip(stream, step_bytes) if compressed else _plain(stream, step_bytes)
    for chunk in plain:
        whole_bytes += len(chunk)
        head += chunk[: max(0, _HEADER_BYTES - len(head))]
        if len(head) == _HEADER_BYTES and not (whole and compressed):
            break
    header = _header(head)
    if not compressed:
        whole_bytes = size_bytes
    needed = _needed_bytes(header)
    if (whole or not compressed) and whole_bytes < needed:
        raise ValueError(f"voxels end early: {whole_bytes} of {needed} bytes")
    return _describe(header)


def _plain(stream: BinaryIO, step_bytes: int) -> Iterator[bytes]:
    while chunk := stream.read(step_bytes):
        yield chunk


def _gunzip(stream: BinaryIO, step_bytes: int) -> Iterator[bytes]:
    """Content of a gzip file that is read in steps.

    Raises
    ------
    ValueError
        It is damaged, or not whole.
    """
    inflate = _Inflate()
    for chunk in _plain(stream, step_bytes):
        yield from inflate(chunk)
    inflate.end()


class _Inflate:
    """Decompresses a gzip file that comes in pieces, in constant memory."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(_GZIP)
        self._is_within = False  # a member of the file, of which there may be several
        self._members = 0

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """What a further piece of the file holds.

        Raises
        ------
        ValueError
            It is damaged.
        """
        while True:
            if not self._is_within:
                data = data.lstrip(b"\0") if self._members else data  # zeros may pad a file
                if not data:
                    return
                self._is_within = True
                self._members += 1
            try:
                plain = self._engine.decompress(data, _CHUNK_BYTES)
            except zlib.error as exc:
                raise ValueError(f"compressed data {self._what_is_wrong(str(exc))}") from None
            if plain:
                yield plain
            data = self._engine.unconsumed_tail
            if self._engine.eof:
                data = self._engine.unused_data
                self._engine = zlib.decompressobj(_GZIP)
                self._is_within = False
            elif not data and len(plain) < _CHUNK_BYTES:
                return

    def end(self) -> None:
        """Say that all pieces have come.

        Raises
        ------
        ValueError
            The file goes on.
        """
        if self._is_within or not self._members:
            raise ValueError("compressed data end early")

    def _what_is_wrong(self, said: str) -> str:
        if "incorrect header check" in said:
            return "is not gzip" if self._members == 1 else "has something else behind it"
        if "incorrect data check" in said or "incorrect length check" in said:
            return "fails its checksum"
        return "are damaged"


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


def _needed_bytes(header: Any) -> int:
    """Where the voxels of a volume end."""
    return int(header.get_data_offset()) + _data_bytes(header)


def _describe(header: Any) -> dict[str, Any]:
    nibabel: Any = _nibabel()

    shape = [*(int(size) for size in header.get_data_shape()), 1, 1, 1, 1, 1][:5]
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
            found[name] = round(float(f"{size * scale:.7g}"), 6)  # what 32 bits hold
    if shape[4] > 1:
        found["NumberOfComponents"] = shape[4]
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
    derived = VolumeDerivative()
    for chunk in _plain(source, _CHUNK_BYTES):
        yield from derived(chunk)
    yield derived.end()


class VolumeDerivative:
    """De-identifies a NIfTI file, plain or gzip, that comes in pieces.

    The header is made anew: text (descrip, aux_file, intent_name, db_name), fields of Analyze and
    extensions are left out, and so is what follows the voxels. The pieces that it gives are those
    of a gzip file without name and time, the same for the same volume always.
    """

    def __init__(self) -> None:
        self._begin = b""
        self._inflate: _Inflate | None = None
        self._is_known = False  # whether it is a gzip file
        self._voxels: tuple[int, int] | None = None  # where they begin and end
        self._seen_bytes = 0
        self._sink = io.BytesIO()
        self._packed = gzip.GzipFile("", "wb", 6, self._sink, mtime=0)

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """What a further piece of the file becomes.

        Raises
        ------
        ValueError
            It is no NIfTI file, or damaged.
        """
        if not self._is_known:
            data = self._begin + data
            if len(data) < 2:
                self._begin = data
                return
            self._begin, self._is_known = b"", True
            self._inflate = _Inflate() if data[:2] == b"\x1f\x8b" else None
        for plain in self._inflate(data) if self._inflate else (data,):
            self._add(plain)
            if self._sink.tell() >= _CHUNK_BYTES:
                yield self._take()

    def end(self) -> bytes:
        """The rest, when all pieces have come.

        Raises
        ------
        ValueError
            It was no whole NIfTI file.
        """
        if self._inflate is not None:
            self._inflate.end()
        if self._voxels is None:
            self._start(self._begin)
        assert self._voxels is not None  # noqa: S101 - it has started
        if self._seen_bytes < self._voxels[1]:
            raise ValueError(f"voxels end early: {self._seen_bytes} of {self._voxels[1]} bytes")
        self._packed.close()
        return self._take()

    def _add(self, plain: bytes) -> None:
        if self._voxels is None:
            self._begin += plain
            if len(self._begin) >= _HEADER_BYTES:
                self._start(self._begin)
            return
        begin, end = (max(at - self._seen_bytes, 0) for at in self._voxels)
        self._seen_bytes += len(plain)
        self._packed.write(memoryview(plain)[begin:end])

    def _start(self, begin: bytes) -> None:
        header = _header(begin)
        self._voxels = int(header.get_data_offset()), _needed_bytes(header)
        self._packed.write(_new_header(header))
        self._begin = b""
        self._add(begin)

    def _take(self) -> bytes:
        data = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return data


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
        return _describe(_header(plain.read(_HEADER_BYTES)))
