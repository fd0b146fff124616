"""The wheels of a Python environment, fetched once on this side, as one tar for workers.

A worker may have no network. So the wheels that fit *its* Python are downloaded here, dependencies
included, and the agent installs from the tar alone. Wheels are kept, and checked before they are
used again; a lock says what they must be in the first place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.algorithms.bundle import write_tar
from medgrid.algorithms.pip_download import NoWheel, WorkerPython, pip_download
from medgrid.errors import ConfigError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from medgrid.algorithms.invocation import JobEnvironment

__all__ = ["NoWheel", "pinned", "wheelhouse"]

_FORMAT = 3
_ROUNDS = 5
_HASHES = re.compile(r"\s--hash=sha256:([0-9a-f]{64})")


def wheelhouse(
    wanted: JobEnvironment,
    python_tags: Sequence[str],
    cache_dir: Path,
    kept: Path,
    only: Path | None = None,
) -> Path:
    """Make, or find in the cache, a tar of wheels that is an environment on a worker.

    Parameters
    ----------
    wanted : JobEnvironment
        Its requirements, pinned, with their dependencies; those alone, without; or its lock.
        Environment markers are evaluated for the worker.
    python_tags : sequence of str
        The worker's interpreter and platform, for example
        ``("cp311", "manylinux_2_36_x86_64")``.
    cache_dir : Path
        Tars are kept below it.
    kept : Path
        Wheels are kept there, for all grids of this user; what is there needs no network.
    only : Path, optional
        Wheels come from this directory, and no package index is asked.

    Returns
    -------
    Path
        A tar of ``*.whl``, pip's own included. The stem of its name is the SHA-256 of its bytes.

    Raises
    ------
    NoWheel
        There is no wheel of a requirement for that Python and platform.
    IntegrityError
        A file is not the one that the lock says.
    Unreachable
        The package index does not answer.
    ConfigError
        Requirements contradict each other or the lock, or this Python has no pip.
    """
    python = WorkerPython(python_tags[0], python_tags[1])
    plan = _Plan(wanted, python)
    key = _digest(json.dumps([_FORMAT, plan.key, python.tag, python.platform]).encode())
    folder = cache_dir / "wheelhouse"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(kept / f"{key}.lock"):
            known = folder / f"{key}.key"
            if known.exists():
                found = folder / f"{known.read_text().strip()}.tar"
                if found.exists():
                    return found  # the agent sees whether its digest is right
            wheels = _kept(kept, key)
            if wheels is None:
                with tempfile.TemporaryDirectory(dir=kept, prefix="download-") as scratch:
                    wheels = _keep(kept, key, plan.download(Path(scratch), only))
            made = _pack(wheels, folder)
            _write(known, made.stem + "\n")
            return made
    except OSError as exc:
        raise ConfigError(
            f"wheels cannot be kept in {kept}: {(exc.strerror or str(exc)).lower()}",
            hint="name another directory in the setting wheel_cache",
        ) from exc


def pinned(wheels: Path) -> tuple[str, ...]:
    """What a wheelhouse holds beside pip, as requirements: ``numpy==2.2.6``."""
    from packaging.utils import parse_wheel_filename

    with tarfile.open(wheels) as tar:
        found = [parse_wheel_filename(name)[:2] for name in tar.getnames()]
    return tuple(sorted(f"{name}=={version}" for name, version in found if name != "pip"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, whatever happens to it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _kept(kept: Path, key: str) -> list[Path] | None:
    """Wheels that were downloaded for `key` before, None unless all are there and unchanged.

    Their list is a file as sha256sum writes it.
    """
    try:
        lines = (kept / f"{key}.sha256").read_text(encoding="utf-8").splitlines()
        expected = {kept / name: digest for digest, _, name in (s.partition("  ") for s in lines)}
        if all(_file_digest(path) == digest for path, digest in expected.items()):
            return list(expected)
    except FileNotFoundError:
        pass
    return None


def _keep(kept: Path, key: str, wheels: Iterable[Path]) -> list[Path]:
    lines, found = [], []
    for wheel in sorted(wheels):
        lines.append(f"{_file_digest(wheel)}  {wheel.name}\n")
        found.append(wheel.replace(kept / wheel.name))
    _write(kept / f"{key}.sha256", "".join(lines))
    return found


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _pack(wheels: Iterable[Path], folder: Path) -> Path:
    with tempfile.NamedTemporaryFile(dir=folder, prefix="pack-") as stream:
        write_tar(stream, {wheel.name: (wheel, False) for wheel in wheels})
        stream.flush()
        os.fsync(stream.fileno())
        stream.seek(0)
        target = folder / f"{hashlib.file_digest(stream, 'sha256').hexdigest()}.tar"
        if not target.exists():
            os.link(stream.name, target)
            target.chmod(0o644)
    return target


class _Plan:
    """What is to be downloaded for one Python of workers."""

    def __init__(self, wanted: JobEnvironment, python: WorkerPython) -> None:
        self._python = python
        self._wanted = sorted(_for_worker(wanted.requirements, python))
        self._alone = sorted(_for_worker(wanted.alone, python))
        self._lock = sorted(_locked_for_worker(wanted.lock, python))
        self.key = [self._wanted, self._alone, self._lock]

    def download(self, scratch: Path, only: Path | None) -> list[Path]:
        if self._lock:
            return self._download_locked(scratch, only)
        return self._download_resolved(scratch, only)

    def _download_locked(self, scratch: Path, only: Path | None) -> list[Path]:
        lock = scratch / "lock.txt"
        lock.write_text("\n".join(self._lock) + "\n", encoding="utf-8")
        folder = scratch / "wheels"
        words = ["--no-deps", "--require-hashes", "--requirement", str(lock)]
        pip_download(words, self._python, folder, only)
        missing = _missing(folder, self._wanted, self._python.markers)
        if missing:
            raise ConfigError(
                f"the algorithm's lock lacks {', '.join(missing)} for {self._python}",
                hint="lock it anew: uv pip compile --universal --generate-hashes",
            )
        return sorted(folder.glob("*.whl"))

    def _download_resolved(self, scratch: Path, only: Path | None) -> list[Path]:
        """Wheels of what is wanted and of all it depends on, on the worker; and of `alone`.

        pip evaluates the markers of dependencies for the Python it runs in, not for the one it is
        asked to download for; so what it left out is worked out from the wheels and asked for by
        name.
        """
        more: list[str] = []
        for number in range(_ROUNDS):
            folder = scratch / str(number)
            pip_download(["pip", *self._wanted, *more], self._python, folder, only)
            missing = _missing(folder, self._wanted, self._python.markers)
            if not missing:
                break
            more += missing
        found = sorted(folder.glob("*.whl"))
        if self._alone:
            folder = scratch / "alone"
            pip_download(["--no-deps", *self._alone], self._python, folder, only)
            found += sorted(folder.glob("*.whl"))
        return found


def _applies(requirement: Requirement, environment: Mapping[str, str], extra: str = "") -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**environment, "extra": extra})


def _for_worker(requirements: Sequence[str], python: WorkerPython) -> list[str]:
    """Requirements that count on the worker, without their markers."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as exc:
            raise ConfigError(f"{text!r} is no Python requirement") from exc
        if _applies(requirement, python.markers):
            requirement.marker = None
            found.append(str(requirement))
    return found


def _locked_for_worker(lock: Sequence[str], python: WorkerPython) -> Iterator[str]:
    """Lines of a lock that count on the worker, without their markers, with their hashes."""
    for line in lock:
        hashes = "".join(f" --hash=sha256:{one}" for one in sorted(_HASHES.findall(line)))
        for requirement in _for_worker([_HASHES.sub("", line)], python):
            yield requirement + hashes


def _missing(folder: Path, wanted: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Requirements of the wheels in `folder` that none of them satisfies on the worker."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name, parse_wheel_filename

    present = {parse_wheel_filename(wheel.name)[0]: wheel for wheel in folder.glob("*.whl")}
    asked: dict[str, set[str]] = {name: set() for name in present}
    todo = [Requirement(text) for text in wanted]
    seen: set[tuple[str, str]] = set()
    missing: set[str] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name not in present:
            requirement.marker = None
            missing.add(str(requirement))
            continue
        asked[name] |= requirement.extras
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in _depends_on(present[name]):
                dependency = Requirement(text)
                if _applies(dependency, environment, extra):
                    todo.append(dependency)
    return sorted(missing)


def _depends_on(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        header = BytesHeaderParser().parsebytes(archive.read(name))
    return [str(line) for line in header.get_all("Requires-Dist", [])]
