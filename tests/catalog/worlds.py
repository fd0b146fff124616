"""Small grids with people in them, to ask who sees what."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from medgrid.catalog import Catalog
from medgrid.catalog.access import Grant, Member
from medgrid.catalog.objects import Registration
from medgrid.crypto.policy import Care
from medgrid.model import (
    LFN,
    DataClass,
    GridObject,
    ObjectId,
    ObjectKind,
    Replica,
    Review,
    Sha256,
    Site,
    StorageElement,
)

__all__ = ["World", "make_world", "object_id"]


def object_id(number: int) -> ObjectId:
    """Object id that is easily told from others."""
    return ObjectId(f"{number:032x}")


@dataclass(frozen=True, slots=True)
class World:
    """What a test needs to know of the grid of `make_world`."""

    ids: dict[str, ObjectId] = field(default_factory=dict)  # by last word of the LFN

    def lfn(self, word: str) -> LFN:
        """LFN that ends with a word."""
        return LFN(f"/g/{word}")


def make_world(catalog: Catalog) -> World:
    """Two patients; ada cares for P-1, paul for P-2; jane is P-1; bob was granted one image.

    ========== ======= ========== =====================================================
    last word  patient class      of it
    ========== ======= ========== =====================================================
    one-orig   P-1     nominative owned by ada, 2020-01-01
    one-image  P-1     image      its twin; bob was granted it
    one-later  P-1     image      2020-06-01
    one-gated  P-1     image      granted to bob before somebody saw text in the pixels
    one-old    P-1     image      granted to bob, expired
    two-orig   P-2     nominative owned by paul, 2021-01-01
    two-image  P-2     image      its twin
    table      none    image      bob's own
    code       none    public
    ========== ======= ========== =====================================================
    """
    catalog.places.put_site(Site("here"))
    catalog.places.put_se(StorageElement("s1", "file:///s1", "here"))
    world = World()
    nominative, image, public = DataClass.NOMINATIVE, DataClass.IMAGE, DataClass.PUBLIC
    rows: list[tuple[str, str | None, DataClass, str, str, Review, str]] = [
        ("one-orig", "P-1", nominative, "ada", "2020-01-01", Review.NONE, ""),
        ("one-image", "P-1", image, "ada", "2020-01-01", Review.NONE, "one-orig"),
        ("one-later", "P-1", image, "ada", "2020-06-01", Review.NONE, ""),
        ("one-gated", "P-1", image, "ada", "2020-06-01", Review.NEEDED, ""),
        ("one-old", "P-1", image, "ada", "2020-09-01", Review.NONE, ""),
        ("two-orig", "P-2", nominative, "paul", "2021-01-01", Review.NONE, ""),
        ("two-image", "P-2", image, "paul", "2021-01-01", Review.NONE, "two-orig"),
        ("table", None, image, "bob", "", Review.NONE, ""),
        ("code", None, public, "ada", "", Review.NONE, ""),
    ]
    new = []
    for number, (word, patient, data_class, owner, day, review, original) in enumerate(rows, 1):
        key = world.ids[word] = object_id(number)
        digest = Sha256(key * 2)
        new.append(
            Registration(
                GridObject(
                    id=key,
                    lfn=world.lfn(word),
                    kind=ObjectKind.SERIES if patient else ObjectKind.FILE,
                    filename="series.tar",
                    size_bytes=10,
                    sha256=digest,
                    attributes={"StudyDate": day, "Modality": "MR"} if day else {},
                    data_class=data_class,
                    owner=owner,
                    review=review,
                    original=world.ids.get(original),
                ),
                (Replica(key, "s1", f"pfn-{word}", 10, digest),),
                patient=patient,
                study_uid=f"1.{number}" if patient else None,
                series_uid=f"1.{patient}" if patient else None,
                user_attributes={"volume": number * 1.5, f"only_{word}".replace("-", "_"): "x"},
            )
        )
    catalog.objects.register(new)
    catalog.access.add_care(
        Member("P-1", "ada", Care.PHYSICIAN),
        Member("P-1", "jane", Care.PATIENT),
        Member("P-2", "paul", Care.PHYSICIAN),
    )
    later = time.time() + 1000
    catalog.access.grant(
        Grant(world.ids["one-image"], "bob", "ada", later, "trial"),
        Grant(world.ids["one-gated"], "bob", "ada"),
        Grant(world.ids["one-old"], "bob", "ada", 1.0),
        Grant(world.ids["one-orig"], "bob", "ada"),  # as somebody with the database would do it
    )
    return world
