"""The words that descriptions of this grid may have, and who adds to them."""

from __future__ import annotations

from collections.abc import Iterable

from medgrid.actions.grid import Grid
from medgrid.crypto.audit_record import Event
from medgrid.crypto.releases import RELEASERS, Release
from medgrid.errors import UsageError
from medgrid.images.words import RELEASABLE, Vocabulary

__all__ = ["release_words", "vocabulary"]


def vocabulary(grid: Grid) -> Vocabulary:
    """Words that ship with medgrid, and those that this grid has released.

    Raises
    ------
    IntegrityError
        The catalog has a release that nobody signed who may.
    """
    documents = grid.whole.words.releases()
    if not documents:
        return Vocabulary()
    found = (Release.verified(one, grid.vault.trust.roster) for one in documents)
    return Vocabulary(word for one in found if one is not None for word in one.words)


def release_words(grid: Grid, words: Iterable[str]) -> Release:
    """Let descriptions have further words, in what is imported or renewed from now on.

    Raises
    ------
    Denied
        The user is neither physician nor registrar.
    UsageError
        Something is no single word of letters.
    """
    wanted = list(words)
    for word in wanted:
        if not RELEASABLE.fullmatch(word):
            raise UsageError(
                f"{word!r} is not a word of 2 to 32 letters", hint="release one word at a time"
            )
    vault = grid.vault
    vault.trust.roster.find(vault.name, *RELEASERS)
    made = Release.make(wanted, vault.name, vault.identity.sign)
    # said before it is done, so that nothing is released in silence
    vault.store.audit.append(Event("release-words", made.digest[:32], "", " ".join(made.words)))
    grid.catalog.words.release(made.digest, made.signer, made.document)
    return made
