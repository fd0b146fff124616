"""What is known of patients and visits: given, asked, kept, and seen by whom it may."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url, select

from medgrid.catalog import Catalog
from medgrid.catalog.patient_attributes import Given, Unfit
from medgrid.catalog.query import QuestionError, parse
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.catalog.schema import patient_attribute
from tests.catalog.worlds import make_world

GIVEN = [
    Given("P-1", "", "arm", "treated"),
    Given("P-2", "", "arm", "placebo"),
    Given("P-1", "", "edss", 5.0),
    Given("P-1", "2020-06-01", "edss", 2.0),
    Given("P-2", "2021-01-01", "edss", 3.5),
]


@pytest.fixture
def world(catalog: Catalog) -> Catalog:
    """The small grid with people in it, and what is known of its two patients."""
    make_world(catalog)
    catalog.patient_attributes.give(GIVEN, "ada", source="t", units={"edss": "points"})
    return catalog


def asked(catalog: Catalog, question: str) -> list[str]:
    return [lfn.name for lfn in catalog.objects.lfns(parse(f"({question}) and owner!=bob"))]


def known(catalog: Catalog, *patients: str) -> list[tuple[str, str, object]]:
    said = catalog.patient_attributes.of(patients)
    return [(one.given.visit, one.given.name, one.given.value) for one in said]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("arm=treated", "one-gated one-image one-later one-old"),
        ("arm!=treated", "two-image"),
        ("not arm=treated", "code two-image"),
        ("edss>3", "one-image one-old two-image"),  # what is said of the visit goes first there
        ("edss<3", "one-gated one-later"),
        ("edss>=2 and PatientID=P-1 and StudyDate=2020-06-01", "one-gated one-later"),
        ("edss is unknown", "code"),
        ("arm~'TREAT*' and edss between 3 and 6", "one-image one-old"),
        ("class=nominative and arm=treated", "one-orig"),
    ],
)
def test_images_are_asked_by_it(world: Catalog, question: str, words: str) -> None:
    assert asked(world, question) == words.split()


def test_it_is_shown_and_sorted_by(world: Catalog) -> None:
    rows = world.objects.select(parse("edss is known"), ["lfn", "edss", "arm"], ["-edss"], 3)
    assert list(rows) == [
        ("/g/one-image", 5, "treated"),
        ("/g/one-old", 5, "treated"),
        ("/g/two-image", 3.5, "placebo"),
    ]


def test_another_value_is_history(world: Catalog) -> None:
    store = world.patient_attributes
    new = Given("P-1", "", "edss", 6.0)
    assert store.give([new], "dave") == ([], [new])
    assert store.give([new], "dave") == ([], [])
    gone = Given("P-1", "", "edss", None)
    assert store.give([gone, Given("P-2", "", "edss", None)], "ada") == ([], [gone])
    assert store.give([new], "ada") == ([new], [])
    said = [
        one for one in store.history(["P-1"]) if (one.given.visit, one.given.name) == ("", "edss")
    ]
    assert [(one.given.value, one.given_by, one.is_current) for one in said] == [
        (5, "ada", False),
        (6, "dave", False),
        (None, "ada", False),
        (6, "ada", True),
    ]
    assert asked(world, "edss=6") == ["one-image", "one-old"]


def test_a_table_says_only_what_it_has_not_said(world: Catalog) -> None:
    store = world.patient_attributes
    right = Given("P-1", "", "edss", 6.0)
    store.give([right], "ada")
    assert store.give(GIVEN, "ada", source="t") == ([], [])
    changed = Given("P-1", "", "edss", 7.0)
    assert store.give([changed], "ada", source="t") == ([], [changed])


def test_numbers_among_words_keep_their_digits(world: Catalog) -> None:
    world.patient_attributes.give(
        [Given("P-1", "", "arm", 1234567), Given("P-2", "", "arm", 12.345678)], "ada"
    )
    assert [value for _, name, value in known(world, "P-1", "P-2") if name == "arm"] == [
        "1234567",
        "12.345678",
    ]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            Given("P-1", "", "edss", "high"),
            "attribute 'edss' is a number in this grid, found 'high'",
        ),
        (Given("P-1", "", "Modality", "x"), "attribute 'Modality' is one of images"),
        (Given("P-1", "", "run", 1.0), "attribute 'run' is one of images"),
        (
            Given("P-1", "", "owner", "x"),
            "'owner' is a word of the question language, no attribute name",
        ),
        (Given("P-1", "", "a b", "x"), "'a b' is not an attribute name"),
        (Given("P-1", "", "arm", "x" * 65), "a value of 'arm' has 1 to 64 characters"),
    ],
)
def test_what_may_not_be_given_changes_nothing(world: Catalog, new: Given, message: str) -> None:
    before = known(world, "P-1", "P-2")
    with pytest.raises(Unfit) as caught:
        world.patient_attributes.give([Given("P-1", "", "arm", "other"), new], "ada")
    assert (caught.value.message, caught.value.name) == (message, new.name)
    assert known(world, "P-1", "P-2") == before


def test_a_unit_is_that_of_the_whole_grid(world: Catalog) -> None:
    with pytest.raises(Unfit, match="attribute 'edss' is in points in this grid, not in cm"):
        world.patient_attributes.give([Given("P-2", "", "edss", 1.0)], "ada", units={"edss": "cm"})


def test_images_get_no_attribute_of_patients(world: Catalog) -> None:
    (item,) = (one for one in world.objects.of_patient("P-1") if one.lfn == "/g/one-image")
    with pytest.raises(Exception, match="attribute 'arm' is one of patients and visits"):
        world.objects.set_attributes(item.id, {"arm": "x"})


@pytest.mark.parametrize("name", ["TwinMissing", "GeometryComplete"])
def test_what_imports_say_of_images_is_theirs(world: Catalog, name: str) -> None:
    with pytest.raises(Unfit, match=f"attribute '{name}' is one of images"):
        world.patient_attributes.give([Given("P-1", "", name, "x")], "ada")
    (item,) = (one for one in world.objects.of_patient("P-1") if one.lfn == "/g/one-image")
    for value in (3.0, "removed"):
        world.objects.set_attributes(item.id, {name: value})
        assert world.objects.by_ids([item.id])[item.id].attributes[name] == str(value)


def test_two_at_once_lose_nothing(world: Catalog, catalog_url: str) -> None:
    """Whoever comes second has the value, and the first is before it in the history."""

    def say(who: str) -> None:
        mine = Catalog.open(catalog_url)
        for number in range(5):
            mine.patient_attributes.give([Given("P-1", "", "edss", number + 100 * len(who))], who)
        mine.close()

    people = [threading.Thread(target=say, args=(who,)) for who in ("ada", "dave")]
    for one in people:
        one.start()
    for one in people:
        one.join()
    said = [one for one in world.patient_attributes.history(["P-1"]) if one.given.visit == ""]
    scores = [one for one in said if one.given.name == "edss"]
    assert [one.revision for one in scores] == list(range(1, 12))
    assert [one.is_current for one in scores] == [False] * 10 + [True]
    for who in ("ada", "dave"):
        theirs = [one.given.value for one in scores[1:] if one.given_by == who]
        assert theirs == [number + 100 * len(who) for number in range(5)]


# -- who sees it -----------------------------------------------------------------------------------


@pytest.fixture
def views(world: Catalog, catalog_url: str) -> Iterator[dict[str, Catalog]]:
    """The catalog as people see it; on a server, which guards the rows, by their own roles."""
    names, address = ("ada", "bob", "paul", "eve", "desk"), catalog_url
    if catalog_url.startswith("postgresql"):
        apply(
            catalog_url,
            [DatabaseUser(one, frozenset({"registrar"} if one == "desk" else ())) for one in names],
        )
        user = make_url(catalog_url).username
        address = catalog_url.replace(f"{user}@", "{name}@")
    found = {one: Catalog.open(address.replace("{name}", one), one) for one in names}
    yield found
    for one in found.values():
        one.close()


def test_who_sees_an_object_sees_what_is_known_of_its_patient_and_visit(
    views: dict[str, Catalog],
) -> None:
    all_of_one = [("", "arm", "treated"), ("", "edss", 5), ("2020-06-01", "edss", 2)]
    assert known(views["ada"], "P-1", "P-2") == all_of_one
    assert known(views["bob"], "P-1", "P-2") == all_of_one[:2]  # an image of another visit
    assert known(views["paul"], "P-1", "P-2") == [
        ("", "arm", "placebo"),
        ("2021-01-01", "edss", 3.5),
    ]
    assert known(views["eve"], "P-1", "P-2") == []
    assert list(views["bob"].patient_attributes.names()) == ["arm", "edss"]
    assert list(views["eve"].patient_attributes.names()) == []
    assert asked(views["bob"], "arm=treated and edss>3") == ["one-image"]
    with pytest.raises(QuestionError, match="unknown attribute 'arm'"):
        asked(views["eve"], "arm=treated")


def test_a_server_lets_those_say_something_who_may(views: dict[str, Catalog]) -> None:
    if not views["ada"].db.is_sqlite:
        said = Given("P-1", "", "edss", 9.0)
        for who, is_done in (("bob", False), ("paul", False), ("eve", False), ("desk", True)):
            done = views[who].patient_attributes.give([said], who)
            assert done == ([], [said] if is_done else []), who
        assert known(views["desk"], "P-1") == []  # who brings data in reads none of it
        mine = Given("P-1", "", "edss", 1.0)
        assert views["ada"].patient_attributes.give([mine], "mallory") == ([], [mine])
        (*_, last) = (
            one
            for one in views["ada"].patient_attributes.history(["P-1"])
            if (one.given.visit, one.given.name) == ("", "edss")
        )
        assert (last.given.value, last.given_by) == (1, "ada")


def test_who_goes_takes_it_along(world: Catalog) -> None:
    world.objects.withdraw([one.id for one in world.objects.of_patient("P-1")], "P-1")
    with world.db.read() as connection:
        assert set(connection.scalars(select(patient_attribute.c.patient))) == {"P-2"}


# -- codes -----------------------------------------------------------------------------------------


def test_codes_are_asked_by_what_they_mean_when_it_is_released(world: Catalog) -> None:
    store = world.patient_attributes
    assert store.hold_codes("dose")
    coded = [Given("P-1", "", "dose", "K7QA"), Given("P-2", "", "dose", "B2XN")]
    store.give(coded, "ada", place="blind")
    assert asked(world, "dose=K7QA and arm=treated") == asked(world, "arm=treated")
    assert asked(world, "dose=high") == []
    for name, place in (("dose", "patient"), ("arm", "blind")):
        with pytest.raises(Unfit, match="blinded"):
            store.give([Given("P-1", "", name, "x")], "ada", place=place)
    store.release_codes("dose", {"K7QA": "high", "B2XN": "low"}, "bob")
    assert asked(world, "dose=high") == asked(world, "arm=treated")
    assert asked(world, "dose=K7QA") == asked(world, "dose!=B2XN") == asked(world, "arm=treated")
    assert asked(world, "dose~'l*'") == ["two-image"]
    assert ("", "dose", "high") in known(world, "P-1")
    assert store.give([Given("P-1", "", "dose", "high")], "ada", source="t") == ([], [])


def test_who_blinds_a_name_second_waits_and_finds_it_blinded(
    world: Catalog, catalog_url: str
) -> None:
    found: list[bool] = []

    def second() -> None:
        mine = Catalog.open(catalog_url)
        found.append(mine.patient_attributes.hold_codes("dose"))
        mine.close()

    other = threading.Thread(target=second)
    with world.transaction():
        assert world.patient_attributes.hold_codes("dose")
        other.start()
    other.join()
    assert found == [False]


def test_lists_of_codes_are_for_their_readers(views: dict[str, Catalog]) -> None:
    ada, bob, eve = (views[one].patient_attributes for one in ("ada", "bob", "eve"))
    assert ada.hold_codes("dose")
    ada.seal_codes("dose", {"bob": "sealed:1"}, "ada")
    assert not bob.hold_codes("dose")
    bob.seal_codes("dose", {"bob": "sealed:2", "ada": "sealed:3"}, "bob")
    assert (bob.codes_for("dose", "bob"), ada.codes_for("dose", "ada")) == ("sealed:2", "sealed:3")
    assert eve.codes_for("dose", "eve") is None
    bob.seal_codes("dose", {"bob": "sealed:5"}, "bob")
    assert ada.codes_for("dose", "ada") is None, "no older list stays"
    bob.seal_codes("dose", {"bob": "sealed:6", "ada": "sealed:7"}, "bob")
    assert ada.codes_for("dose", "ada") == "sealed:7"
    if not views["eve"].db.is_sqlite:
        assert eve.codes_for("dose", "bob") is None
        with pytest.raises(Exception, match="the server refuses this user"):
            eve.seal_codes("dose", {"eve": "sealed:4"}, "eve")
        with pytest.raises(Exception, match="the server refuses this user"):
            eve.release_codes("dose", {"K7QA": "low"}, "eve")
