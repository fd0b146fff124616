"""Places that run jobs: the contract in `base`, and the engines behind `open_link`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgrid.config import Settings
from medgrid.errors import UsageError
from medgrid.model import Worker

if TYPE_CHECKING:
    from medgrid.workers.base import WorkerLink

__all__ = ["open_link"]


def open_link(worker: Worker, settings: Settings, grid_id: str) -> WorkerLink:
    """Open a link to the agent of `worker`, which is started if need be.

    Raises
    ------
    Unreachable
        The host does not answer.
    Denied
        Its host key is unknown or changed, or the log-in is refused.
    ConfigError
        It has no python >= 3.8.
    NoSpace
        Its disk is full (`medgrid.workers.errors.NoSpace`).
    UsageError
        The worker's URL has no engine.
    """
    if worker.url in ("local:", "local"):
        from medgrid.workers.local import open_local

        return open_local(worker, settings)
    if worker.url.startswith("ssh://"):
        from medgrid.workers.ssh import open_ssh

        return open_ssh(worker, settings, grid_id)
    raise UsageError(
        f"worker {worker.name}: {worker.url!r} is no place that runs jobs",
        hint="a worker's URL is local: or ssh://user@host:port",
    )
