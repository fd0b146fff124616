"""Bytes, keys and manifests that somebody with a certificate exchanged for others."""

from __future__ import annotations

from dataclasses import replace
from queue import Queue
from typing import Any

import pytest
from sqlalchemy import text

from medgrid.actions.transfer import Uploads
from medgrid.broker.board import Board
from medgrid.catalog.job_desk import SubmissionHead
from medgrid.crypto.manifest import Manifest
from medgrid.crypto.vault import Whose
from medgrid.errors import Denied, IntegrityError, NotFound
from medgrid.model import LFN, Algorithm, DataClass, GridObject, Sha256
from tests.lab.datagrid import MEASURE
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


def rewrite(hospital: Hospital, item: GridObject, **fields: Any) -> None:
    """Write a manifest anew in the key store's file, with a signature that nobody made again."""
    with hospital.keystore() as store, store.db.write() as connection:
        where = {"id": item.key_id}
        found = connection.scalar(
            text("SELECT manifest FROM protected WHERE object_id = :id"), where
        )
        made = replace(Manifest.from_bytes(bytes(found)), **fields)
        connection.execute(
            text("UPDATE protected SET manifest = :manifest WHERE object_id = :id"),
            {**where, "manifest": made.to_bytes()},
        )


def lend(hospital: Hospital, item: GridObject) -> None:
    """Let the broker have the key of an object, for job 1.1."""
    with hospital.alice.grid() as grid:
        grid.vault.key(item.key_id)
        grid.vault.lend(1, {1: [item.key_id]})


def test_nobody_signs_in_the_name_of_another(hospital: Hospital) -> None:
    forge(hospital, TWIN, "bob")
    rewrite(hospital, hospital.object(TWIN), signer="alice")
    with pytest.raises(IntegrityError, match="the manifest was not signed by 'alice'"):
        hospital.alice.read(TWIN)


def test_the_broker_takes_no_manifest_that_nobody_signed(hospital: Hospital) -> None:
    item = hospital.object(TWIN)
    lend(hospital, item)
    with hospital.broker.grid() as grid:
        assert grid.vault.delegated(1, [1])[1].keys() == {item.key_id}
    rewrite(hospital, item, body_sha256="0" * 64)
    refused = pytest.raises(IntegrityError, match="the manifest was not signed by 'alice'")
    with hospital.broker.grid() as grid, refused:
        grid.vault.delegated(1, [1])


def work(hospital: Hospital, item: GridObject) -> None:
    """Have the broker put together what a job on an object needs."""
    digest = Sha256("a" * 64)
    head = SubmissionHead(1, digest, "targets", {}, {}, "near", "alice")
    with hospital.broker.grid() as grid, hospital.catalog() as catalog:
        catalog.algorithms.add(Algorithm("measure", "1", digest, MEASURE))
        for worker in catalog.places.workers():  # no agent is needed
            catalog.places.remove_worker(worker.name)
        board = Board(catalog, grid.settings, grid.vault, Queue())
        board.refresh()
        found = board.work("1.1.1", head, (item.id,), {item.id: item}, {})
    assert found.keys.keys() == {item.id}


def test_the_broker_gives_jobs_no_key_that_a_stranger_vouches_for(hospital: Hospital) -> None:
    forge(hospital, TWIN, "bob")
    item = hospital.object(TWIN)
    lend(hospital, item)
    with pytest.raises(NotFound, match="bob vouches for an input, and may not"):
        work(hospital, item)
    # what is refused is the signer, nothing else
    work(hospital, replace(item, owner="bob"))


def test_the_broker_gives_jobs_no_key_of_other_bytes(hospital: Hospital) -> None:
    item = hospital.object(TWIN)
    lend(hospital, item)
    work(hospital, item)
    with pytest.raises(NotFound, match="that of other bytes than the catalog's"):
        work(hospital, replace(item, sha256=Sha256("0" * 64)))


def test_keys_are_lent_to_nobody_where_no_broker_is_certified(hospital: Hospital) -> None:
    item = hospital.object(TWIN)
    with hospital.keystore() as store, store.db.write() as connection:
        connection.execute(text("DELETE FROM certificate WHERE name = 'broker'"))
    with pytest.raises(Denied, match="no broker of this grid is certified to get keys"):
        lend(hospital, item)
    with hospital.keystore() as store:
        assert store.delegations() == {}
