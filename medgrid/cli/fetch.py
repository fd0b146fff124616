"""``medgrid fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.geometry import warn_of_geometry
from medgrid.cli.output import emit_json, emit_lines, progress
from medgrid.cli.params import Session, input_option, pass_session, read_words

__all__ = ["fetch"]


@click.command()
@click.argument("words", nargs=-1, metavar="[ID|LFN]...")
@input_option("job ids and LFNs")
@click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; made when it is missing.",
)
@click.option(
    "--bids",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to make a BIDS dataset of images in, in place of --dir.",
)
@click.option(
    "--attributes",
    metavar="NAME,...",
    help="Columns of its tables: attributes of patients and visits. [all]",
)
@click.option(
    "--packed",
    is_flag=True,
    help="Keep a series as one tar file, and an image with its companions.",
)
@click.option("--force", is_flag=True, help="Write over files that exist.")
@pass_session
def fetch(
    session: Session,
    words: tuple[str, ...],
    input_files: tuple[str, ...],
    folder: Path | None,
    bids: Path | None,
    attributes: str | None,
    packed: bool,
    force: bool,
) -> None:
    """Bring outputs of jobs, and objects by LFN, to a local folder; prints their paths.

    Outputs of job 42.7 go to DIR/42.7/, the last words of its stdout and stderr beside them; an LFN
    goes to the same path below DIR, and the companions of an image (side-car, gradient tables,
    events) lie beside it. Every file is verified before it appears; one that is there already with
    the same content is left as it is, another is not written over without --force.

    --bids makes a BIDS dataset: subjects are pseudonyms, tables have the attributes of patients and
    visits. Images whose suffix and entities BIDS does not know are named and left out (exit status
    3). The grid that gave a dataset out does not import it.

    Jobs that are not done are listed, and the exit code is 3. A warning names de-identified series
    that lack private numbers (GeometryComplete=no).

    \b
    medgrid fetch -i ids --dir out
    medgrid fetch 42.7 /trial/P-7F3KQ2M9XA/2021-03-04/T1w --dir .
    medgrid query 'arm=treated' | medgrid fetch - --bids trial --attributes arm,edss
    """
    from medgrid.actions.fetch import fetch as fetch_all
    from medgrid.actions.fetch_bids import fetch_bids
    from medgrid.actions.outcome import Failure

    if (folder is None) == (bids is None):
        raise click.UsageError("say --dir DIR or --bids DIR")
    if folder is not None and attributes is not None:
        raise click.UsageError("--attributes goes with --bids")
    if bids is not None and packed:
        raise click.UsageError("--packed goes with --dir")
    names = read_words(words, input_files, "job id or LFN")
    bar = progress(session, "fetching")
    failures: list[Failure] = []
    lacking: list[str] = []
    done = 0
    results = (
        fetch_all(
            session.open_grid(),
            names,
            folder,
            packed=packed,
            force=force,
            on_bad=lambda bad: bar.warn(str(bad)),
            progress=bar,
        )
        if folder is not None
        else fetch_bids(
            session.open_grid(),
            names,
            bids or Path(),
            attributes=None if attributes is None else attributes.split(","),
            force=force,
            on_bad=lambda bad: bar.warn(str(bad)),
            progress=bar,
        )
    )
    for one in results:
        if isinstance(one, Failure):
            failures.append(one)
            continue
        lacking += one.lacking
        done += one.role is not None or one.source.startswith("/")
        if session.as_json:
            document: dict[str, Any] = {
                "path": str(one.path),
                "source": one.source,
                "role": one.role,
                "size_bytes": one.size_bytes,
            }
            if one.companions:
                document["companions"] = [str(path) for path in one.companions]
            emit_json("fetched/1", document)
        else:
            emit_lines([str(one.path)])
    warn_of_geometry(session, lacking)
    finish(session, failures, done)
