"""From a piece of work to a `Launch` and the bytes it needs on the worker."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from medgrid.algorithms.invocation import InputRef, Invocation, JobEnvironment, compose
from medgrid.broker.messages import Work
from medgrid.broker.storages import Storages
from medgrid.config import Settings
from medgrid.crypto.vault import InputKey
from medgrid.errors import MedgridError, Unreachable
from medgrid.model import GridObject, ObjectId, Replica, Sha256, Worker
from medgrid.workers.base import (
    Bundle,
    Environment,
    InputFile,
    Launch,
    Limits,
    OutputPattern,
    SftpSource,
    StageItem,
)
from medgrid.workers.mounts import read_mounts

__all__ = ["SourceError", "Stager", "Wheels"]

_LOG = logging.getLogger("medgrid.broker")
_TRY_AGAIN_S = 30.0


class SourceError(MedgridError):
    """Bytes to be staged cannot be read from any storage element.

    `is_away` says that one of them did not answer, and may have them.
    """

    def __init__(self, message: str, sha256: Sha256, *, is_away: bool = False) -> None:
        super().__init__(message)
        self.sha256 = sha256
        self.is_away = is_away


class Wheels:
    """Wheelhouses, made once for all workers alike; for any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._made: dict[tuple[JobEnvironment, tuple[str, ...]], tuple[Path, Bundle]] = {}
        self._failed: dict[tuple[JobEnvironment, tuple[str, ...]], tuple[float, MedgridError]] = {}

    def get(self, wanted: JobEnvironment, python_tags: tuple[str, ...]) -> tuple[Path, Bundle]:
        """Tar of the wheels of an environment for a Python of `python_tags`.

        Raises
        ------
        MedgridError
            It cannot be made; that is tried again after a while only, for there may be many jobs.
        """
        from medgrid.algorithms.wheelhouse import wheelhouse

        key = (wanted, python_tags)
        with self._lock:
            failed_s, problem = self._failed.get(key, (0.0, None))
            if problem is not None and time.monotonic() - failed_s < _TRY_AGAIN_S:
                raise problem
            if key not in self._made:
                try:
                    path = wheelhouse(
                        wanted,
                        python_tags,
                        self._settings.cache_dir,
                        self._settings.wheel_cache_dir,
                        self._settings.wheels_dir,
                    )
                except MedgridError as exc:
                    self._failed[key] = (time.monotonic(), exc)
                    raise
                # the file is named by the digest of its bytes
                self._made[key] = path, Bundle(Sha256(path.stem), path.stat().st_size)
            return self._made[key]


class Stager:
    """What one driver needs to stage: its worker's view of the storage elements.

    Parameters
    ----------
    worker : Worker
        Where things go.
    """

    def __init__(self, worker: Worker, storages: Storages, wheels: Wheels) -> None:
        self._worker = worker
        self._storages = storages
        self._wheels = wheels
        self._mounts = read_mounts(str(worker.options.get("mounts", "")))
        self._bad: set[tuple[str, str]] = set()  # replicas that held other bytes: tried last
        self._opened: dict[Sha256, tuple[Replica, Sequence[Replica]]] = {}

    def prepare(self, work: Work, python_tags: tuple[str, ...]) -> tuple[Launch, list[StageItem]]:
        """Work out what the agent is told, and the bytes that it must have before.

        Raises
        ------
        MedgridError
            Inputs and descriptor do not fit, or the environment's wheels cannot be had.
        """
        invocation = compose(
            work.algorithm.descriptor,
            {
                role: [InputRef(item.filename, item.kind) for item in items]
                for role, items in work.inputs.items()
            },
            work.parameters,
        )
        items: dict[Sha256, StageItem] = {}
        inputs: list[InputFile] = []
        for role, paths in invocation.paths.items():
            for path, item in zip(paths, work.inputs[role], strict=True):
                inputs.append(_input(item, path, path in invocation.unpack, work.keys))
                items[item.sha256] = self._item(
                    item.sha256, item.stored_bytes, work.replicas.get(item.id, ())
                )
        bundle = None
        if work.bundle is not None:
            bundle = work.bundle.bundle
            items[bundle.sha256] = self._item(
                bundle.sha256, bundle.size_bytes, work.bundle.replicas
            )
        environment = self._environment(invocation.environment, python_tags, items)
        return _launch(work, invocation, tuple(inputs), bundle, environment), list(items.values())

    def has_another(self, sha256: Sha256) -> bool:
        """Note that what was opened last has not this digest; whether there is another replica."""
        opened = self._opened.pop(sha256, None)
        if opened is None:
            return False
        replica, replicas = opened
        self._bad.add((replica.se, replica.pfn))
        _LOG.warning("%s: %s holds other bytes than it should", replica.se, replica.pfn)
        return any((one.se, one.pfn) not in self._bad for one in replicas)

    def _environment(
        self,
        wanted: JobEnvironment,
        python_tags: tuple[str, ...],
        items: dict[Sha256, StageItem],
    ) -> Environment:
        if wanted.kind != "python" or not (wanted.requirements or wanted.alone or wanted.lock):
            return Environment(kind=wanted.kind, programs=wanted.programs, image=wanted.image)
        from medgrid.algorithms.wheelhouse import pinned

        path, wheels = self._wheels.get(wanted, python_tags)
        here = str(path) if self._worker.url.startswith("local:") else None
        items[wheels.sha256] = StageItem(
            wheels.sha256, wheels.size_bytes, open=partial(_open_file, path), path=here
        )
        requirements = pinned(path)
        digest = hashlib.sha256("\n".join((wheels.sha256, *requirements)).encode())
        return Environment(
            kind=wanted.kind,
            programs=wanted.programs,
            digest=Sha256(digest.hexdigest()),
            wheels=wheels,
            requirements=requirements,
        )

    def _item(self, sha256: Sha256, size_bytes: int, replicas: Sequence[Replica]) -> StageItem:
        ordered = sorted(replicas, key=self._distance)
        opener = partial(self._open, sha256, ordered)
        path = next(filter(None, map(self._path_there, ordered)), None)
        if path is None:
            for replica in ordered:
                far = self._far(replica)
                if far is not None:
                    return StageItem(sha256, size_bytes, opener, far[1], far[0])
        return StageItem(sha256, size_bytes, opener, path)

    def _distance(self, replica: Replica) -> tuple[bool, bool, str]:
        element = self._storages.element(replica.se)
        near = element is not None and element.site == self._worker.site
        here = element is not None and element.url.startswith("file:")
        return (not near, not here, replica.se)

    def _path_there(self, replica: Replica) -> str | None:
        """Absolute path of a replica on the worker's own host, None when it is not there."""
        element = self._storages.element(replica.se)
        if element is None:
            return None
        there, worker = urlsplit(element.url), urlsplit(self._worker.url)
        if worker.scheme == "local" and there.scheme == "file":
            try:
                return self._storages.get(element.name).local_path(replica.pfn)
            except MedgridError:
                return None
        if there.scheme == "sftp" and (there.netloc, worker.scheme) == (worker.netloc, "ssh"):
            return f"{there.path.rstrip('/')}/{replica.pfn}"
        mounted = self._mounts.get(element.name)
        return f"{mounted.rstrip('/')}/{replica.pfn}" if mounted else None

    def _far(self, replica: Replica) -> tuple[SftpSource, str] | None:
        """Where the worker may fetch a replica itself, by SFTP with its site's own key."""
        identity = self._worker.options.get("se-key")
        element = self._storages.element(replica.se)
        if not identity or element is None or urlsplit(element.url).scheme != "sftp":
            return None
        there = urlsplit(element.url)
        source = SftpSource(there.hostname or "", there.port or 22, there.username, identity)
        return source, f"{unquote(there.path).rstrip('/')}/{replica.pfn}"

    @contextmanager
    def _open(self, sha256: Sha256, replicas: Sequence[Replica]) -> Iterator[BinaryIO]:
        problems: list[str] = []
        is_away = False
        opened: AbstractContextManager[BinaryIO] | None = None
        for replica in sorted(replicas, key=lambda one: (one.se, one.pfn) in self._bad):
            try:
                opened = self._storages.get(replica.se).open(replica.pfn)
                stream = opened.__enter__()
            except MedgridError as exc:
                problems.append(f"{replica.se}: {exc}")
                is_away = is_away or isinstance(exc, Unreachable)
                continue
            self._opened[sha256] = replica, replicas
            try:
                yield stream
            finally:
                opened.__exit__(None, None, None)
            return
        raise SourceError(
            f"an input cannot be read: {'; '.join(problems) or 'it has no replica'}",
            sha256,
            is_away=is_away,
        )


def _open_file(path: Path) -> AbstractContextManager[BinaryIO]:
    return path.open("rb")


def _input(
    item: GridObject, path: str, unpack: bool, keys: Mapping[ObjectId, InputKey]
) -> InputFile:
    key = keys.get(item.id)
    if key is None:
        return InputFile(item.sha256, item.stored_bytes, path, unpack)
    return InputFile(
        item.sha256,
        item.stored_bytes,
        path,
        unpack,
        key=key.data_key,
        plain_bytes=item.size_bytes,
        tags_sha256=Sha256(key.tags_sha256),
    )


def _launch(
    work: Work,
    invocation: Invocation,
    inputs: tuple[InputFile, ...],
    bundle: Bundle | None,
    environment: Environment,
) -> Launch:
    limits = invocation.limits
    return Launch(
        attempt=work.attempt,
        argv=invocation.argv,
        env=invocation.env,
        inputs=inputs,
        texts=invocation.texts,
        outputs=tuple(
            OutputPattern(one.role, one.glob, one.optional, one.is_list)
            for one in invocation.outputs
        ),
        limits=Limits(
            limits.walltime_s, limits.memory_bytes, limits.disk_bytes, limits.output_bytes
        ),
        bundle=bundle,
        environment=environment,
        slots=invocation.slots,
        rank=work.priority.rank,
        seal_to=work.seal_to,
    )
