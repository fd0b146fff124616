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
_GZIP_STEP_BYTES = 32 * 1024
_MAX_BEHIND_BYTES = 1024 * 1024  # what may follow the voxels
_EASY_BYTES = 2 * 1024**3  # what any gzip file may expand to, however small it is
_MAX_RATIO = 100  # to its size, beyond that
_MAX_SMALL_MEMBERS = 1000
_SMALL_MEMBER_BYTES = 1024
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
    if not compressed:
        header = _header(stream.read(_HEADER_BYTES))
        needed = _needed_bytes(header)
        if size_bytes < needed:
            raise ValueError(f"voxels end early: {size_bytes} of {needed} bytes")
        if size_bytes > needed + _MAX_BEHIND_BYTES:
            raise ValueError(f"holds {size_bytes} bytes, more than the {needed} of its header")
        return _describe(header)
    inflate = _Inflate()
    for chunk in _plain(stream, _CHUNK_BYTES if whole else _HEADER_STEP_BYTES):
        for _ in inflate(chunk):
            pass
        if inflate.header is not None and not whole:
            break
    else:
        inflate.end()
    assert inflate.header is not None  # noqa: S101 - there is one at the end
    needed = inflate.needed_bytes
    if needed > max(_EASY_BYTES, _MAX_RATIO * size_bytes):
        raise ValueError(f"expands to {needed} bytes, more than {_MAX_RATIO} times its size")
    return _describe(inflate.header)


def _plain(stream: BinaryIO, step_bytes: int) -> Iterator[bytes]:
    while chunk := stream.read(step_bytes):
        yield chunk


class _Inflate:
    """Decompresses a gzipped NIfTI file that comes in pieces, in constant memory.

    What follows the gzip member in which the voxels end is nobody's: nibabel does not read it,
    either.

    Attributes
    ----------
    header
        nibabel's header, when so much has come.
    needed_bytes : int
        Where the voxels end, when the header is known.
    """

    def __init__(self) -> None:
        self.header: Any = None
        self.needed_bytes = 0
        self._engine = zlib.decompressobj(_GZIP)
        self._is_within = False  # a member of the file, of which there may be several
        self._members = 0
        self._head = b""
        self._seen_bytes = 0

    def __call__(self, data: bytes) -> Iterator[bytes]:
        """What a further piece of the file holds.

        Raises
        ------
        ValueError
            It is damaged, or holds more than its header says.
        """
        # a member's end copies what is left: of a step, not of a piece with thousands of them
        for start in range(0, len(data), _GZIP_STEP_BYTES):
            yield from self._step(data[start : start + _GZIP_STEP_BYTES])

    def _step(self, data: bytes) -> Iterator[bytes]:
        while not self._is_whole:
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
                self._look(plain)
                yield plain
            data = self._engine.unconsumed_tail
            if self._engine.eof:
                data = self._engine.unused_data
                self._next_member()
            elif not data and len(plain) < _CHUNK_BYTES:
                return

    @property
    def _is_whole(self) -> bool:
        is_known = self.header is not None and self._seen_bytes >= self.needed_bytes
        return is_known and not self._is_within

    def _look(self, plain: bytes) -> None:
        self._seen_bytes += len(plain)
        if self.header is None:
            self._head += plain[: _HEADER_BYTES - len(self._head)]
            if len(self._head) == _HEADER_BYTES:
                self._know()
        elif self._seen_bytes > self.needed_bytes + _MAX_BEHIND_BYTES:
            raise ValueError(
                f"compressed data hold more than the {self.needed_bytes} bytes of its header"
            )

    def _know(self) -> None:
        self.header = _header(self._head)
        self.needed_bytes = _needed_bytes(self.header)

    def _next_member(self) -> None:
        self._engine = zlib.decompressobj(_GZIP)
        self._is_within = False
        many = self._members > _MAX_SMALL_MEMBERS
        if many and self._seen_bytes < self._members * _SMALL_MEMBER_BYTES:
            raise ValueError("compressed data are thousands of pieces with next to nothing in them")

    def end(self) -> None:
        """Say that all pieces have come.

        Raises
        ------
        ValueError
            The file goes on, or the voxels do.
        """
        if self._is_within or not self._members:
            raise ValueError("compressed data end early")
        if self.header is None:
            self._know()
        if self._seen_bytes < self.needed_bytes:
            raise ValueError(f"voxels end early: {self._seen_bytes} of {self.needed_bytes} bytes")

    def _what_is_wrong(self, said: str) -> str:
        if "incorrect header check" in said:
            if self._members == 1:
                return "is not gzip"
            return "is followed by something else than gzip before its voxels end"
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


def _voxels_at(header: Any) -> int:
    """Where the voxels of a volume begin; what lies before them may hold text."""
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and offset >= header.sizeof_hdr):
        raise ValueError("its voxels begin within its header")
    return int(offset)


def _needed_bytes(header: Any) -> int:
    """Where the voxels of a volume end."""
    return _voxels_at(header) + _data_bytes(header)


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
        self._voxels = _voxels_at(header), _needed_bytes(header)
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
