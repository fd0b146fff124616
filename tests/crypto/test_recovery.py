"""The recovery key: shares, drill, restore."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import delete, update

from medgrid.crypto.compartments import Compartments
from medgrid.crypto.crypt4gh import new_data_key, open_header, seal_header
from medgrid.crypto.hpke import public_of
from medgrid.crypto.keystore import KeyStore
from medgrid.crypto.keystore_schema import wrap
from medgrid.crypto.keystore_values import HeaderRow
from medgrid.crypto.recovery import combine, drill, make_recovery, restore
from medgrid.crypto.seals import Seals
from medgrid.errors import Denied, IntegrityError, UsageError
from medgrid.model import DataClass, ObjectId
from tests.crypto.people import People, Person

IMAGE, NAMES = DataClass.IMAGE, DataClass.NOMINATIVE
RESULT = ObjectId("6" * 32)


def test_any_three_of_five_shares_make_the_key() -> None:
    public, shares = make_recovery(3, 5)
    assert len(set(shares)) == 5
    keys = {combine(some, public) for some in itertools.combinations(shares, 3)}
    assert [public_of(key) for key in keys] == [public]
    assert combine(shares, public) in keys
    assert combine([one.upper().replace(" ", "\n ") for one in shares[2:]], public) in keys


def test_one_share_of_one_is_the_key() -> None:
    public, shares = make_recovery(1, 1)
    assert public_of(combine(shares, public)) == public


def test_too_few_shares_make_nothing() -> None:
    public, shares = make_recovery(3, 5)
    for some in (shares[:2], [shares[0]] * 3):
        with pytest.raises(Denied) as caught:
            combine(some, public)
        assert caught.value.message == (
            f"{len(set(some))} shares of the recovery key, 3 are needed"
        )
    with pytest.raises(Denied) as caught:
        combine([], public)
    assert caught.value.message == "there are no shares of the recovery key"


def test_misspelt_shares_are_named_and_not_repeated() -> None:
    public, shares = make_recovery(2, 3)
    words = shares[1].split()
    at = next(n for n in range(7, len(words)) if words[n] != words[n + 1])  # may be drawn twice
    swapped = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
    for wrong in (
        "",
        "academic",
        " ".join(words[:-1]),
        " ".join([*words[:-1], "xylophone"]),
        " ".join(swapped),
    ):
        with pytest.raises(UsageError) as caught:
            combine([shares[0], wrong], public)
        assert caught.value.message == (
            "share 2 is misspelt: a word is wrong, missing or in the wrong place"
        )


def test_shares_of_other_keys_are_refused() -> None:
    public, shares = make_recovery(2, 3)
    _, others = make_recovery(2, 3)
    with pytest.raises(UsageError) as caught:
        combine([shares[0], others[0]], public)
    assert caught.value.message == "these shares are not all of one recovery key"
    with pytest.raises(IntegrityError) as caught_other:
        combine(others, public)
    assert caught_other.value.message == (
        "these shares make another key than the recovery key of this grid"
    )


@pytest.mark.parametrize(
    ("threshold", "count", "message"),
    [
        (0, 3, "0 of 3 shares: not possible"),
        (4, 3, "4 of 3 shares: not possible"),
        (2, 17, "2 of 17 shares: not possible"),
        (1, 3, "1 of 3 shares: each of them would be the key"),
    ],
)
def test_some_ways_to_split_make_no_sense(threshold: int, count: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_recovery(threshold, count)
    assert caught.value.message == message


class Grid:
    """A grid with a recovery key, two patients in alice's care, and a result that is bob's."""

    def __init__(self, store: KeyStore, people: People) -> None:
        self.store = store
        self.people = people
        self.public, self.shares = make_recovery(2, 3)
        alice = people["alice"]
        self.compartments = Compartments(store, alice, people.trust, self.public)
        for data_class in (IMAGE, NAMES):
            self.compartments.ensure(["P-1", "P-2"], data_class)
        Seals(store, alice, self.compartments, people.trust).put({"P-1": {"PatientName": "DOE"}})
        self.data_key = new_data_key()
        bob = people["bob"]
        readers = [("bob", bob.encryption_public), ("recovery", self.public)]
        store.acting("bob").put_headers(
            [
                HeaderRow(RESULT, None, IMAGE, None, name, seal_header(self.data_key, [key]), b"m")
                for name, key in readers
            ]
        )


@pytest.fixture
def grid(store: KeyStore, people: People) -> Grid:
    return Grid(store, people)


def dump(store: KeyStore) -> dict[str, list[tuple[object, ...]]]:
    with store.db.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(table.select())]
            for table in (wrap,)
        }


def test_a_drill_opens_everything_and_changes_nothing(grid: Grid) -> None:
    before = dump(grid.store)
    done = drill(grid.store, grid.shares[:2], grid.public)
    assert (done.compartments, done.headers, done.problems) == (4, 1, ())
    assert dump(grid.store) == before
    records = grid.store.audit.records(what="recovery")
    assert [one.detail for one in records if one.verb == "recovery"] == ["drill"]
    with pytest.raises(Denied):
        drill(grid.store, grid.shares[:1], grid.public)


def test_a_drill_names_what_would_be_lost(grid: Grid, people: People) -> None:
    careless = Compartments(grid.store, people["alice"], people.trust)
    careless.create("P-3", IMAGE)
    done = drill(grid.store, grid.shares, grid.public)
    assert done.problems == (
        "patient P-3: the image key (revision 1) is not wrapped to the recovery key",
    )


def test_a_drill_finds_a_wrap_that_was_exchanged(one_store: KeyStore, people: People) -> None:
    grid = Grid(one_store, people)
    with grid.store.db.write() as connection:
        connection.execute(
            delete(wrap).where(wrap.c.recipient == "recovery", wrap.c.patient == "P-2")
        )
        connection.execute(
            update(wrap)
            .where(wrap.c.recipient == "recovery", wrap.c.patient == "P-1")
            .values(patient="P-2")
        )
    with pytest.raises(IntegrityError) as caught:
        drill(grid.store, grid.shares, grid.public)
    assert caught.value.message == (
        "the key of recovery for image data of patient P-2 (revision 1) is damaged or is another's"
    )


def test_a_lost_identity_comes_back_with_new_keys(grid: Grid, people: People) -> None:
    old = people["alice"]
    new = people.draw("alice", "physician")
    done = restore(
        grid.store, grid.shares[1:], grid.public, "alice", new.encryption_public, lost="alice"
    )
    assert (done.compartments, done.headers, done.problems) == (4, 0, ())
    mine = Compartments(grid.store, new, people.trust)
    assert (
        public_of(mine.private("P-1", IMAGE, 1))
        == grid.compartments.public("P-1", IMAGE).public_key
    )
    with pytest.raises(IntegrityError):
        Compartments(grid.store, old, people.trust).private("P-1", IMAGE, 1)


def test_somebody_new_takes_over(grid: Grid, people: People) -> None:
    carol = people["carol"]
    done = restore(grid.store, grid.shares, grid.public, "carol", carol.encryption_public)
    assert (done.compartments, done.headers) == (4, 1)
    own = grid.store.acting("carol")
    theirs = Compartments(own, carol, people.trust)
    assert Seals(own, carol, theirs, people.trust).open(["P-1"], "whois") == {
        "P-1": {"PatientName": "DOE"}
    }
    header = own.release([RESULT], "fetch")[RESULT].header
    assert open_header(header, carol.encryption_private) == grid.data_key
    assert "restore all for carol" in [one.detail for one in own.audit.records()]


def test_an_owner_gets_their_results_back(grid: Grid, people: People) -> None:
    bob = people.draw("bob", "researcher")
    own = grid.store.acting("bob")
    with pytest.raises(Denied):
        open_header(own.release([RESULT], "fetch")[RESULT].header, bob.encryption_private)
    done = restore(grid.store, grid.shares, grid.public, "bob", bob.encryption_public, lost="bob")
    assert (done.compartments, done.headers) == (0, 1)
    header = own.release([RESULT], "fetch")[RESULT].header
    assert open_header(header, bob.encryption_private) == grid.data_key


def test_a_failed_restore_changes_nothing(grid: Grid, alice: Person) -> None:
    before = dump(grid.store)
    for shares in (grid.shares[:1], make_recovery(2, 2)[1]):
        with pytest.raises((Denied, IntegrityError)):
            restore(grid.store, shares, grid.public, "bob", alice.encryption_public)
    assert dump(grid.store) == before
