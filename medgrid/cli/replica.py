"""``medgrid replica``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit, emit_done, progress
from medgrid.cli.params import Session, input_option, pass_session, read_words

if TYPE_CHECKING:
    from medgrid.actions.outcome import Failure
    from medgrid.model import LFN, Replica

__all__ = ["replica"]

_to_se = click.option("--se", required=True, metavar="NAME", help="Storage element.")
_lfns = click.argument("lfns", nargs=-1, metavar="[LFN]...")


@click.group()
def replica() -> None:
    """The copies of an LFN.

    LFNs come from the command line, '-i FILE' or stdin ('-').
    """


def _row(lfn: LFN, one: Replica) -> dict[str, Any]:
    return {
        "lfn": lfn,
        "se": one.se,
        "pfn": one.pfn,
        "size_bytes": one.size_bytes,
        "sha256": one.sha256,
    }


@replica.command()
@_lfns
@input_option("LFNs")
@pass_session
def ls(session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...]) -> None:
    """List the copies of LFNs."""
    from medgrid.actions.outcome import Failure
    from medgrid.errors import NotFound
    from medgrid.model import LFN

    grid = session.open_grid()
    wanted = [LFN(word) for word in read_words(lfns, input_files, "LFN")]
    copies = grid.catalog.objects.locate(wanted)
    rows = [_row(lfn, one) for lfn in wanted for one in copies.get(lfn, ())]
    emit(session, "replica/1", rows, ("lfn", "se", "size_bytes", "pfn"))
    missing = [Failure(lfn, NotFound(f"no LFN {lfn}")) for lfn in wanted if lfn not in copies]
    finish(session, missing, len(wanted) - len(missing))


@replica.command()
@_lfns
@input_option("LFNs")
@_to_se
@pass_session
def add(session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...], se: str) -> None:
    """Copy LFNs to another storage element, verified."""
    from medgrid.actions.outcome import Failure
    from medgrid.actions.replica import add_replica
    from medgrid.errors import MedgridError
    from medgrid.model import LFN

    grid = session.open_grid()
    grid.catalog.places.se(se)
    failures: list[Failure] = []
    words = read_words(lfns, input_files, "LFN")
    bar = progress(session, "copying")
    bar.total(len(words))
    for word in words:
        try:
            new = add_replica(grid, LFN(word), se, lambda bad: bar.warn(str(bad)))
        except MedgridError as error:
            failures.append(Failure(word, error))
        else:
            emit_done(session, "replica/1", _row(LFN(word), new))
        bar.advance()
    finish(session, failures, len(words) - len(failures))


@replica.command()
@_lfns
@input_option("LFNs")
@_to_se
@click.option("--force", is_flag=True, help="Even the last copy: its bytes are lost.")
@pass_session
def rm(
    session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...], se: str, force: bool
) -> None:
    """Remove the copies of LFNs at a storage element; the last copy stays, but for --force."""
    from medgrid.actions.outcome import Failure
    from medgrid.actions.replica import remove_replica
    from medgrid.errors import MedgridError
    from medgrid.model import LFN

    grid = session.open_grid()
    failures: list[Failure] = []
    words = read_words(lfns, input_files, "LFN")
    done = 0
    for word in words:
        try:
            left = remove_replica(grid, LFN(word), se, force=force)
        except MedgridError as error:
            failures.append(Failure(word, error))
            continue
        done += 1
        failures += [Failure(f"bytes of {word}", error) for error in left]
        emit_done(session, "removed-replica/1", {"lfn": word, "se": se})
    finish(session, failures, done)


@replica.command()
@_lfns
@input_option("LFNs")
@pass_session
def verify(session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...]) -> None:
    """Read every copy of LFNs where it lies, and compare it with the catalog.

    Exit code 6 when one is LOST or CORRUPT; 'medgrid fsck --repair' copies it anew.
    """
    from medgrid.actions.outcome import Failure
    from medgrid.actions.replica import Verdict
    from medgrid.actions.replica import verify as verify_lfn
    from medgrid.errors import IntegrityError, MedgridError, Unreachable
    from medgrid.model import LFN

    grid = session.open_grid()
    failures: list[Failure] = []
    done = 0

    def rows() -> Iterable[Mapping[str, Any]]:
        nonlocal done
        for word in read_words(lfns, input_files, "LFN"):
            try:
                item, checks = verify_lfn(grid, LFN(word))
            except MedgridError as error:
                failures.append(Failure(word, error))
                continue
            if not checks:
                failures.append(Failure(word, IntegrityError(f"{word} has no replica")))
            for check in checks:
                yield {
                    **_row(item.lfn or LFN(word), check.replica),
                    "verdict": str(check.verdict),
                    "detail": check.detail,
                }
                if check.verdict is Verdict.OK:
                    done += 1
                    continue
                kind = Unreachable if check.verdict is Verdict.UNREACHABLE else IntegrityError
                text = f"replica of {word} at {check.replica.se} is {check.verdict}"
                failures.append(Failure(word, kind(f"{text}: {check.detail}")))

    emit(session, "verdict/1", rows(), ("lfn", "se", "verdict", "detail"))
    bad = [one for one in failures if isinstance(one.error, IntegrityError)]
    if bad and done + len(failures) > 1:
        raise IntegrityError(
            f"{len(bad)} of {done + len(failures)} replicas are not what the catalog says",
            hint="'medgrid fsck --deep --repair' copies them anew from a good replica",
        )
    finish(session, failures, done)
