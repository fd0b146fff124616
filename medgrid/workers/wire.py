"""Values of `medgrid.workers.base` as the JSON of `medgrid.agent`, and back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

from medgrid.model import Cause, Priority, Sha256
from medgrid.workers.base import (
    Bundle,
    InputFile,
    JournalRecord,
    Launch,
    OutputFile,
    OutputPattern,
    WorkerInfo,
)

__all__ = ["info_from_wire", "launch_to_wire", "record_from_wire"]


def launch_to_wire(launch: Launch) -> dict[str, Any]:
    """Object for one launch; fields that are empty are left out."""
    environment = launch.environment
    fields: dict[str, Any] = {
        "attempt": launch.attempt,
        "argv": [
            part if isinstance(part, str) else [p if isinstance(p, str) else dict(p) for p in part]
            for part in launch.argv
        ],
        "env": dict(launch.env),
        "inputs": [_input(one) for one in launch.inputs],
        "texts": dict(launch.texts),
        "outputs": [_pattern(one) for one in launch.outputs],
        "limits": _some(
            walltime_s=launch.limits.walltime_s,
            memory_bytes=launch.limits.memory_bytes,
            disk_bytes=launch.limits.disk_bytes,
            output_bytes=launch.limits.output_bytes,
        ),
        "bundle": _bundle(launch.bundle),
        "environment": _some(
            kind=environment.kind if environment.kind != "host" else None,
            programs=list(environment.programs),
            digest=environment.digest,
            wheels=_bundle(environment.wheels),
            requirements=list(environment.requirements),
            image=environment.image,
        ),
        "slots": launch.slots if launch.slots != 1 else None,
        "rank": launch.rank if launch.rank != Priority.NORMAL.rank else None,
        "seal_to": _text(launch.seal_to),
    }
    return _some(**fields)


def record_from_wire(record: dict[str, Any]) -> JournalRecord:
    """Journal record of one of the agent's objects."""
    return JournalRecord(
        offset=record["offset"],
        attempt=record["attempt"],
        event=record["event"],
        time_s=record["time_s"],
        cause=Cause(record["cause"]) if "cause" in record else None,
        exit_code=record.get("exit_code"),
        message=record.get("message", ""),
        outputs=tuple(_output(one) for one in record.get("outputs", ())),
        stdout_tail=record.get("stdout_tail", ""),
        stderr_tail=record.get("stderr_tail", ""),
        started_s=record.get("started_s"),
        ended_s=record.get("ended_s"),
        max_rss_bytes=record.get("max_rss_bytes"),
        cpu_s=record.get("cpu_s"),
        sealed_tails=b64decode(record.get("sealed_tails", "")),
    )


def info_from_wire(info: dict[str, Any]) -> WorkerInfo:
    """What an agent says of its host."""
    return WorkerInfo(
        agent_id=info["agent_id"],
        agent_digest=info["agent_digest"],
        python=info["python"],
        python_tags=tuple(info["python_tags"]),
        hostname=info["hostname"],
        cpus=info["cpus"],
        memory_bytes=info["memory_bytes"],
        free_bytes=info["free_bytes"],
        journal_offset=info["journal_offset"],
        boot_id=info["boot_id"],
        runtimes=tuple(info["runtimes"]),
        attempts=info["attempts"],
        ciphers=tuple(info.get("ciphers", ())),
        private_memory_bytes=info.get("private_memory_bytes", 0),
        cache_bytes=info.get("cache_bytes", 0),
        cache_limit_bytes=info.get("cache_limit_bytes", 0),
    )


def _some(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def _input(one: InputFile) -> dict[str, Any]:
    fields: dict[str, Any] = {"sha256": one.sha256, "path": one.path}
    if one.unpack:
        fields["unpack"] = True
    if one.key is not None:
        fields.update(key=_text(one.key), plain_bytes=one.plain_bytes, tags_sha256=one.tags_sha256)
    return fields


def _output(one: dict[str, Any]) -> OutputFile:
    tags_sha256 = one.get("tags_sha256")
    return OutputFile(
        one["role"],
        one["path"],
        one["size_bytes"],
        Sha256(one["sha256"]),
        header=b64decode(one.get("header", "")),
        tags_sha256=None if tags_sha256 is None else Sha256(tags_sha256),
        body_bytes=one.get("body_bytes", 0),
        sealed_digest=b64decode(one.get("sealed_digest", "")),
    )


def _text(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


def _pattern(one: OutputPattern) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": one.role, "glob": one.glob}
    if one.optional:
        fields["optional"] = True
    if one.is_list:
        fields["is_list"] = True
    return fields


def _bundle(bundle: Bundle | None) -> dict[str, Any] | None:
    return None if bundle is None else {"sha256": bundle.sha256}
