"""Descriptors: read, checked against Boutiques' schema and beyond it, and their digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgrid.algorithms.bundle import pack_folder
from medgrid.algorithms.checks import problems
from medgrid.algorithms.lockfile import read_lock
from medgrid.algorithms.options import options
from medgrid.algorithms.schema import check_schema, json_path
from medgrid.documents import Unreadable, read_file, read_json
from medgrid.errors import ConfigError
from medgrid.model import Sha256

__all__ = ["LoadedAlgorithm", "algorithm_digest", "load", "validate"]


@dataclass(frozen=True, slots=True)
class LoadedAlgorithm:
    """A checked descriptor, the tar of its code bundle (None without one) and their digest."""

    descriptor: Mapping[str, Any]
    bundle: bytes | None
    digest: Sha256

    @property
    def name(self) -> str:
        """Name of the algorithm."""
        return str(self.descriptor["name"])

    @property
    def version(self) -> str:
        """Its tool-version."""
        return str(self.descriptor["tool-version"])

    @property
    def bundle_sha256(self) -> Sha256 | None:
        """Digest of the bundle's tar."""
        return None if self.bundle is None else Sha256(hashlib.sha256(self.bundle).hexdigest())


def load(path: Path) -> LoadedAlgorithm:
    """Read a descriptor, put the lines of its lock file into it, and pack its bundle.

    Raises
    ------
    ConfigError
        It cannot be read, is no JSON, fails its schema or contradicts itself; the message says
        where in the file.
    """
    try:
        descriptor = read_json(read_file(path), strict=True)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {str(exc.strerror).lower()}") from exc
    except Unreadable as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    validate(descriptor, str(path))
    environment = options(descriptor).get("environment", {})
    if isinstance(environment.get("lock"), str):
        environment["lock"] = read_lock(path.parent / environment["lock"])
        validate(descriptor, str(path))
    folder = options(descriptor).get("bundle")
    bundle = None
    if folder is not None:
        try:
            bundle = pack_folder(path.parent / folder)
        except ConfigError as exc:
            raise ConfigError(f"{path}: $.custom.medgrid.bundle: {exc}", hint=exc.hint) from exc
    loaded = LoadedAlgorithm(descriptor, bundle, Sha256(""))
    digest = algorithm_digest(descriptor, loaded.bundle_sha256)
    return LoadedAlgorithm(descriptor, bundle, digest)


def algorithm_digest(descriptor: Mapping[str, Any], bundle_sha256: Sha256 | None) -> Sha256:
    """SHA-256 over the canonical JSON of the descriptor and the digest of its bundle.

    Canonical JSON: keys sorted, no white space, UTF-8, so that layout of the file does not count.
    """
    document = {"bundle": bundle_sha256, "descriptor": descriptor}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Sha256(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def validate(descriptor: Any, source: str) -> None:
    """Check a descriptor: its schema, then all that a schema cannot say.

    Parameters
    ----------
    descriptor : Any
        Parsed JSON.
    source : str
        Where it comes from, for messages.

    Raises
    ------
    ConfigError
        The first problem: where, what was expected, what was found.
    """
    check_schema(descriptor, "boutiques", source)
    custom = descriptor.get("custom", {})
    if "medgrid" in custom:
        check_schema(custom["medgrid"], "medgrid", source, "$.custom.medgrid")
    for problem in problems(descriptor):
        where = json_path("$", *problem.path)
        raise ConfigError(f"{source}: {where}: {problem.text}", hint=problem.hint)
