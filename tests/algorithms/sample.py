"""A small descriptor that tests change."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

_MINIMAL: dict[str, Any] = {
    "name": "sample",
    "tool-version": "1",
    "schema-version": "0.5",
    "description": "A sample.",
    "command-line": "program [IMAGE] [BINS]",
    "inputs": [
        {"id": "image", "name": "Image", "type": "File", "value-key": "[IMAGE]"},
        {
            "id": "bins",
            "name": "Bins",
            "type": "Number",
            "integer": True,
            "minimum": 2,
            "maximum": 1024,
            "default-value": 64,
            "optional": True,
            "value-key": "[BINS]",
            "command-line-flag": "--bins",
        },
    ],
    "output-files": [{"id": "result", "name": "Result", "path-template": "result.txt"}],
}


def minimal(**changes: Any) -> dict[str, Any]:
    """The sample, with top-level fields changed; ``_`` in a name stands for ``-``."""
    descriptor = copy.deepcopy(_MINIMAL)
    descriptor.update({name.replace("_", "-"): value for name, value in changes.items()})
    return descriptor


def with_inputs(command_line: str, *inputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The sample with another command line and other inputs; names are filled in."""
    named = [{"name": entry["id"], **entry} for entry in inputs]
    return minimal(command_line=command_line, inputs=named, **changes)


def written(folder: Path, descriptor: dict[str, Any]) -> Path:
    """The descriptor as a file."""
    path = folder / "sample.json"
    path.write_text(json.dumps(descriptor), encoding="utf-8")
    return path
