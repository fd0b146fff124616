"""DICOM headers that strangers wrote, parsed by pydicom within bounds.

pydicom makes an object of each element and each item of a sequence, so that a header takes up to
a hundred times its bytes in memory, and it inflates a deflated file whole. Here it reads from a
stream that counts what it makes of it, and stops it in time. A header of up to `EASY_BYTES`, as
almost all are, cannot go beyond the bounds.

Sources: DICOM PS3.5 section 7.5 (nesting of data sets), annex A.5 (deflated transfer syntax).
`tests/images/test_bounded.py` compares what is counted with what it takes.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

__all__ = ["EASY_BYTES", "TooMuch", "parse"]

EASY_BYTES: Final = 1024 * 1024
MAX_INFLATED_BYTES: Final = 256 * 1024 * 1024
_MAX_MEMORY_BYTES: Final = 512 * 1024 * 1024
_ITEM_BYTES: Final = (
    1536  # without elements; its attributes are a dict of its own in the worst case
)
_ELEMENT_BYTES: Final = 448  # one that says its representation; others look as items do
_VALUE_BYTES: Final = 512  # of one of several values, such as a name
_PER_NUMBER_BYTE: Final = 26  # of binary numbers, which become a list
_NUMBERS: Final = frozenset("AT FD FL SL SS SV UL US UV".split())  # noqa: SIM905
_BYTES: Final = frozenset("OB OD OF OL OV OW UN".split())  # noqa: SIM905
_STEP_BYTES: Final = 64 * 1024


class TooMuch(ValueError):
    """A header goes beyond the bounds, or its deflated data are damaged; quotes nothing of it."""


class _IsDeflated(Exception):
    """pydicom wants all that is left of a file: to inflate it."""


class _Budget:
    """What one header may still cost, in bytes of memory."""

    def __init__(self) -> None:
        self.left_bytes = _MAX_MEMORY_BYTES

    def spend(self, size_bytes: int) -> None:
        """Take some of it.

        Raises
        ------
        TooMuch
            It does not suffice.
        """
        self.left_bytes -= size_bytes
        if self.left_bytes < 0:
            raise self.exceeded

    @property
    def exceeded(self) -> TooMuch:
        """The error that says so."""
        mib = _MAX_MEMORY_BYTES // 1024**2
        return TooMuch(f"its header would take more than {mib} MiB of memory")

    @property
    def is_easy(self) -> bool:
        """Whether so little was spent that nothing made of it can be large."""
        return _MAX_MEMORY_BYTES - self.left_bytes < EASY_BYTES


class _Counted:
    """A stream that is paid for as it is read."""

    def __init__(self, stream: BinaryIO, budget: _Budget) -> None:
        self.tell = stream.tell
        self.seek = stream.seek
        self._read = stream.read
        self._budget = budget

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; eight are the head of an element or an item."""
        if size == 8:
            head = self._read(8)
            is_element = head[4:6].isalpha() and head[4:6].isupper()
            self._budget.spend(_ELEMENT_BYTES if is_element else _ITEM_BYTES)
            return head
        if size < 0:
            raise _IsDeflated
        if size > _STEP_BYTES:  # it may be more than there is
            here = self.tell()
            size = min(size, max(0, self.seek(0, 2) - here))
            self.seek(here)
        self._budget.spend(size)
        return self._read(size)


Stop = Callable[[int, str | None, int, int], bool]
"""Told tag, value representation, length and place of each value; says whether to stop there."""


def parse(
    source: BinaryIO, stop: Stop, tags: Sequence[int] | None = None
) -> tuple[FileDataset, BinaryIO]:
    """Parse a header.

    Parameters
    ----------
    source : binary file
        DICOM file at its start.
    stop : callable
        Says at which element to stop.
    tags : sequence of int, optional
        Elements to keep; else all are.

    Returns
    -------
    ds : pydicom.dataset.FileDataset
        Its sequences have been parsed when they are large.
    stream : binary file
        Stands at the element where it stopped: `source`, or what was inflated of it.

    Raises
    ------
    TooMuch
        It would take too much memory, or it is deflated and cannot be inflated.
    Exception
        pydicom meets broken bytes with errors of every kind.
    """
    budget = _Budget()
    try:
        return _parse(source, stop, tags, budget)
    except Exception:
        if budget.left_bytes < 0:  # pydicom makes other errors of some
            raise budget.exceeded from None
        raise


def _parse(
    source: BinaryIO, stop: Stop, tags: Sequence[int] | None, budget: _Budget
) -> tuple[FileDataset, BinaryIO]:
    from pydicom.dataset import FileDataset
    from pydicom.filereader import read_dataset, read_partial

    wanted: Any = None if tags is None else list(tags)
    stream = source

    def stop_when(tag: Any, vr: str | None, length: int) -> bool:
        return stop(int(tag), vr, length, stream.tell())

    try:
        counted: Any = _Counted(source, budget)
        ds = read_partial(counted, stop_when, force=True, specific_tags=wanted)
    except _IsDeflated:
        start = source.tell()
        stream = _inflated(source)
        source.seek(0)
        counted = _Counted(io.BytesIO(source.read(start)), budget)
        before = read_partial(counted, force=True)
        counted = _Counted(stream, budget)
        body = read_dataset(
            counted, False, True, stop_when=cast(Any, stop_when), specific_tags=wanted
        )
        ds = FileDataset(counted, body, before.preamble, before.file_meta, False, True)
        ds.set_original_encoding(False, True, body.original_character_set)
    if not budget.is_easy:
        _weigh(ds, budget)
    return ds, stream


def _inflated(source: BinaryIO) -> BinaryIO:
    """What the rest of a stream inflates to, from its start."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = io.BytesIO()
    while not engine.eof:
        chunk = source.read(_STEP_BYTES)
        if not chunk:
            raise TooMuch("its deflated data end early")
        try:
            plain.write(engine.decompress(chunk, MAX_INFLATED_BYTES + 1 - plain.tell()))
        except zlib.error:
            raise TooMuch("its deflated data are damaged") from None
        if plain.tell() > MAX_INFLATED_BYTES:
            raise TooMuch(f"inflates to more than {MAX_INFLATED_BYTES // 1024**2} MiB")
    plain.seek(0)
    return plain


def _weigh(ds: Dataset, budget: _Budget) -> None:
    """Pay for what pydicom will make of values that are still bytes; parse the sequences."""
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.filereader import read_sequence

    encoding: Any = ds.original_character_set
    for tag, raw in list(ds.items()):
        vr = _vr(int(tag), raw.VR)
        value: Any = raw.value
        if vr == "SQ":
            if isinstance(raw, RawDataElement) and value:
                counted: Any = _Counted(io.BytesIO(value), budget)
                is_implicit, is_little = raw.is_implicit_VR, raw.is_little_endian
                value = read_sequence(counted, is_implicit, is_little, len(value), encoding)
                ds[tag] = DataElement(tag, "SQ", value, already_converted=True)
            for item in value or ():
                _weigh(item, budget)
        elif isinstance(value, bytes) and vr in _NUMBERS:
            budget.spend(len(value) * _PER_NUMBER_BYTE)
        elif isinstance(value, bytes) and vr not in _BYTES:
            budget.spend(value.count(b"\\") * _VALUE_BYTES)


def _vr(tag: int, said: str | None) -> str:
    """Value representation that an element is read with."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    if said not in (None, "UN"):
        return str(said)
    return dictionary_VR(tag) if dictionary_has_tag(tag) else "UN"
