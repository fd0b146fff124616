"""Engine ``ssh://``: an agent on another host, over channels of one SSH connection."""

from __future__ import annotations

from medgrid.config import Settings
from medgrid.model import Worker
from medgrid.transport.ssh import connect
from medgrid.workers.bootstrap import COMMAND, Process, start_agent
from medgrid.workers.link import AgentLink

__all__ = ["open_ssh"]


def open_ssh(worker: Worker, settings: Settings, grid_id: str) -> AgentLink:
    """Open a link to the agent of `worker` over SSH.

    Its directory is the worker's option ``root``, by default
    ``~/.medgrid-agent/GRID/WORKER`` on the host.
    """
    where = f"worker {worker.name}"
    root = str(worker.options.get("root") or f"~/.medgrid-agent/{grid_id}/{worker.name}")
    python = str(worker.options.get("python") or "")
    connection = connect(
        worker.url, settings, worker.options, subject=f"worker check {worker.name}"
    )
    timeout_s = settings.connect_timeout_s + settings.keepalive_s

    def open_stream(verb: str) -> Process:
        process = connection.exec(COMMAND, settings.connect_timeout_s)
        try:
            process.settimeout(timeout_s)
            start_agent(process, where, root, verb, python)
            process.settimeout(None if verb == "connect" else timeout_s)
        except BaseException:
            process.close()
            raise
        return process

    try:
        return AgentLink(open_stream, connection.close, where, worker, timeout_s)
    except BaseException:
        connection.close()
        raise
