"""Bytes, keys and manifests that somebody with a certificate exchanged for others."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from medgrid.actions.transfer import Uploads
from medgrid.crypto.vault import Whose
from medgrid.errors import IntegrityError
from medgrid.model import LFN, DataClass
from tests.lab.hospital import JANE, Hospital

TWIN = f"/trial/{JANE}/T1w"


def forge(hospital: Hospital, lfn: str, by: str) -> None:
    """Exchange an object for another, signed by `by`, who can write catalog, key store, storage."""
    item = hospital.object(lfn)
    with hospital.people[by].grid() as grid:
        (replica,) = grid.whole.objects.replicas([item.id])[item.id]
        path = hospital.root_of(replica.se) / replica.pfn
        uploads = Uploads(grid)
        path.chmod(0o600)
        path.unlink()
        sealed = uploads.seal(item.id, replica.se, [b"forged"], Whose(DataClass.IMAGE, JANE))
        vault = grid.vault
        vault.store.drop([item.key_id])
        vault.keep([sealed.sealing])
        with grid.whole.db.write() as connection:
            for table, key in (("object", "id"), ("replica", "object_id")):
                connection.execute(
                    text(f"UPDATE {table} SET sha256 = :sha256 WHERE {key} = :id"),
                    {"sha256": sealed.replica.sha256, "id": item.id},
                )
            size = {"size": sealed.replica.size_bytes, "id": item.id}
            connection.execute(
                text("UPDATE replica SET size_bytes = :size WHERE object_id = :id"), size
            )
            connection.execute(
                text("UPDATE object SET size_bytes = 6 WHERE id = :id"), {"id": item.id}
            )


def test_a_researcher_cannot_vouch_for_the_images_of_others(hospital: Hospital) -> None:
    forge(hospital, TWIN, "bob")
    with pytest.raises(IntegrityError, match="bob vouches for its bytes, and may not"):
        hospital.alice.read(TWIN)


def test_who_brings_data_in_can(hospital: Hospital) -> None:
    """What the test above refuses is the signer, nothing else."""
    forge(hospital, TWIN, "alice")
    assert hospital.alice.read(TWIN) == b"forged"


def test_a_catalog_of_yesterday_is_noticed(hospital: Hospital) -> None:
    item = hospital.object(TWIN)
    with hospital.alice.grid() as grid, grid.whole.db.write() as connection:
        connection.execute(
            text("UPDATE object SET sha256 = :sha256 WHERE id = :id"),
            {"sha256": "0" * 64, "id": item.id},
        )
    with pytest.raises(IntegrityError, match="speak of different bytes"):
        hospital.alice.read(TWIN)
    assert LFN(TWIN) == item.lfn
