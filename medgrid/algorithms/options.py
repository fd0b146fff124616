"""What a descriptor says to medgrid itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["options"]


def options(descriptor: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a descriptor says to medgrid: its ``custom.medgrid``, empty when there is none."""
    return cast("Mapping[str, Any]", descriptor.get("custom", {}).get("medgrid", {}))
