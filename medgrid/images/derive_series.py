"""A whole series and its de-identified twin, each packed, in one pass over its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from medgrid.images.deidentify import words_of
from medgrid.images.derive import Derivative, NoDerivative, derive_header
from medgrid.images.dicom import is_document, open_header
from medgrid.images.metadata import SeriesMetadata
from medgrid.images.pack import PACKED_END, Member, member_end, member_head
from medgrid.images.patient import PatientKeys
from medgrid.images.references import References
from medgrid.images.rewrite import undecoded
from medgrid.images.scrub import Scrubber
from medgrid.images.words import SHIPPED, Vocabulary

__all__ = ["Lack", "SeriesPass"]

_SOP_CLASS = 0x00080016


class Lack(NamedTuple):
    """Why a series has no twin, and whether it has images, which research then lacks."""

    reason: str
    has_images: bool


class SeriesPass:
    """Reads the instances of a series, one at a time, and de-identifies them meanwhile.

    Parameters
    ----------
    members : sequence of Member
        Its instances, in order; the twin has all of them or does not exist.
    keys : PatientKeys
        What stands for the patient.
    words : iterable of str
        Further names and ids to cut out of text.
    vocabulary : Vocabulary
        Words that descriptions may have.

    Attributes
    ----------
    review : str
        Why a person must look at its pixels before others may; empty: nobody need. It is known
        when all bytes were read.
    metadata : SeriesMetadata
        What its headers say; they are read once, whether for this or for the twin. It is whole when
        all bytes were read, or `look` did.
    references : References
        What they refer to.
    is_complete : bool
        Whether each instance of the twin is, so far (`Derivative.is_complete`).
    """

    def __init__(
        self,
        members: Sequence[Member],
        keys: PatientKeys,
        words: Iterable[str] = (),
        vocabulary: Vocabulary = SHIPPED,
    ) -> None:
        self._members = members
        self._keys = keys
        self._words = frozenset(words)
        self._cut: frozenset[str] = frozenset()
        self._vocabulary = vocabulary
        self._scrub = Scrubber((), vocabulary)
        self._has_twin = True
        self._problem = ""
        self._has_images = False
        self.review = ""
        self.metadata = SeriesMetadata(vocabulary)
        self.references = References()
        self.is_complete = True

    @property
    def lack(self) -> Lack | None:
        """Why there is no twin, so far; None: there may be one."""
        return Lack(self._problem, self._has_images) if self._problem else None

    def look(self) -> None:
        """Read the headers only.

        Raises
        ------
        Changed
            A file is no more what its stamp says.
        ValueError
            None of them can be read.
        """
        self._has_twin = False
        for member in self._members:
            with member.open() as stream:
                self._header(stream)
        self._check_headers()

    def pieces(self) -> Iterator[tuple[bytes, bytes | NoDerivative]]:
        """Bytes of the tar of the series beside those of the tar of its twin.

        Either may be empty. NoDerivative comes where it turns out that there is no twin.

        Raises
        ------
        Changed
            A file is no more what its stamp says.
        ValueError
            None of its headers can be read.
        """
        for number, member in enumerate(self._members, start=1):
            size_bytes = member.stamp.size_bytes
            member = member.held()
            with member.open() as stream:
                yield member_head(number, size_bytes), b""
                try:
                    twin = self._header(stream)
                except NoDerivative as exc:
                    place = f" (instance {number} of {len(self._members)})"
                    self._problem = f"{exc}{place if len(self._members) > 1 else ''}"
                    yield b"", exc
                    twin = None
                stream.seek(0)
                if twin is None:
                    yield from ((chunk, b"") for chunk in member.chunks_of(stream))
                else:
                    yield b"", member_head(number, twin.size_bytes)
                    yield from twin.beside(member.chunks_of(stream))
                    yield b"", member_end(twin.size_bytes)
            yield member_end(size_bytes), b""
        self._check_headers()
        yield PACKED_END, PACKED_END if self._has_twin else b""

    def _check_headers(self) -> None:
        if not self.metadata:
            raise ValueError("header cannot be read")

    def _header(self, stream: BinaryIO) -> Derivative | None:
        """Read one header: what it says, and the twin when there still may be one."""
        has_twin, self._has_twin = self._has_twin, False
        try:
            ds, pixels = open_header(stream)
            words = words_of(ds)
        except ValueError as exc:
            self._has_images = True
            if has_twin:
                raise NoDerivative(str(exc)) from None
            return None
        self._has_images |= not is_document(undecoded(ds, _SOP_CLASS))
        try:
            if not has_twin:
                return None
            found = derive_header(ds, stream, pixels, self._keys, self._scrubber(words))
        finally:
            # these decode what the twin takes as it stands
            self.metadata.add(ds, words)
            self.references.add(ds)
        self._has_twin = True
        self.review = self.review or found.review
        self.is_complete &= found.is_complete
        return found

    def _scrubber(self, words: frozenset[str]) -> Scrubber:
        """What cuts the words of a header, which mostly are those of the one before."""
        if words | self._words != self._cut:
            self._cut = words | self._words
            self._scrub = Scrubber(self._cut, self._vocabulary)
        return self._scrub
