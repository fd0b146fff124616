"""Where the files of a job lie, and how what it made leaves."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional, Tuple

from .layout import Layout, remove_tree
from .outputs import OutputProblem, find_outputs
from .staging import StageError, Stamp, place_inputs

__all__ = ["Room"]

Result = Dict[str, Any]


class Room:
    """The room of an ordinary job: its attempt's directory.

    Attributes
    ----------
    work, temporary : str
        The job's own directories.
    streams : str
        Where its standard output and error are kept.
    """

    folders: Tuple[str, ...] = ("work", "tmp")
    """What the attempt's directory holds from its claim on."""
    is_private = False

    def __init__(self, layout: Layout, order: Dict[str, Any]) -> None:
        self._layout = layout
        self._launch: Dict[str, Any] = order["launch"]
        self._directory = layout.attempt(order["attempt"])
        self._settle(self._directory)

    def _settle(self, folder: str) -> None:
        self.work = os.path.join(folder, "work")
        self.temporary = os.path.join(folder, "tmp")
        self.streams = folder

    @property
    def folders_to_fill(self) -> List[str]:
        """Directories on the file systems that a job can fill."""
        return [self._directory]

    @property
    def needed(self) -> List[str]:
        """Directories of inputs below those of `folders`."""
        found = []
        for one in self._launch.get("inputs", ()):
            path = "work/" + one["path"]
            while "/" in path:
                path = path.rpartition("/")[0]
                found.append(path)
        return found

    def is_gone(self) -> bool:
        """Whether somebody took the room away, as hosts do with a user's memory at logout."""
        return False

    def stage(self) -> Dict[str, Stamp]:
        """Put the inputs in place; see `medgrid.agent.staging.place_inputs`."""
        return place_inputs(self._layout, self.work, self._launch)

    def outputs(self) -> List[Dict[str, Any]]:
        """Outputs of the ended job, fit for its record.

        Raises
        ------
        OutputProblem
            One is missing or may not be taken.
        """
        patterns = self._launch.get("outputs", [])
        return find_outputs(self.work, patterns, limit_bytes=self._output_bytes)

    @property
    def _output_bytes(self) -> Optional[int]:
        limit: Optional[int] = self._launch.get("limits", {}).get("output_bytes")
        return limit

    def explain(self, problem: "StageError | OutputProblem") -> str:
        """What the record may say of a problem."""
        return str(problem)

    def close_result(self, result: Result) -> None:
        """Make a result fit for the disk."""

    def drop_outputs(self) -> None:
        """Give up what the job made: the disk is full."""
        remove_tree(self.work)

    def leave(self) -> None:
        """Delete what nobody may find."""
