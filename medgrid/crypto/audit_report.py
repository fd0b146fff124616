"""What is found of an audit log when it is read again."""

from __future__ import annotations

from dataclasses import dataclass, field

from medgrid.errors import IntegrityError

__all__ = ["AuditReport"]

_PROBLEMS_MAX = 100


@dataclass(slots=True)
class AuditReport:
    """What `AuditLog.verify` found: a log is whole when there are no `problems`.

    `signed` is how many of its records are covered by a checkpoint.
    """

    size: int = 0
    root: bytes = b""
    signed: int = 0
    problems: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raise `IntegrityError` when there are problems."""
        if self.problems:
            error = IntegrityError(f"the audit log is not whole: {self.problems[0]}")
            error.detail = tuple(self.problems[1:])
            raise error

    def add(self, problem: str) -> None:
        """Note a problem; of very many the first ones are enough."""
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(problem)
