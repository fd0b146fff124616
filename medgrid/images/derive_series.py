"""The de-identified twin of a whole series, packed like the series itself."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from medgrid.images.derive import derive
from medgrid.images.pack import Member, open_unchanged, tar_of
from medgrid.images.patient import PatientKeys

__all__ = ["SeriesDerivative"]

_BUFFER_BYTES = 256 * 1024


def _raw(member: Member) -> Any:
    return open_unchanged(member.path, member.stamp)


class SeriesDerivative:
    """De-identifies the instances of a series while they are read, one at a time.

    Parameters
    ----------
    members : sequence of Member
        Its instances, in order; the derivative has all of them or does not exist.
    keys : PatientKeys
        What stands for the patient.
    words : iterable of str
        Further names and ids to cut out of text.

    Attributes
    ----------
    review : str
        Why a person must look at its pixels before others may; empty: nobody need. It is known
        when all bytes were read.
    """

    def __init__(
        self, members: Sequence[Member], keys: PatientKeys, words: Iterable[str] = ()
    ) -> None:
        self._members = members
        self._keys = keys
        self._words = tuple(words)
        self.review = ""

    def chunks(self) -> Iterator[bytes]:
        """Bytes of the tar.

        Raises
        ------
        NoDerivative
            An instance has none.
        Changed
            A file is no more what its stamp says.
        """
        return tar_of(self._files())

    def _files(self) -> Iterator[tuple[int, Iterator[bytes]]]:
        for member in self._members:
            with io.BufferedReader(_raw(member), _BUFFER_BYTES) as stream:
                found = derive(stream, self._keys, self._words)
                self.review = self.review or found.review
                yield found.size_bytes, found.chunks()

    def check(self) -> None:
        """Read all headers beforehand, so that a series without derivative is known at once.

        Raises
        ------
        NoDerivative, Changed
        """
        for _ in self._files():
            pass
