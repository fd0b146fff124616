"""What is special about storage in a directory of this host."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import pytest

from medgrid.errors import MedgridError
from medgrid.model import Sha256, StorageElement, new_object_id
from medgrid.storage.base import Stored, part_name, physical_name
from medgrid.storage.posix import PosixStorage


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the storage."""
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    return path


def test_a_link_in_the_place_of_an_object_is_not_followed(tmp_path: Path, secret: Path) -> None:
    storage = PosixStorage(StorageElement("here", (tmp_path / "se").as_uri(), "here"))
    storage.create()
    pfn = physical_name(new_object_id())
    storage.put(pfn, [b"bytes"])
    (tmp_path / "se" / pfn).unlink()
    (tmp_path / "se" / pfn).symlink_to(secret)
    with pytest.raises(MedgridError), storage.open(pfn):
        pass
    assert storage.size(pfn) is None
    # what is stored there takes the place of the link
    storage.put(pfn, [b"bytes"])
    assert not (tmp_path / "se" / pfn).is_symlink()
    # a part is no way to it either
    (tmp_path / "se" / part_name(pfn)).symlink_to(secret)
    sha256 = Sha256(hashlib.sha256(b"secret and more").hexdigest())
    with pytest.raises(MedgridError):
        storage.resume(pfn, lambda offset: [b"secret and more"[offset:]], sha256)
    assert secret.read_bytes() == b"secret"


def test_what_another_process_adds_to_is_written_beside_it(tmp_path: Path) -> None:
    storage = PosixStorage(StorageElement("here", tmp_path.as_uri(), "here"))
    pfn = physical_name(new_object_id())
    content = b"all of it"
    sha256 = Sha256(hashlib.sha256(content).hexdigest())
    part = tmp_path / part_name(pfn)
    part.parent.mkdir()
    with part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"all")
        other.flush()
        stored = storage.resume(pfn, lambda offset: [content[offset:]], sha256)
    assert stored == Stored(pfn, len(content), sha256)
    assert (tmp_path / pfn).read_bytes() == content
    assert part.read_bytes() == b"all"
    assert [path.name for path in part.parent.iterdir()] == [part.name]
