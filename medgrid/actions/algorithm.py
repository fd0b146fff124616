"""Algorithms: add a descriptor with its code, list, show, remove."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medgrid.actions.grid import Grid
from medgrid.actions.transfer import Uploads, delete_bytes
from medgrid.algorithms.descriptor import LoadedAlgorithm, load
from medgrid.errors import NotFound
from medgrid.model import Algorithm, GridObject, ObjectId, ObjectKind, new_object_id

__all__ = ["add_algorithm", "remove_algorithm"]

_CHUNK_BYTES = 1024 * 1024


def add_algorithm(grid: Grid, path: Path, se: str | None = None) -> tuple[Algorithm, bool]:
    """Make the descriptor at `path` an algorithm of the grid.

    Its code bundle goes to storage element `se` (the default one when None), as an object without
    LFN. When anything fails, nothing is added.

    Returns
    -------
    Algorithm
        The algorithm as the catalog has it.
    bool
        False when it was there already, with the same descriptor and code.

    Raises
    ------
    ConfigError
        The descriptor is wrong.
    AlreadyExists
        Its name and version belong to another descriptor or other code.
    """
    loaded = load(path)
    algorithm = Algorithm(
        loaded.name, loaded.version, loaded.digest, loaded.descriptor, loaded.bundle_sha256
    )
    algorithms = grid.catalog.algorithms
    try:
        known = algorithms.find(str(algorithm))
    except NotFound:
        pass
    else:
        if known.digest == algorithm.digest:
            return known, False
        algorithms.add(algorithm)  # says why it cannot
    if loaded.bundle is None:
        added = algorithms.add(algorithm)
    else:
        added = _add_with_bundle(grid, algorithm, loaded, se or grid.default_se().name)
    return algorithms.get(algorithm.digest), added


def _add_with_bundle(grid: Grid, algorithm: Algorithm, loaded: LoadedAlgorithm, se: str) -> bool:
    from medgrid.catalog.objects import Registration

    assert loaded.bundle is not None and loaded.bundle_sha256 is not None  # noqa: S101
    content = loaded.bundle
    item = GridObject(
        id=new_object_id(),
        lfn=None,
        kind=ObjectKind.FILE,
        filename="bundle.tar",
        size_bytes=len(content),
        sha256=loaded.bundle_sha256,
    )
    catalog = grid.catalog
    with Uploads(grid) as uploads:
        replica = uploads.put(item.id, se, _chunks(content), item.sha256)
        with catalog.transaction():
            if not catalog.algorithms.add(algorithm, item.id):
                return False  # somebody else was faster: the upload is taken back
            catalog.objects.register([Registration(item, (replica,))], uploaded=True)
    return True


def _chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), _CHUNK_BYTES):
        yield content[start : start + _CHUNK_BYTES]


def remove_algorithm(grid: Grid, label: str) -> Algorithm:
    """Forget an algorithm that never ran, and its code.

    Raises
    ------
    NotFound
        There is none called so.
    UsageError
        `label` names no version and there are several, or something was made with it.
    """
    catalog = grid.catalog
    algorithm = catalog.algorithms.find(label)
    with catalog.transaction():
        bundle: ObjectId | None = catalog.algorithms.remove(algorithm.digest)
        replicas = catalog.objects.discard([bundle]) if bundle else []
    delete_bytes(grid, replicas)
    return algorithm
