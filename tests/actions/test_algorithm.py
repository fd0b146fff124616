"""Adding and removing algorithms: the catalog and the storage agree, whatever fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from medgrid.actions.algorithm import add_algorithm, remove_algorithm
from medgrid.actions.grid import Grid
from medgrid.actions.transfer import read_small
from medgrid.catalog import Catalog
from medgrid.config import Settings
from medgrid.errors import AlreadyExists, ConfigError, MedgridError, NotFound
from medgrid.model import Site, StorageElement
from tests.algorithms.sample import minimal, written


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Grid]:
    settings = Settings(home=tmp_path / "home")
    settings.home.mkdir()
    catalog = Catalog.create(settings.catalog_url)
    catalog.places.put_site(Site("here"))
    storage = tmp_path / "storage"
    storage.mkdir()
    catalog.places.put_se(StorageElement("local", f"file://{storage}", "here"))
    catalog.close()
    with Grid(settings) as grid:
        yield grid


def stored(grid: Grid) -> list[str]:
    return [pfn for pfn, _ in grid.storage("local").walk()]


def bundled(folder: Path, code: str = "print(1)", version: str = "1") -> Path:
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "p.py").write_text(code)
    return written(
        folder,
        minimal(
            tool_version=version,
            command_line="python3 [BUNDLE]/p.py [IMAGE] [BINS]",
            custom={"medgrid": {"bundle": "code"}},
        ),
    )


def test_a_descriptor_without_code_stores_nothing(grid: Grid, tmp_path: Path) -> None:
    algorithm, added = add_algorithm(grid, written(tmp_path, minimal()))
    assert added
    assert str(algorithm) == "sample@1"
    assert algorithm.bundle_sha256 is None
    assert stored(grid) == []


def test_the_code_is_an_object_without_lfn(grid: Grid, tmp_path: Path) -> None:
    algorithm, _ = add_algorithm(grid, bundled(tmp_path))
    bundle = grid.catalog.algorithms.bundle_object(algorithm.digest)
    assert bundle is not None
    item = grid.catalog.objects.by_ids([bundle])[bundle]
    content = read_small(grid, item, grid.catalog.objects.replicas([bundle])[bundle])
    assert hashlib.sha256(content).hexdigest() == algorithm.bundle_sha256
    assert item.lfn is None


def test_the_same_again(grid: Grid, tmp_path: Path) -> None:
    first, _ = add_algorithm(grid, bundled(tmp_path))
    again, added = add_algorithm(grid, bundled(tmp_path))
    assert not added
    assert again == first
    assert len(stored(grid)) == 1


def test_other_code_needs_another_version(grid: Grid, tmp_path: Path) -> None:
    add_algorithm(grid, bundled(tmp_path))
    with pytest.raises(AlreadyExists) as error:
        add_algorithm(grid, bundled(tmp_path, "print(2)"))
    assert error.value.message == "sample@1 exists already with another descriptor or other code"
    assert len(stored(grid)) == 1
    add_algorithm(grid, bundled(tmp_path, "print(2)", "2"))
    assert str(grid.catalog.algorithms.find("sample")) == "sample@2"


def test_nothing_is_left_of_what_fails(grid: Grid, tmp_path: Path) -> None:
    wrong = written(tmp_path, minimal(name=""))
    with pytest.raises(ConfigError):
        add_algorithm(grid, wrong)
    with pytest.raises(NotFound):
        add_algorithm(grid, bundled(tmp_path), se="nowhere")
    element = grid.catalog.places.se("local")
    Path(element.url.removeprefix("file://")).rmdir()
    with pytest.raises(MedgridError):
        add_algorithm(grid, bundled(tmp_path))
    assert grid.catalog.algorithms.all() == []


def test_removed_with_its_code(grid: Grid, tmp_path: Path) -> None:
    add_algorithm(grid, bundled(tmp_path))
    assert str(remove_algorithm(grid, "sample")) == "sample@1"
    assert grid.catalog.algorithms.all() == []
    assert stored(grid) == []
