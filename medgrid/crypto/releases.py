"""Releases: words that descriptions of this grid may have, signed by who looked at them.

A release is made by a physician or a registrar, and counts as long as their signature does.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Self

from medgrid.crypto.policy import Role
from medgrid.crypto.roster import Roster
from medgrid.crypto.signed import BadDocument, check_signature, parse, seal
from medgrid.errors import Denied, IntegrityError, NotFound

__all__ = ["RELEASERS", "Release"]

RELEASERS: Final = (Role.PHYSICIAN, Role.REGISTRAR)
"""Roles whose signature releases words."""

_SCHEMA: Final = "medgrid.words/1"
_WORD: Final = re.compile(r"[^\W\d_]{2,32}")


@dataclass(frozen=True, slots=True)
class Release:
    """Words that were released together."""

    words: tuple[str, ...]
    signer: str
    document: str

    @property
    def digest(self) -> str:
        """What the document is known by."""
        return hashlib.sha256(self.document.encode("ascii")).hexdigest()

    @classmethod
    def make(cls, words: Iterable[str], signer: str, sign: Callable[[bytes], bytes]) -> Self:
        """Sign words, each of letters alone."""
        wanted = tuple(sorted(set(words)))
        fields = {"words": list(wanted), "signer": signer, "time_us": time.time_ns() // 1000}
        return cls(wanted, signer, seal(_SCHEMA, fields, sign).decode("ascii"))

    @classmethod
    def verified(cls, document: str, roster: Roster) -> Self | None:
        """Read a release; None when its signer's keys count no more.

        Raises
        ------
        IntegrityError
            Nobody who may release words signed it.
        """
        try:
            fields = parse(_SCHEMA, document.encode("utf-8"))
            signer, words = fields.get("signer"), fields.get("words")
            if not isinstance(signer, str) or not _are_words(words):
                raise BadDocument("its fields are not the expected ones")
        except BadDocument as exc:
            raise _refused(f"{exc}") from None
        try:
            signers = [one for one in roster.signers(signer) if one.roles & set(RELEASERS)]
        except (Denied, NotFound):
            return None
        for certificate in signers:
            try:
                check_signature(_SCHEMA, fields, certificate.signing_public)
            except BadDocument:
                continue
            return cls(tuple(words or ()), signer, document)
        raise _refused(f"{signer} did not sign it as physician or registrar")


def _are_words(words: object) -> bool:
    return isinstance(words, list) and all(
        isinstance(word, str) and _WORD.fullmatch(word) for word in words
    )


def _refused(why: str) -> IntegrityError:
    return IntegrityError(
        f"the catalog has a release of words that is none: {why}",
        hint="somebody changed the table word_release; tell the grid's registrar",
    )
