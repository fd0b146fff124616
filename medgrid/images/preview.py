"""What a person looks at to say whether text is burned into an image: its frames side by side."""

from __future__ import annotations

import gzip
import io
import math
import multiprocessing
import resource
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from medgrid.errors import MedgridError
from medgrid.images.dicom import quiet_pydicom
from medgrid.images.png import png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NoPreview", "Preview", "draw", "preview"]

_MAX_EDGE: Final = 1024  # px of one tile
_MAX_BYTES: Final = 2 * 1024**3
_GAP: Final = 4  # px between tiles
_MAX_MEMORY_BYTES: Final = 4 * 1024**3
_MAX_S: Final = 120.0


class NoPreview(MedgridError):
    """The pixels cannot be shown."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of some frames.

    Attributes
    ----------
    png : bytes
    shown, total : int
        Frames (slices of a volume) in the picture and in the object.
    """

    png: bytes
    shown: int
    total: int


def preview(path: Path, tiles: int = 16, *, equalise: bool = False) -> Preview:
    """Do what `draw` does in a process of its own.

    Frames may claim any size, and decoders are programs in C: what takes too much memory or time,
    or ends them, ends that process alone.

    Raises
    ------
    NoPreview
        As of `draw`, or it takes too much.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_draw, args=(theirs, path, tiles, equalise), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_MAX_S):
            raise NoPreview(f"to draw it takes more than {_MAX_S:.0f} s")
        found: Preview | NoPreview = ours.recv()
    except EOFError:
        raise NoPreview("its pixels end the program that decodes them") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(found, NoPreview):
        raise found
    return found


def _draw(answer: Connection, path: Path, tiles: int, equalise: bool) -> None:
    """Run in the process: draw, and send the picture or why there is none."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    try:
        answer.send(draw(path, tiles, equalise=equalise))
    except NoPreview as exc:
        answer.send(exc)
    except MemoryError:
        answer.send(NoPreview(f"to draw it takes more than {_MAX_MEMORY_BYTES // 1024**3} GiB"))


def draw(path: Path, tiles: int = 16, *, equalise: bool = False) -> Preview:
    """Draw frames of an object, evenly spaced.

    Parameters
    ----------
    path : Path
        A DICOM file, a packed series or a NIfTI volume, plain or gzip, alone or packed with its
        companions; its content says which.
    tiles : int
        Frames to show at most.
    equalise : bool
        Give each gray value its rank, so that text that hardly differs from its ground is seen.

    Raises
    ------
    NoPreview
        It is none of these, is broken, or is compressed in a way nothing installed can decode.
    """
    with path.open("rb") as stream:
        head = stream.read(352)
    try:
        with quiet_pydicom():
            if head[:2] == b"\x1f\x8b" or head[344:347] == b"n+1" or head[4:7] == b"n+2":
                frames, total = _of_volume(path, head[:2] == b"\x1f\x8b", tiles)
            elif head[257:262] == b"ustar" and head[:100].rstrip(b"\0").endswith((b".nii", b".gz")):
                frames, total = _of_packed_volume(path, tiles)
            elif head[257:262] == b"ustar":
                frames, total = _of_series(path, tiles)
            else:
                with path.open("rb") as stream:
                    frames, total = _of_instance(stream, tiles)
    except (NoPreview, MemoryError):
        raise
    except Exception as exc:  # decoders meet broken pixels with errors of every kind
        raise NoPreview(f"pixels cannot be decoded ({type(exc).__name__})") from None
    if not frames:
        raise NoPreview("nothing to show")
    pictures = [_shrunk(_bytes_of(frame, equalise)) for frame in frames]
    return Preview(png(_montage(pictures)), len(frames), total)


def _spread(total: int, tiles: int) -> list[int]:
    """Numbers of at most `tiles` of `total` things, evenly spaced, the first and last included."""
    if total <= tiles:
        return list(range(total))
    if tiles == 1:
        return [total // 2]
    return [round(place * (total - 1) / (tiles - 1)) for place in range(tiles)]


def _of_volume(path: Path, is_gzip: bool, tiles: int) -> tuple[list[Any], int]:
    with path.open("rb") as stream:
        return _of_nifti(stream, is_gzip, tiles)


def _of_packed_volume(path: Path, tiles: int) -> tuple[list[Any], int]:
    with tarfile.open(path, "r:") as tar:
        image = tar.next()
        stream: Any = image and tar.extractfile(image)
        assert image is not None and stream is not None  # noqa: S101 - it has a name
        return _of_nifti(stream, image.name.endswith(".gz"), tiles)


def _of_nifti(file: BinaryIO, is_gzip: bool, tiles: int) -> tuple[list[Any], int]:
    import nibabel
    import numpy as np

    with gzip.open(file, "rb") if is_gzip else file as stream:
        data = stream.read(_MAX_BYTES)
    nifti: Any = nibabel
    kind = nifti.Nifti2Image if data[4:7] == b"n+2" else nifti.Nifti1Image
    image = kind.from_bytes(data)
    voxels = np.asanyarray(image.dataobj)
    if voxels.dtype.names:  # colours
        voxels = np.stack([voxels[name] for name in voxels.dtype.names[:3]], axis=-1)
        flat = voxels.reshape(*voxels.shape[:2], -1, 3)
    else:
        flat = voxels.reshape(*voxels.shape[:2], -1)
    total = flat.shape[2]
    # columns run to the right and rows down when the first axis runs to the left
    frames = [np.swapaxes(flat[:, :, at], 0, 1)[::-1] for at in _spread(total, tiles)]
    return frames, total


def _of_series(path: Path, tiles: int) -> tuple[list[Any], int]:
    with tarfile.open(path, "r:") as tar:
        members = [info for info in tar if info.isreg()]
        if not members:
            return [], 0
        found: list[Any] = []
        each = max(1, tiles // len(members))
        total = 0
        for at in _spread(len(members), tiles):
            content = tar.extractfile(members[at])
            assert content is not None  # noqa: S101 - a regular file has content
            frames, count = _of_instance(io.BytesIO(content.read(_MAX_BYTES)), each)
            found += frames
            total += count
        shown = len(_spread(len(members), tiles))
        return found, total + len(members) - shown  # those not opened have one frame at least


def _of_instance(stream: BinaryIO, tiles: int) -> tuple[list[Any], int]:
    import pydicom
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import iter_pixels

    ds = pydicom.dcmread(stream, force=True)
    syntax = getattr(ds.file_meta, "TransferSyntaxUID", None)
    total = int(ds.get("NumberOfFrames") or 1)
    wanted = _spread(total, tiles)
    try:
        frames: list[Any] = list(iter_pixels(ds, indices=wanted))
    except (RuntimeError, NotImplementedError):
        name = syntax.name if syntax is not None else "no transfer syntax"
        raise NoPreview(
            f"nothing installed can decode {name}",
            hint="install a decoder: pip install pillow, or pylibjpeg with its plugins",
        ) from None
    photometric = str(ds.get("PhotometricInterpretation", ""))
    if photometric == "PALETTE COLOR":
        frames = [apply_color_lut(frame, ds) for frame in frames]
    if photometric == "MONOCHROME1":
        frames = [frame.max() - frame for frame in frames]
    return frames, total


def _bytes_of(frame: NDArray[Any], equalise: bool) -> NDArray[np.uint8]:
    """Frame as 8-bit gray or colours, from its darkest to its brightest per cent."""
    import numpy as np

    if frame.ndim == 3 and frame.dtype == np.uint8:
        return frame[..., :3]
    plain: Any = np.nan_to_num(np.abs(frame) if np.iscomplexobj(frame) else frame)
    if equalise and plain.ndim == 2:
        _, ranks = np.unique(plain, return_inverse=True)
        plain = ranks.reshape(plain.shape)
        low, high = 0.0, float(plain.max())
    else:
        low, high = (float(edge) for edge in np.percentile(plain, (1, 99)))
        if high <= low:
            low, high = float(plain.min()), float(plain.max())
    scaled = (plain.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.asarray(np.clip(scaled, 0, 1) * 255, np.uint8)


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Picture no larger than a tile, by the brightest of each block: thin text stays."""
    step = math.ceil(max(picture.shape[:2]) / _MAX_EDGE)
    if step < 2:
        return picture
    rows, columns = (size // step * step for size in picture.shape[:2])
    cut = picture[:rows, :columns]
    blocks = cut.reshape(rows // step, step, columns // step, step, *picture.shape[2:])
    shrunk: NDArray[np.uint8] = blocks.max(axis=(1, 3))
    return shrunk


def _montage(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    import numpy as np

    if any(one.ndim == 3 for one in pictures):
        pictures = [one if one.ndim == 3 else np.stack([one] * 3, axis=-1) for one in pictures]
    across = math.ceil(math.sqrt(len(pictures)))
    down = math.ceil(len(pictures) / across)
    height = max(one.shape[0] for one in pictures) + _GAP
    width = max(one.shape[1] for one in pictures) + _GAP
    whole = np.full(
        (down * height - _GAP, across * width - _GAP, *pictures[0].shape[2:]), 128, np.uint8
    )
    for (row, column), one in zip(_cells(across, down), pictures, strict=False):
        top, left = row * height, column * width
        whole[top : top + one.shape[0], left : left + one.shape[1]] = one
    return whole


def _cells(across: int, down: int) -> Iterator[tuple[int, int]]:
    return ((row, column) for row in range(down) for column in range(across))
