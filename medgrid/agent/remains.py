"""What a keeper that is gone left of its attempt: a result, or processes, and keys in memory."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Optional

from . import processes
from .layout import Layout
from .notes import read_notes
from .private import remove_private, sweep_private
from .protected import is_protected
from .sealed_room import PRIVATE, SEALED
from .secrecy import drop_empty_groups

__all__ = ["Remains", "lost"]

Result = Dict[str, Any]


class Remains:
    """Looks after the attempts of one agent that nobody keeps any more."""

    def __init__(self, layout: Layout, agent_id: str, boot: str) -> None:
        self._layout = layout
        self._agent_id = agent_id
        self._boot = boot

    def result(self, attempt: str, launch: Dict[str, Any]) -> Result:
        """How an attempt ended; after this nothing of it runs, and its keys are gone."""
        protected = is_protected(launch)
        notes = read_notes(self._layout.attempt(attempt))
        result: Optional[Result] = notes.get("result")
        if result is None or not self._outputs_are_there(attempt, result, protected):
            if notes.get("keeper", {}).get("boot", self._boot) != self._boot:
                result = lost("the worker's host restarted while the job ran")
            else:
                result = lost("the process that kept the job was killed")
            self._kill(attempt, notes.get("process"))
        if protected:
            remove_private(self._agent_id, self._layout.attempt(attempt, PRIVATE))
            self.sweep()
        return result

    def sweep(self) -> None:
        """Delete what killed keepers left in memory."""
        sweep_private(self._agent_id, self._boot)
        drop_empty_groups()

    def _outputs_are_there(self, attempt: str, result: Result, protected: bool) -> bool:
        folder = self._layout.attempt(attempt, SEALED if protected else "work")
        size = "body_bytes" if protected else "size_bytes"
        try:
            return all(
                os.stat(os.path.join(folder, one["path"])).st_size == one[size]
                for one in result.get("outputs", ())
            )
        except OSError:
            return False

    def _kill(self, attempt: str, main: Optional[Dict[str, Any]]) -> None:
        if main is not None and processes.alive(main, self._boot):
            processes.kill_group(int(main["pid"]))
        processes.kill_marked("%s/%s" % (self._agent_id, attempt))


def lost(message: str) -> Result:
    """Result of an attempt that did not end by itself."""
    return {"cause": "lost", "message": message, "ended_s": time.time()}
