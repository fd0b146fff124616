"""``medgrid recovery``: when identities are lost."""

from __future__ import annotations

from pathlib import Path

import click

from medgrid.cli.output import emit_done, emit_json, emit_lines, note, warn
from medgrid.cli.params import Session, pass_session
from medgrid.errors import PartlyDone, UsageError

__all__ = ["recovery"]

_SHARES_MAX = 16
_files = click.argument(
    "files",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="[SHARE]...",
)


@click.group()
def recovery() -> None:
    """The key that opens everything when enough people bring their shares of it together.

    It is made by 'medgrid init', and kept nowhere but in the shares: give them to people who trust
    each other not too much, on paper or sticks, and rehearse.

    Shares come from files; without any they are asked for, one after the other.
    """


@recovery.command()
@pass_session
def show(session: Session) -> None:
    """Print the fingerprint of the key, and how many keys of patients it would bring back."""
    from medgrid.actions.recovery import state

    found = state(session.open_grid())
    if session.as_json:
        document = {"fingerprint": found.fingerprint, "wrapped": found.wrapped}
        emit_json("recovery/1", {**document, "compartments": found.compartments})
    else:
        emit_lines([found.fingerprint, f"{found.wrapped} of {found.compartments} keys of patients"])
    if found.wrapped < found.compartments:
        missing = found.compartments - found.wrapped
        warn(session, f"{missing} keys of patients are not wrapped to the recovery key")


@recovery.command()
@_files
@pass_session
def drill(session: Session, files: tuple[Path, ...]) -> None:
    """Prove that the shares open everything, and change nothing.

    What they would not bring back is listed, and the exit code is 3. That it was done is in the
    audit log.
    """
    from medgrid.actions.recovery import drill as rehearse

    grid = session.open_grid()
    found = rehearse(grid, _shares(session, files))
    for problem in found.problems:
        warn(session, problem)
    if session.as_json:
        document = {"compartments": found.compartments, "headers": found.headers}
        emit_json("drill/1", {**document, "problems": list(found.problems)})
    else:
        emit_lines([f"opens {found.compartments} keys of patients, {found.headers} other keys"])
    if found.problems:
        raise PartlyDone(f"{len(found.problems)} would not come back")


@recovery.command()
@click.argument("identity")
@_files
@click.option(
    "--lost",
    metavar="IDENTITY",
    help="Give only what this one could open: the same one, or one that is gone.",
)
@click.option("--all", "everything", is_flag=True, help="Give all that the key opens.")
@pass_session
def restore(
    session: Session,
    identity: str,
    files: tuple[Path, ...],
    lost: str | None,
    everything: bool,
) -> None:
    """Give an identity what one that is lost could open.

    Who lost their key gets a new one first: the registrar revokes the old certificate and certifies
    the new request. Then enough people bring their shares. On a server it is done by the owner of
    the database.

    \b
    medgrid identity revoke alice                                   the registrar
    medgrid identity create alice                                   Alice, her old key moved away
    medgrid identity certify alice.pub --role physician             the registrar
    medgrid identity add alice.cert
    medgrid recovery restore alice share-1.txt share-3.txt --lost alice
    """
    from medgrid.actions.recovery import restore as give_back

    if (lost is None) != everything:
        raise UsageError("say --lost IDENTITY, or --all")
    grid = session.open_grid()
    done, added = give_back(grid, _shares(session, files), identity, lost)
    for problem in done.problems:
        warn(session, problem)
    for one in added:
        note(session, f"{identity} is now {one.role} of {one.patient}")
    emit_done(
        session,
        "restored/1",
        {
            "identity": identity,
            "compartments": done.compartments,
            "headers": done.headers,
            "patients": sorted({one.patient for one in added}),
            "problems": list(done.problems),
        },
    )
    note(session, f"{identity} opens {done.compartments} keys of patients again")
    if done.problems:
        raise PartlyDone(f"{len(done.problems)} did not come back")


def _shares(session: Session, files: tuple[Path, ...]) -> list[str]:
    """Shares of the files, or typed; what is typed is not shown."""
    from medgrid.actions.recovery import read_shares
    from medgrid.cli.secrets import ask_hidden

    if files:
        return read_shares(files)
    found: list[str] = []
    while len(found) < _SHARES_MAX:
        question = f"share {len(found) + 1} (empty: no more)"
        typed = ask_hidden(session, question, "name the files that hold the shares")
        if not typed.strip():
            break
        found.append(typed)
    return found
