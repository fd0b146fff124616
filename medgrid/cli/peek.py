"""``medgrid peek``: look at a job's output while it runs."""

from __future__ import annotations

import codecs
import re
import sys

import click

from medgrid.cli.output import emit_json
from medgrid.cli.params import Session, pass_session
from medgrid.cli.say import printable
from medgrid.model import JobId

__all__ = ["peek"]

_PARTS = re.compile(r"([\t\r\n])")


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("--stderr", is_flag=True, help="Look at stderr instead of stdout.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@pass_session
def peek(session: Session, job_id: str, stderr: bool, follow: bool) -> int:
    """Show what a job has written to its stdout so far.

    Of an ended job the last part is shown.

    \b
    medgrid peek 42.7 --follow
    """
    from medgrid.actions.peek import peek as act

    job = JobId.parse(job_id)
    stream = "stderr" if stderr else "stdout"
    chunks = act(session.open_grid(), job, stream=stream, follow=follow)
    if session.as_json:
        text = b"".join(chunks).decode("utf-8", "replace")
        emit_json("job-peek/1", {"id": str(job), "stream": stream, "text": text})
        return 0
    if sys.stdout.isatty():  # a job must not steer the terminal of who looks
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        chunks = (_shown(decode(chunk)).encode() for chunk in chunks)
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    return 0


def _shown(text: str) -> str:
    """Text whose control characters are escapes, but for those that lines are made of.

    Examples
    --------
    >>> _shown("10 %\\r20 %\\n\\x1b[2J")
    '10 %\\r20 %\\n\\\\x1b[2J'
    """
    return "".join(part if part in "\t\r\n" else printable(part) for part in _PARTS.split(text))
