"""The wheels of a Python environment, fetched once on this side, as one tar for workers.

A worker may have no network. So the wheels that fit *its* Python are downloaded here, dependencies
included, and the agent installs from the tar alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import TYPE_CHECKING

from medgrid.algorithms.bundle import write_tar
from medgrid.errors import ConfigError, MedgridError, Unreachable

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["NoWheel", "pinned", "wheelhouse"]

_FORMAT = 2
_LEGACY = {"manylinux_2_17": "manylinux2014", "manylinux_2_12": "manylinux2010"}
_PYTHON = re.compile(r"cp(\d)(\d+)t?")
_ROUNDS = 5


class NoWheel(ConfigError):
    """The package index has no wheel of a requirement for a worker's Python."""


def wheelhouse(
    requirements: Sequence[str],
    python_tags: Sequence[str],
    cache_dir: Path,
    alone: Sequence[str] = (),
) -> Path:
    """Make, or find in the cache, a tar of wheels that satisfies requirements on a worker.

    Parameters
    ----------
    requirements : sequence of str
        Pinned; environment markers are evaluated for the worker.
    python_tags : sequence of str
        The worker's interpreter and platform, for example
        ``("cp311", "manylinux_2_36_x86_64")``.
    cache_dir : Path
        Wheelhouses are kept below it; one that is there needs no network.
    alone : sequence of str
        More requirements, without what they depend on.

    Returns
    -------
    Path
        A tar of ``*.whl``, pip's own included. The stem of its name is the SHA-256 of its bytes.

    Raises
    ------
    NoWheel
        There is no wheel of a requirement for that Python and platform.
    Unreachable
        The package index does not answer.
    ConfigError
        Requirements contradict each other, or this Python has no pip.
    """
    python, platform = python_tags[0], python_tags[1]
    wanted = sorted(_for_worker(requirements, python, platform))
    bare = sorted(_for_worker(alone, python, platform))
    key = _digest(json.dumps([_FORMAT, wanted, bare, python, platform]).encode())
    folder = cache_dir / "wheelhouse"
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / f"{key}.key"
    with _locked(folder / f"{key}.lock"):
        if known.exists():
            found = folder / f"{known.read_text().strip()}.tar"
            if found.exists():
                return found
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as scratch:
            wheels = _download(wanted, bare, python, platform, Path(scratch))
            made = _pack(wheels, folder)
        temporary = known.with_suffix(".part")
        temporary.write_text(made.stem + "\n")
        temporary.replace(known)
    return made


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


# -- the worker's Python ---------------------------------------------------------------------------


def _version(python: str) -> str:
    """``cp311`` -> ``3.11``."""
    match = _PYTHON.fullmatch(python)
    if match is None:
        raise ConfigError(
            f"a worker runs {python!r}, which is not CPython",
            hint="give the worker a python3 that is CPython 3.8 or later",
        )
    return f"{match[1]}.{match[2]}"


def _environment(python: str, platform: str) -> dict[str, str]:
    """Values of environment markers on the worker (PEP 508)."""
    version = _version(python)
    mac = platform.startswith("macosx")
    machine = re.search(r"(x86_64|aarch64|arm64|i686|ppc64le|s390x|armv7l|riscv64)$", platform)
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{version}.0",
        "os_name": "posix",
        "platform_machine": machine[0] if machine else "",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Darwin" if mac else "Linux",
        "platform_version": "",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "darwin" if mac else "linux",
    }


def _applies(requirement: Requirement, environment: Mapping[str, str], extra: str = "") -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate({**environment, "extra": extra})


def _for_worker(requirements: Sequence[str], python: str, platform: str) -> list[str]:
    """Requirements that count on the worker, without their markers."""
    from packaging.requirements import InvalidRequirement, Requirement

    environment = _environment(python, platform)
    found = []
    for text in requirements:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as exc:
            raise ConfigError(f"{text!r} is no Python requirement") from exc
        if _applies(requirement, environment):
            requirement.marker = None
            found.append(str(requirement))
    return found


def _platforms(platform: str) -> list[str]:
    """All platform tags whose wheels run there; an older C library's do (PEP 600, PEP 656)."""
    match = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)", platform)
    if match is None:
        return [platform]
    family, major, minor, machine = match[1], match[2], int(match[3]), match[4]
    names = [f"{family}_{major}_{number}" for number in range(minor, -1, -1)]
    names += [_LEGACY[name] for name in names if name in _LEGACY]
    if "manylinux_2_5" in names:
        names.append("manylinux1")
    return [f"{name}_{machine}" for name in names] + [f"linux_{machine}"]


# -- pip -------------------------------------------------------------------------------------------


def _download(
    wanted: Sequence[str], alone: Sequence[str], python: str, platform: str, scratch: Path
) -> list[Path]:
    """Wheels of `wanted` and of all they depend on, on the worker; and of `alone`.

    pip evaluates the markers of dependencies for the Python it runs in, not for the one it is asked
    to download for; so what it left out is worked out from the wheels and asked for by name.
    """
    more: list[str] = []
    for number in range(_ROUNDS):
        folder = scratch / str(number)
        _pip_download(["pip", *wanted, *more], python, platform, folder)
        missing = _missing(folder, wanted, _environment(python, platform))
        if not missing:
            break
        more += missing
    found = sorted(folder.glob("*.whl"))
    if alone:
        folder = scratch / "alone"
        _pip_download(["--no-deps", *alone], python, platform, folder)
        found += sorted(folder.glob("*.whl"))
    return found


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


def _pip_download(wanted: Sequence[str], python: str, platform: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", _version(python)]
    for abi in (python, "abi3", "none"):
        command += ["--abi", abi]
    for name in _platforms(platform):
        command += ["--platform", name]
    ended = subprocess.run(
        [*command, *wanted],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        raise _failure(ended.stderr, f"CPython {_version(python)} on {platform}")


def _failure(said: str, where: str) -> MedgridError:
    """What pip's messages mean."""
    if "No module named pip" in said:
        return ConfigError(
            "wheels cannot be downloaded: the Python that runs medgrid has no pip",
            hint=f"run '{sys.executable} -m ensurepip', or install python3-pip",
        )
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if "ERROR: " in line]
    if any(sign in said for sign in ("connection broken", "Connection refused", "timed out")):
        return Unreachable(
            "the package index does not answer",
            hint="try again; a wheelhouse that was made once needs no network",
        )
    for line in errors:
        found = re.match(r"No matching distribution found for (\S+)", line)
        if found:
            unknown = "(from versions: none)" in said
            return NoWheel(
                f"the package index has no wheel of {found[1]} for {where}",
                hint="check its name, and that this host reaches the package index"
                if unknown
                else "pin a version that has one, or give the worker another python3",
            )
    if any("ResolutionImpossible" in line or "conflict" in line for line in errors):
        return ConfigError(
            f"the algorithm's requirements contradict each other for {where}",
            hint="see 'medgrid algorithm show NAME'; loosen or change a pin",
        )
    reason = errors[0] if errors else "it gave no reason"
    return ConfigError(f"pip cannot download the wheels for {where}: {reason}")
