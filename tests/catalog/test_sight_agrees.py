"""Policy, the catalog's filter and the server's row policies say the same of any world."""

from __future__ import annotations

import time
from typing import NamedTuple

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, text

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant, Member
from medgrid.catalog.objects import Registration
from medgrid.catalog.query import parse
from medgrid.catalog.row_security import DatabaseUser, apply
from medgrid.crypto.policy import Care, Verb, Who, may
from medgrid.model import LFN, DataClass, GridObject, ObjectKind, Review, Sha256
from tests.catalog.worlds import object_id
from tests.lanes import examples

PEOPLE = ["ada", "bob", "eve"]
PATIENTS = ["P-1", "P-2"]
ALL = "/ and class in (nominative, image, public)"
ENDS: list[float | None] = [None, 1.0, 1e12]


class Item(NamedTuple):
    """An object."""

    data_class: DataClass
    owner: str
    patient: str | None
    review: Review
    grants: list[tuple[str, str, float | None]]  # to whom, by whom, until when


items = st.builds(
    Item,
    st.sampled_from(DataClass),
    st.sampled_from([*PEOPLE, "other"]),
    st.sampled_from([*PATIENTS, None]),
    st.sampled_from(Review),
    st.lists(
        st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["ada", "x"]), st.sampled_from(ENDS)),
        max_size=3,
        unique_by=lambda one: one[:2],
    ),
)
members = st.builds(
    Member, st.sampled_from(PATIENTS), st.sampled_from(PEOPLE), st.sampled_from(Care)
)
World = tuple[list[Item], list[Member]]
worlds: st.SearchStrategy[World] = st.tuples(
    st.lists(items, min_size=1, max_size=12), st.lists(members, max_size=4)
)


def _fill(catalog: Catalog, objects: list[Item], team: list[Member]) -> None:
    with catalog.db.write() as connection:
        for table in ("access_grant", "care", "object", "patient"):
            connection.execute(text(f"DELETE FROM {table}"))
    catalog.objects.register(
        [
            Registration(
                GridObject(
                    id=object_id(number),
                    lfn=LFN(f"/w/{number:02}"),
                    kind=ObjectKind.VOLUME,
                    filename="v",
                    size_bytes=1,
                    sha256=Sha256("0" * 64),
                    data_class=item.data_class,
                    owner=item.owner,
                    review=item.review,
                ),
                patient=item.patient,
            )
            for number, item in enumerate(objects)
        ]
    )
    catalog.access.add_care(*team)
    catalog.access.grant(
        *(
            Grant(object_id(number), identity, giver, until)
            for number, item in enumerate(objects)
            for identity, giver, until in item.grants
        )
    )


@settings(max_examples=examples(60))
@given(world=worlds)
def _check(catalog: Catalog, views: dict[str, Catalog], sockets: str, world: World) -> None:
    objects, team = world
    _fill(catalog, objects, team)
    everything = list(catalog.objects.by_ids(map(object_id, range(len(objects)))).values())
    now_s = time.time()
    for name in PEOPLE:
        things = catalog.access.things(everything, name)
        seen, changed = (
            {one.lfn for one in everything if may(Who(name), verb, things[one.id], now_s)}
            for verb in (Verb.SEE, Verb.WRITE)
        )
        assert set(views[name].objects.lfns(parse(ALL))) == seen
        assert set(views[name].objects.get_many(one.lfn for one in everything if one.lfn)) == seen
        if sockets:
            database = make_url(catalog.db.url).database
            with psycopg.connect(host=sockets, user=name, dbname=database) as connection:
                rows = connection.execute("SELECT lfn FROM object")
                assert {lfn for (lfn,) in rows} == seen
                rows = connection.execute("UPDATE object SET filename = lfn RETURNING lfn")
                assert {lfn for (lfn,) in rows} == changed
                connection.rollback()


def test_policy_filter_and_server_agree(catalog: Catalog, catalog_url: str) -> None:
    sockets = ""
    if catalog_url.startswith("postgresql"):
        sockets = str(make_url(catalog_url).query["host"])
        apply(catalog_url, [DatabaseUser(name) for name in PEOPLE])
    views = {name: Catalog.open(catalog_url, name) for name in PEOPLE}
    try:
        _check(catalog, views, sockets)
    finally:
        for view in views.values():
            view.close()
