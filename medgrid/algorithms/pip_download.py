"""pip, asked for the wheels of another Python than its own, and what its messages mean."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medgrid.errors import ConfigError, IntegrityError, MedgridError, Unreachable

__all__ = ["NoWheel", "WorkerPython", "pip_download"]

_LEGACY = {"manylinux_2_17": "manylinux2014", "manylinux_2_12": "manylinux2010"}
_PYTHON = re.compile(r"cp(\d)(\d+)t?")
_MACHINE = re.compile(r"(x86_64|aarch64|arm64|i686|ppc64le|s390x|armv7l|riscv64)$")
_MISMATCH = re.compile(
    r"^ +(?P<package>\S+==\S+) from .*:\n(?P<expected>(?: +Expected .*\n)+) +Got +(?P<found>\S+)",
    re.MULTILINE,
)


class NoWheel(ConfigError):
    """The package index has no wheel of a requirement for a worker's Python."""


@dataclass(frozen=True, slots=True)
class WorkerPython:
    """A worker's interpreter and platform, for example ``cp311``, ``manylinux_2_36_x86_64``."""

    tag: str
    platform: str

    def __str__(self) -> str:
        return f"CPython {self.version} on {self.platform}"

    @property
    def version(self) -> str:
        """``3.11`` of ``cp311``."""
        match = _PYTHON.fullmatch(self.tag)
        if match is None:
            raise ConfigError(
                f"a worker runs {self.tag!r}, which is not CPython",
                hint="give the worker a python3 that is CPython 3.8 or later",
            )
        return f"{match[1]}.{match[2]}"

    @property
    def markers(self) -> Mapping[str, str]:
        """Values of environment markers on the worker (PEP 508)."""
        mac = self.platform.startswith("macosx")
        machine = _MACHINE.search(self.platform)
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.version}.0",
            "os_name": "posix",
            "platform_machine": machine[0] if machine else "",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Darwin" if mac else "Linux",
            "platform_version": "",
            "python_full_version": f"{self.version}.0",
            "python_version": self.version,
            "sys_platform": "darwin" if mac else "linux",
        }

    @property
    def platforms(self) -> list[str]:
        """All platform tags whose wheels run there; an older C library's do (PEP 600, PEP 656)."""
        match = re.fullmatch(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)", self.platform)
        if match is None:
            return [self.platform]
        family, major, minor, machine = match[1], match[2], int(match[3]), match[4]
        names = [f"{family}_{major}_{number}" for number in range(minor, -1, -1)]
        names += [_LEGACY[name] for name in names if name in _LEGACY]
        if "manylinux_2_5" in names:
            names.append("manylinux1")
        return [f"{name}_{machine}" for name in names] + [f"linux_{machine}"]


def pip_download(
    words: Sequence[str], python: WorkerPython, folder: Path, only: Path | None = None
) -> None:
    """Download wheels into `folder`.

    Parameters
    ----------
    words : sequence of str
        Requirements and options of pip.
    only : Path, optional
        Directory of wheels that are taken instead of those of a package index.

    Raises
    ------
    NoWheel, IntegrityError, Unreachable, ConfigError
        As for `medgrid.algorithms.wheelhouse.wheelhouse`.
    """
    if only is not None and not only.is_dir():
        raise ConfigError(
            f"the setting wheels is no directory: {only}",
            hint="README.md says how to fill one; without the setting the package index is asked",
        )
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--progress-bar=off"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    environ = dict(os.environ)
    if only is not None:  # what else pip is told to look at does not count
        environ = {name: text for name, text in environ.items() if not name.startswith("PIP_")}
        environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
        command += ["--find-links", str(only)]
    command += ["--implementation", "cp", "--python-version", python.version]
    for abi in (python.tag, "abi3", "none"):
        command += ["--abi", abi]
    for name in python.platforms:
        command += ["--platform", name]
    ended = subprocess.run(
        [*command, *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        raise _failure(ended.stderr, str(python), only)


def _failure(said: str, where: str, only: Path | None) -> MedgridError:
    """What pip's messages mean."""
    if "No module named pip" in said:
        return ConfigError(
            "wheels cannot be downloaded: the Python that runs medgrid has no pip",
            hint=f"run '{sys.executable} -m ensurepip', or install python3-pip",
        )
    source = "the package index" if only is None else str(only)
    wrong = _MISMATCH.search(said)
    if wrong:
        digests = re.findall(r"[0-9a-f]{64}", wrong["expected"])
        return IntegrityError(
            f"{source} has another file of {wrong['package']} for {where} than the algorithm's "
            f"lock: expected SHA-256 {' or '.join(digests[:2])}{' or ...' if digests[2:] else ''}, "
            f"found {wrong['found']}",
            hint="the file was damaged or replaced on its way: look at where pip gets it from "
            "(pip config list)",
        )
    errors = [line.removeprefix("ERROR: ") for line in said.splitlines() if "ERROR: " in line]
    if any(sign in said for sign in ("connection broken", "Connection refused", "timed out")):
        return Unreachable(
            "the package index does not answer",
            hint="try again, or name a directory of wheels in the setting wheels; a wheelhouse "
            "that was made once needs no network",
        )
    for line in errors:
        found = re.match(r"No matching distribution found for (\S+)", line)
        if found:
            unknown = "(from versions: none)" in said and only is None
            return NoWheel(
                f"{source} has no wheel of {found[1]} for {where}",
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
