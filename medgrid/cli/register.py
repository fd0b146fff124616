"""``medgrid register``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_json, emit_lines, progress, warn
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.errors import PartlyDone

if TYPE_CHECKING:
    from medgrid.actions.versions import Loss

__all__ = ["register"]


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@input_option("sources")
@click.option("--to", required=True, metavar="LFN|FOLDER", help="Where in the catalog.")
@click.option("--se", metavar="NAME", help="Storage element that shall hold the bytes.")
@click.option(
    "--meta", "metas", multiple=True, metavar="NAME=VALUE[:UNIT]", help="Metadata of all; repeat."
)
@click.option("--role", metavar="NAME", help="Of jobs, only the outputs of this name.")
@click.option("--public", is_flag=True, help="Files are nobody's data: keep them in the clear.")
@click.option("--replace", is_flag=True, help="Where an LFN exists, give it a new version.")
@pass_session
def register(
    session: Session,
    sources: tuple[str, ...],
    input_files: tuple[str, ...],
    to: str,
    se: str | None,
    metas: tuple[str, ...],
    role: str | None,
    public: bool,
    replace: bool,
) -> None:
    """Give outputs of jobs, or local files, an LFN and metadata; prints the LFNs.

    SOURCE is a submission (42), a job (42.7) or a file (write ./42 for a file of that name); also
    from '-i FILE' or stdin ('-'). Outputs become FOLDER/42.7/ROLE, with the numbers that their
    algorithm measures and the patient of their image as metadata. A file becomes LFN; or
    FOLDER/NAME when there are several, FOLDER exists or ends with '/'. It is encrypted for you
    alone; with --meta PatientID=P-..., for that patient's care team; a template, an atlas or a
    table of nobody's can be --public.

    New versions are granted as those before, when you may grant them; else who cannot see them is
    named, and the exit code is 3.

    Nothing is changed when a name is taken. Jobs that failed or are not done are listed, and the
    exit code is 3.

    \b
    medgrid register 42 --to /trial/results --se store1
    medgrid register table.csv --to /trial/notes/table.csv --meta site=A --meta volume=1432.5:ml
    """
    from medgrid.actions.register import parse_meta
    from medgrid.actions.register import register as register_all

    words = read_words(sources, input_files, "source")
    lost: list[Loss] = []
    bar = progress(session, "registering")
    done, failures = register_all(
        session.open_grid(),
        words,
        to,
        se=se,
        meta=parse_meta(metas),
        replace=replace,
        role=role,
        public=public,
        on_bad=lambda bad: bar.warn(str(bad)),
        on_lost=lost.append,
        progress=bar,
    )
    if session.as_json:
        for one in done:
            document = {
                "lfn": one.lfn,
                "id": one.object_id,
                "source": one.source,
                "role": one.role,
            }
            emit_json("registered/1", document)
    else:
        emit_lines(one.lfn for one in done)
    for loss in lost:
        warn(session, str(loss), hint=loss.hint, is_trouble=True)
    finish(session, failures, len(done))
    if lost:
        raise PartlyDone("some do not see new versions of what is granted to them")
