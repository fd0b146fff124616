"""The recovery key: what opens everything again when identities are lost, split among people.

Every compartment is wrapped to it, and what is sealed to people alone is sealed to it besides. Its
private key is kept nowhere: some of its shares make it again (Shamir's scheme in the form of
SLIP-39: 33 English words a share, the last three of them a checksum).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medgrid.crypto.compartments import make_wrap, open_wraps
from medgrid.crypto.crypt4gh import HeaderOpener, seal_header
from medgrid.crypto.hpke import key_pair, public_of
from medgrid.crypto.keystore_schema import RECOVERY
from medgrid.crypto.keystore_values import CompartmentId, HeaderRow, Released
from medgrid.errors import Denied, IntegrityError, UsageError
from medgrid.model import ObjectId

if TYPE_CHECKING:
    from shamir_mnemonic.share import Share

    from medgrid.crypto.keystore import KeyStore

__all__ = ["SHARES_MAX", "Drill", "combine", "drill", "make_recovery", "restore"]

SHARES_MAX = 16
"""Into how many shares the key can be split."""


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill opened, and what it found that no share would bring back."""

    compartments: int
    headers: int
    problems: tuple[str, ...] = ()


def make_recovery(threshold: int, count: int) -> tuple[bytes, list[str]]:
    """Draw a recovery key and split it.

    Parameters
    ----------
    threshold : int
        How many shares are needed; fewer say nothing about the key.
    count : int
        How many shares there are.

    Returns
    -------
    bytes, 32
        X25519 public key.
    list of str
        The shares, to be given to different people.

    Raises
    ------
    UsageError
        No key can be split so.
    """
    from shamir_mnemonic import generate_mnemonics

    if not 1 <= threshold <= count <= SHARES_MAX:
        raise UsageError(
            f"{threshold} of {count} shares: not possible",
            hint=f"from 1 of 1 to {SHARES_MAX} of {SHARES_MAX}",
        )
    if threshold == 1 and count > 1:
        raise UsageError(
            f"1 of {count} shares: each of them would be the key",
            hint="let at least 2 be needed, or make 1 share",
        )
    private, public = key_pair()
    # the words hold a random key: stretching a passphrase that is empty adds nothing
    shares = generate_mnemonics(1, [(threshold, count)], private, iteration_exponent=0)
    return public, shares[0]


def combine(shares: Iterable[str], public: bytes) -> bytes:
    """Make the recovery key again.

    Parameters
    ----------
    shares : iterable of str
        Words, in any case and with any spaces between them.
    public : bytes, 32
        The public key as this home has it.

    Returns
    -------
    bytes, 32
        X25519 private key.

    Raises
    ------
    Denied
        There are too few of them.
    IntegrityError
        They are those of another key.
    UsageError
        One is misspelt, or they are not of one set.
    """
    from shamir_mnemonic.shamir import ShareGroup, recover_ems
    from shamir_mnemonic.utils import MnemonicError

    found = list(dict.fromkeys(_read(number, text) for number, text in enumerate(shares, 1)))
    if not found:
        raise Denied("there are no shares of the recovery key")
    if len({(one.common_parameters(), one.group_parameters()) for one in found}) > 1:
        raise UsageError("these shares are not all of one recovery key")
    needed = found[0].member_threshold
    if len(found) < needed:
        raise Denied(
            f"{len(found)} shares of the recovery key, {needed} are needed",
            hint="ask the others who keep shares",
        )
    group = ShareGroup()
    for one in found[:needed]:
        group.add(one)
    try:
        private: bytes = recover_ems({0: group}).decrypt(b"")
        good = len(private) == len(public) and public_of(private) == public
    except MnemonicError:
        good = False
    if not good:
        raise IntegrityError(
            "these shares make another key than the recovery key of this grid",
            hint="they may be those of an earlier key, or of another grid",
        )
    return private


def _read(number: int, text: str) -> Share:
    from shamir_mnemonic.share import Share
    from shamir_mnemonic.utils import MnemonicError

    try:
        return Share.from_mnemonic(" ".join(text.lower().split()))
    except (MnemonicError, ValueError):
        # what is wrong with it would repeat words of a secret
        raise UsageError(
            f"share {number} is misspelt: a word is wrong, missing or in the wrong place",
            hint="each share is 33 words",
        ) from None


def drill(store: KeyStore, shares: Iterable[str], public: bytes) -> Drill:
    """Prove that the shares open everything, and keep nothing of it.

    Raises
    ------
    Denied, IntegrityError, UsageError
        As `combine`; IntegrityError also when a wrap does not open.
    """
    private = combine(shares, public)
    wraps, headers = store.recovery("drill")
    compartments = store.all_compartments()
    opened = open_wraps(private, RECOVERY, {row.id: row.sealed for row in wraps}, compartments)
    problems = [_not_wrapped(id_) for id_ in compartments if id_ not in opened]
    opener = HeaderOpener(private)
    for one in headers:
        try:
            opener.open(one.header)
        except (Denied, IntegrityError):
            problems.append(f"object {one.object_id}: its recovery header does not open")
    return Drill(len(opened), len(headers), tuple(problems))


def restore(
    store: KeyStore,
    shares: Iterable[str],
    public: bytes,
    name: str,
    encryption_public: bytes,
    lost: str | None = None,
) -> Drill:
    """Let an identity open what the recovery key opens.

    Parameters
    ----------
    store : KeyStore
        As its owner sees it.
    shares, public
        See `combine`.
    name : str
        Who shall open it: somebody new, or who lost their keys and has new ones.
    encryption_public : bytes, 32
        Their X25519 public key, from a verified certificate.
    lost : str, optional
        Give only what this identity could open; all by default.

    Raises
    ------
    Denied, IntegrityError, UsageError
        As `drill`.
    """
    private = combine(shares, public)
    wraps, headers = store.recovery(f"restore {lost or 'all'} for {name}")
    wanted = None if lost is None else set(store.compartments_of(lost))
    rows = [row for row in wraps if wanted is None or row.id in wanted]
    opened = open_wraps(
        private,
        RECOVERY,
        {row.id: row.sealed for row in rows},
        store.compartments(row.id for row in rows),
    )
    mine = None if lost is None else set(store.owned(lost))
    resealed = _reseal(private, headers, name, encryption_public, mine)
    missing = [] if wanted is None else sorted(wanted - set(opened))
    with store.transaction():
        store.put_wraps(
            [make_wrap(id_, name, encryption_public, key) for id_, key in opened.items()]
        )
        store.reseal(resealed)
    return Drill(len(opened), len(resealed), tuple(map(_not_wrapped, missing)))


def _reseal(
    private: bytes,
    headers: Sequence[Released],
    name: str,
    encryption_public: bytes,
    mine: set[ObjectId] | None,
) -> list[HeaderRow]:
    opener = HeaderOpener(private)
    return [
        HeaderRow(
            one.object_id,
            one.patient,
            one.data_class,
            None,
            name,
            seal_header(opener.open(one.header), [encryption_public]),
            one.manifest,
        )
        for one in headers
        if mine is None or one.object_id in mine
    ]


def _not_wrapped(id_: CompartmentId) -> str:
    return (
        f"patient {id_.patient}: the {id_.data_class} key (revision {id_.revision}) is not wrapped "
        "to the recovery key"
    )
