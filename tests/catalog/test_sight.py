"""A catalog that is open for one identity: what they may not see does not exist."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from medgrid.catalog import Catalog
from medgrid.catalog.explain import Clause
from medgrid.catalog.jobs import NewSubmission
from medgrid.catalog.objects import Naming, Registration
from medgrid.catalog.provenance import Derivation
from medgrid.catalog.query import QuestionError, parse
from medgrid.catalog.scanned import ScannedFile, SeriesName
from medgrid.errors import AlreadyExists, Denied, NotFound
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    JobId,
    ObjectId,
    ObjectKind,
    Replica,
    Sha256,
)
from tests.catalog.worlds import World, make_world, object_id
from tests.lab.waiting import put_clock_on

ALL = "/ and class in (nominative, image, public)"
SEEN = {
    "ada": "code one-gated one-image one-later one-old one-orig",
    "jane": "code one-gated one-image one-later one-old one-orig",
    "paul": "code two-image two-orig",
    "bob": "code one-image table",
    "eve": "code",
    None: "code one-gated one-image one-later one-old one-orig table two-image two-orig",
}

View = Callable[[str | None], Catalog]


@pytest.fixture
def world(catalog: Catalog) -> World:
    return make_world(catalog)


@pytest.fixture
def view(catalog_url: str, world: World) -> Iterator[View]:
    """Opens the catalog for somebody."""
    opened: list[Catalog] = []

    def open_for(viewer: str | None) -> Catalog:
        opened.append(Catalog.open(catalog_url, viewer))
        return opened[-1]

    yield open_for
    for one in opened:
        one.close()


def words(catalog: Catalog, question: str) -> str:
    """Last words of the LFNs that answer."""
    return " ".join(lfn.name for lfn in catalog.objects.lfns(parse(question)))


@contextmanager
def like_nothing(view: Catalog, lfn: LFN) -> Iterator[None]:
    """Expect what is said of an LFN that does not exist, in the same words."""
    with pytest.raises(NotFound) as missing:
        view.objects.get(LFN("/g/no-such"))
    with pytest.raises(NotFound) as caught:
        yield
    assert caught.value.message.replace(lfn, "/g/no-such") == missing.value.message
    assert caught.value.hint == missing.value.hint


@pytest.mark.parametrize("viewer", SEEN)
def test_each_sees_what_policy_says(view: View, world: World, viewer: str | None) -> None:
    catalog = view(viewer)
    seen = SEEN[viewer].split()
    assert words(catalog, ALL) == SEEN[viewer]
    assert catalog.objects.count(parse(ALL)) == len(seen)
    lfns = [world.lfn(word) for word in world.ids]
    assert sorted(catalog.objects.get_many(lfns)) == [world.lfn(word) for word in seen]
    assert {item.id for item in catalog.objects.by_ids(world.ids.values()).values()} == {
        world.ids[word] for word in seen
    }
    assert sorted(catalog.objects.locate(lfns)) == [world.lfn(word) for word in seen]
    found = catalog.objects.replicas(world.ids.values())
    assert {key for key, copies in found.items() if copies} == {world.ids[word] for word in seen}
    assert catalog.objects.list("/g/") == [f"/g/{word}" for word in seen]
    assert [item.object_id for item in catalog.objects.replicas_on("s1")] == [
        world.ids[word] for word in seen
    ]
    for word in world.ids:
        assert catalog.objects.exists(world.lfn(word)) == (word in seen)
        if word not in seen:
            with like_nothing(catalog, world.lfn(word)):
                catalog.objects.get(world.lfn(word))


def test_originals_are_left_out_unless_they_are_meant(view: View, world: World) -> None:
    ada = view("ada")
    assert words(ada, "/") == "code one-gated one-image one-later one-old"
    assert words(ada, "PatientID=P-1") == "one-gated one-image one-later one-old"
    assert words(ada, "class=nominative") == "one-orig"
    assert words(ada, "class!=image and not class=public") == "one-orig"
    assert words(ada, "class is known and Modality=MR and StudyDate=2020-01-01") == (
        "one-image one-orig"
    )
    assert words(ada, "/g/one-orig") == "one-orig"
    assert words(ada, "/g/one-orig and Modality=MR or owner=bob") == "one-orig"
    assert words(ada, "/g/one-o*") == "one-old"
    assert words(ada, "/g") == "code one-gated one-image one-later one-old"
    assert words(ada, "original is known") == "one-image"
    assert words(ada, f"original={world.ids['one-orig']}") == "one-image"
    assert words(ada, "review=needed") == "one-gated"
    assert words(ada, "review is known") == "one-gated"
    assert words(ada, "owner~'A*' and StudyDate>2020-02") == "one-gated one-later one-old"
    assert words(view("bob"), "/g/one-orig or class=nominative") == ""


def test_datasets_keep_originals_that_were_meant(view: View) -> None:
    ada = view("ada")
    ada.datasets.save("both", parse("class in (nominative, image) and StudyDate=2020-01-01"))
    assert words(ada, "dataset:both") == "one-image one-orig"
    assert words(ada, "dataset:both and Modality=MR") == "one-image one-orig"
    assert words(ada, "/g and not dataset:both") == "code one-gated one-later one-old"
    frozen = ada.datasets.save("fixed", parse("/g/one-orig"), freeze=True)
    assert frozen.members == ("/g/one-orig",)
    assert words(ada, "dataset:fixed or review=needed") == "one-gated one-orig"
    usual = ada.datasets.save("usual", parse("StudyDate=2020-01-01"), freeze=True)
    assert usual.members == ("/g/one-image",)
    ada.datasets.save("all", parse("/"))
    assert words(ada, "dataset:all and StudyDate=2020-01-01") == "one-image"
    assert words(ada, "class=nominative and not dataset:all") == "one-orig"


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("class=secret", "class is one of nominative, image, public, found 'secret'"),
        ("review=maybe", "review is one of needed, released, found 'maybe'"),
        ("class~n*", "'~' does not go with class"),
    ],
)
def test_words_of_the_new_fields(view: View, question: str, message: str) -> None:
    with pytest.raises(QuestionError) as caught:
        view("ada").objects.count(parse(question))
    assert caught.value.message == message


def test_datasets_are_their_owners(view: View, world: World) -> None:
    ada, bob = view("ada"), view("bob")
    ada.datasets.save("trial", parse("PatientID=P-1"), freeze=True)
    assert bob.datasets.list() == []
    with pytest.raises(NotFound) as missing:
        bob.datasets.get("trial")
    assert (missing.value.message, missing.value.hint) == (
        "no dataset 'trial'",
        "see 'medgrid dataset ls'",
    )
    with pytest.raises(NotFound, match=r"^no dataset 'trial'$"):
        bob.objects.count(parse("dataset:trial"))
    with pytest.raises(NotFound, match=r"^no dataset 'trial'$"):
        bob.datasets.remove("trial")
    bob.datasets.save("trial", parse("/"), freeze=True)  # the name tells of no other
    assert bob.datasets.get("trial").members == ("/g/code", "/g/one-image", "/g/table")
    view(None).access.revoke("bob")
    assert bob.datasets.get("trial").members == ("/g/code", "/g/table")
    assert bob.datasets.changed("trial") == ([], ["/g/one-image"])
    assert words(bob, "dataset:trial") == "code table"
    assert len(ada.datasets.get("trial").members or ()) == 4


def test_explain_counts_only_what_is_seen(view: View) -> None:
    bob = view("bob")
    question = parse("PatientID=P-2 and Modality=MR")
    assert bob.objects.explain(question) == [
        Clause("PatientID=P-2 and Modality=MR", 0, 0),
        Clause("PatientID=P-2", 1, 0, 0, "there is P-1 (1)"),
        Clause("Modality=MR", 1, 1, 0),
    ]
    assert bob.objects.explain(parse("StudyDate=2021"))[0].note == "there is 2020-01-01 (1)"
    assert view("eve").objects.explain(parse("StudyDate=2021"))[0].note == (
        "no object has StudyDate"
    )
    assert bob.objects.explain(parse("/")) == [Clause("/", 0, 3)]
    assert view("ada").objects.explain(parse("StudyDate=2020-01-01")) == [
        Clause("StudyDate=2020-01-01", 0, 1)
    ]


def test_visits_are_those_that_are_seen(view: View) -> None:
    shown = {
        viewer: list(view(viewer).objects.select(parse("PatientID=P-1"), ["lfn", "visits"]))
        for viewer in ("ada", "jane", "bob", None)
    }
    assert shown["bob"] == [("/g/one-image", 1)]
    assert {visits for _, visits in shown["ada"]} == {3}
    assert shown["ada"] == shown["jane"] == shown[None]
    assert words(view("bob"), "visits>=2") == ""
    assert words(view("bob"), "visits=1") == "one-image"
    assert words(view("bob"), "visits=1 and PatientID=P-1") == "one-image"
    assert words(view("bob"), "visits>=2 and PatientID=P-1") == ""
    for viewer, rows in shown.items():
        question = parse("PatientID=P-1")
        assert list(view(viewer).objects.select(question, ["lfn", "visits"], ["visits"])) == rows
    assert words(view("bob"), "not visits=1") == "code table"
    assert words(view("ada"), "visits>=3 and StudyDate=2020-01-01") == "one-image"
    assert list(view("bob").objects.select(parse("/g/table"), ["visits"])) == [(None,)]


def test_names_of_attributes_are_known_where_they_are_seen(view: View) -> None:
    assert words(view("ada"), "only_one_orig=x and class=nominative") == "one-orig"
    with pytest.raises(QuestionError) as missing:
        view("bob").objects.count(parse("only_nothing=x"))
    with pytest.raises(QuestionError) as caught:
        view("bob").objects.count(parse("only_two_orig=x"))
    assert caught.value.message == "unknown attribute 'only_two_orig'"
    assert missing.value.message == "unknown attribute 'only_nothing'"
    for error in (missing, caught):
        assert "two" not in (error.value.hint or "")
        assert "only_one_image" in (error.value.hint or "")
    assert words(view("bob"), "volume>0") == "code one-image table"


def test_writing_is_for_owners_and_physicians(view: View, world: World) -> None:
    bob, ada, eve = view("bob"), view("ada"), view("eve")
    image, orig = world.lfn("one-image"), world.lfn("one-orig")
    message = f"{image} is not yours to change"
    for change in (
        lambda: bob.objects.rename(image, LFN("/g/mine")),
        lambda: bob.objects.remove(image),
        lambda: bob.objects.set_attributes(world.ids["one-image"], {"note": "x"}),
        lambda: bob.objects.remove_replica(world.ids["one-image"], "s1", "pfn-one-image"),
        lambda: bob.objects.add_replica(
            Replica(world.ids["one-image"], "s1", "p", 10, Sha256("0" * 64))
        ),
    ):
        with pytest.raises(Denied) as caught:
            change()
        assert caught.value.message == message
        assert caught.value.hint == "its owner and the physicians of the patient may"
    with like_nothing(bob, orig):
        bob.objects.rename(orig, LFN("/g/mine"))
    with like_nothing(bob, orig):
        bob.objects.remove(orig)
    with pytest.raises(NotFound, match=rf"^no object {world.ids['one-orig']}$"):
        bob.objects.set_attributes(world.ids["one-orig"], {"note": "x"})
    bob.objects.remove_replica(world.ids["one-orig"], "s1", "pfn-one-orig")  # not known to him
    assert ada.objects.replicas([world.ids["one-orig"]])[world.ids["one-orig"]]
    with pytest.raises(NotFound):
        eve.objects.remove(image)
    ada.objects.rename(image, LFN("/g/renamed"))
    ada.objects.set_attributes(world.ids["one-image"], {"note": "x"})
    bob.objects.rename(world.lfn("table"), LFN("/g/results"))
    assert [copy.pfn for copy in bob.objects.remove(LFN("/g/results"))] == ["pfn-table"]
    assert bob.objects.get(LFN("/g/renamed")).attributes["note"] == "x"


def _new(
    number: int, word: str | None, owner: str = "", patient: str | None = None
) -> Registration:
    key = object_id(number)
    return Registration(
        GridObject(
            id=key,
            lfn=LFN(f"/g/{word}") if word else None,
            kind=ObjectKind.FILE,
            filename="f",
            size_bytes=1,
            sha256=Sha256(key * 2),
            data_class=DataClass.IMAGE,
            owner=owner,
        ),
        patient=patient,
    )


def test_registering_as_somebody(view: View, world: World) -> None:
    bob, paul = view("bob"), view("paul")
    bob.objects.register([_new(50, "new")])
    assert bob.objects.get(LFN("/g/new")).owner == "bob"
    assert not paul.objects.exists(LFN("/g/new"))
    with pytest.raises(Denied, match=r"^bob cannot register what belongs to another$"):
        bob.objects.register([_new(51, "forged", "paul")])
    # names are one space for all: that one is taken shows, and nothing of what has it
    for word in ("two-image", "one-image"):
        for replace in (False, True):
            with pytest.raises(AlreadyExists) as caught:
                bob.objects.register([_new(52, word)], replace=replace)
            assert caught.value.message == f"/g/{word} already exists"
            more = "" if replace else ", or ask for a new version with --replace"
            assert caught.value.hint == f"choose another LFN{more}"
    with pytest.raises(AlreadyExists, match=r"^/g/two-image is an object, nothing can lie below"):
        bob.objects.register([_new(53, "two-image/below")])
    with pytest.raises(AlreadyExists, match=r"^/g/two-image already exists$"):
        bob.objects.rename(LFN("/g/new"), world.lfn("two-image"))
    bob.objects.register([_new(54, None)])
    with pytest.raises(NotFound, match=rf"^no object {object_id(54)}$"):
        paul.objects.name(object_id(54), LFN("/g/stolen"))
    assert paul.objects.discard([object_id(54)]) == []
    bob.objects.name_many([Naming(object_id(54), LFN("/g/named"), {"volume": 2})])
    assert bob.objects.get(LFN("/g/named")).attributes == {"volume": 2}


def test_older_versions(view: View, world: World) -> None:
    ada, bob = view("ada"), view("bob")
    ada.objects.register([_new(60, "one-image", patient="P-1")], replace=True)
    with like_nothing(bob, world.lfn("one-image")):
        bob.objects.get(world.lfn("one-image"))  # the grant was on the older content
    assert bob.objects.get(world.lfn("one-image"), 1).id == world.ids["one-image"]
    assert bob.objects.versions(world.lfn("one-image")) == [(1, world.ids["one-image"])]
    assert view("eve").objects.versions(world.lfn("one-image")) == []


# -- provenance ------------------------------------------------------------------------------------


def _derived(catalog: Catalog, key: str, inputs: list[ObjectId], outputs: list[ObjectId]) -> None:
    catalog.provenance.record(
        Derivation(
            id=key,
            algorithm=Sha256("a" * 64),
            algorithm_label="n4@1",
            inputs={"image": inputs},
            outputs={"out": outputs},
            worker="w1",
        )
    )


@pytest.fixture
def chain(view: View, world: World) -> World:
    """One-image made hidden (of P-2), hidden made table; one-later and two-image made shared."""
    grid = view(None)
    grid.objects.register(
        [_new(70, "hidden", "paul", "P-2"), _new(71, "shared", "bob"), _new(72, "own", "eve")]
    )
    world.ids.update(hidden=object_id(70), shared=object_id(71), own=object_id(72))
    _derived(view("paul"), "d1", [world.ids["one-image"]], [world.ids["hidden"]])
    _derived(view("paul"), "d2", [world.ids["hidden"]], [world.ids["table"]])
    _derived(
        view("paul"), "d3", [world.ids["one-image"], world.ids["two-image"]], [world.ids["shared"]]
    )
    return world


def test_provenance_shows_what_is_seen(view: View, chain: World) -> None:
    bob, paul = view("bob"), view("paul")
    made = bob.provenance.made_by(chain.ids["shared"])
    assert made is not None
    assert made.inputs == {"image": [chain.ids["one-image"]]}
    assert made.outputs == {"out": [chain.ids["shared"]]}
    of_table = bob.provenance.made_by(chain.ids["table"])
    assert of_table is not None
    assert of_table.inputs == {}
    assert bob.provenance.made_by(chain.ids["hidden"]) is None
    assert [one.id for one in bob.provenance.made_from(chain.ids["one-image"])] == ["d3"]
    assert bob.provenance.made_from(chain.ids["hidden"]) == []
    assert view("eve").provenance.made_from(chain.ids["one-image"]) == []
    # who asked for it knows what was given
    own = paul.provenance.made_by(chain.ids["shared"])
    assert own is not None
    assert own.inputs == {"image": [chain.ids["one-image"], chain.ids["two-image"]]}
    assert [one.id for one in view(None).provenance.made_from(chain.ids["one-image"])] == [
        "d1",
        "d3",
    ]


def test_what_one_asked_for_and_made_nothing_one_knows(view: View, world: World) -> None:
    _derived(view("paul"), "d1", [world.ids["one-image"]], [])
    for viewer in ("paul", None):
        made = view(viewer).provenance.made_from(world.ids["one-image"])
        assert [one.id for one in made] == ["d1"]
    assert view("bob").provenance.made_from(world.ids["one-image"]) == []


def test_questions_of_provenance_walk_what_is_seen(view: View, chain: World) -> None:
    bob = view("bob")
    assert words(view(None), "derived_from=/g/one-image") == "hidden shared table"
    assert words(bob, "derived_from=/g/one-image") == "shared"
    assert words(bob, "derived_from=/g/two-image") == words(bob, "derived_from=/g/no-such") == ""
    assert words(bob, "derived_from~'/g/*'") == "shared"
    assert words(bob, "algorithm=n4") == "shared table"
    assert list(bob.objects.select(parse("algorithm=n4"), ["lfn", "derived_from", "worker"])) == [
        ("/g/shared", "/g/one-image", "w1"),
        ("/g/table", None, "w1"),
    ]
    assert list(bob.objects.select(parse("/g/shared"), ["input.image"])) == [("/g/one-image",)]


def test_nobody_walks_through_what_is_gone_to_what_others_made_of_it(
    view: View, world: World
) -> None:
    one = world.ids["one-image"]
    view(None).objects.register([_new(70, "step", "bob")])
    _derived(view("bob"), "d1", [one], [object_id(70)])
    _derived(view("paul"), "d2", [object_id(70)], [world.ids["table"]])
    bob = view("bob")
    assert words(bob, "derived_from=/g/one-image") == "step table"
    assert bob.provenance.made_out_of([one]) == {object_id(70), world.ids["table"]}
    view(None).objects.remove(LFN("/g/step"))
    assert words(bob, "derived_from=/g/one-image") == ""
    assert bob.provenance.made_out_of([one]) == {object_id(70)}, "that one knows oneself"
    assert words(view(None), "derived_from=/g/one-image") == "table"


# -- jobs ------------------------------------------------------------------------------------------


def _submit(catalog: Catalog, owner: str, item: ObjectId) -> JobId:
    _, ids = catalog.jobs.create_submission(
        NewSubmission(
            algorithm=Sha256("a" * 64),
            algorithm_label="n4@1",
            owner=owner,
            items=[[item]],
            item_role="image",
            inputs={},
            parameters={},
        )
    )
    return ids[0]


def test_jobs_are_their_owners(view: View, world: World) -> None:
    ada, bob = view("ada"), view("bob")
    job = _submit(ada, "ada", world.ids["one-image"])
    with pytest.raises(Denied, match=r"^bob cannot submit as ada$"):
        _submit(bob, "ada", world.ids["one-image"])
    word = str(job)
    with pytest.raises(NotFound) as missing:
        bob.jobs.job(JobId(99, 1))
    for ask in (
        lambda: bob.jobs.job(job),
        lambda: bob.jobs.counts([word]),
        lambda: list(bob.jobs.lines([word])),
        lambda: bob.jobs.cancel([word]),
    ):
        with pytest.raises(NotFound) as caught:
            ask()
        assert caught.value.message == missing.value.message.replace("99", str(job.submission))
        assert caught.value.hint == missing.value.hint
    assert bob.jobs.history(job) == []
    assert bob.jobs.attempts(job) == []
    assert bob.jobs.recent("ada") == bob.jobs.recent("bob") == []
    assert bob.jobs.open_inputs() == {}
    assert bob.jobs.clear([job]) == set()
    assert bob.jobs.desk.open_count() == 0
    assert ada.jobs.recent("ada") == [str(job.submission)]
    assert ada.jobs.job(job).owner == "ada"
    assert ada.jobs.open_inputs() == {world.ids["one-image"]: job}
    assert ada.jobs.desk.open_count() == view(None).jobs.desk.open_count() == 1
    assert len(ada.jobs.history(job)) == 1


def test_a_job_is_named_to_its_owner_alone(view: View, world: World) -> None:
    job = _submit(view("bob"), "bob", world.ids["one-image"])
    grid = view(None)
    grid.objects.register([_new(80, "made", "bob", "P-1")])
    grid.provenance.record(
        Derivation(
            "d9", Sha256("a" * 64), "n4@1", {"image": [world.ids["one-image"]]},
            {"out": [object_id(80)]}, job=job,
        )
    )  # fmt: skip
    for viewer, shown in (("bob", job), ("ada", None), (None, job)):
        made = view(viewer).provenance.made_by(object_id(80))
        assert made is not None
        assert made.job == shown
        assert list(view(viewer).objects.select(parse("/g/made"), ["job"])) == [
            (str(shown) if shown else None,)
        ]
        assert words(view(viewer), f"job={job}") == ("made" if shown else "")
    grid.access.revoke("bob")
    mine = view("bob").provenance.made_by(object_id(80))
    assert mine is not None
    assert mine.inputs == {"image": [world.ids["one-image"]]}  # he gave it; what it is is gone
    assert view("bob").objects.by_ids([world.ids["one-image"]]) == {}


# -- import ----------------------------------------------------------------------------------------


def test_a_series_is_found_by_its_original(view: View, world: World) -> None:
    found = view(None).scanned.series(["1.P-1", "1.P-2"])
    assert found[SeriesName("P-1", "1.1", "1.P-1")] == world.ids["one-orig"]
    assert found[SeriesName("P-2", "1.6", "1.P-2")] == world.ids["two-orig"]
    assert SeriesName("P-1", "1.2", "1.P-1") not in found
    assert view("bob").scanned.series(["1.P-1"]) == {}


def test_files_that_were_read_are_the_readers(view: View, world: World) -> None:
    file = ScannedFile("k", 1, 2, 3, world.ids["one-orig"], "imported")
    view("ada").scanned.note([file])
    view("bob").scanned.note([ScannedFile("k", 5, 6, 7, None, "no image")])
    assert view("ada").scanned.known(["k"]) == {"k": file}
    assert view("bob").scanned.known(["k"])["k"].size_bytes == 5
    assert view("eve").scanned.known(["k"]) == {}


# -- grants end ------------------------------------------------------------------------------------


def test_a_grant_ends_by_itself(view: View, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from medgrid.catalog.access import Grant

    grid, bob = view(None), view("bob")
    grid.access.grant(Grant(world.ids["one-image"], "bob", "ada", time.time() + 3600, "trial"))
    assert words(bob, "PatientID=P-1") == "one-image"
    put_clock_on(monkeypatch, 3601)
    assert words(bob, "PatientID=P-1") == ""
