"""``medgrid passphrase``."""

from __future__ import annotations

from pathlib import Path

import click

from medgrid.cli.output import emit_done, note, warn
from medgrid.cli.params import Session, pass_session
from medgrid.cli.secrets import new_passphrase
from medgrid.cli.secrets import passphrase as old_passphrase
from medgrid.errors import UsageError

__all__ = ["passphrase"]


@click.command()
@click.option("--registration", is_flag=True, help="Of the registration key, not of your identity.")
@click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Registration key, when it is not kept in the grid home.",
)
@click.option("--remove", is_flag=True, help="Protect the key by file modes alone.")
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with the new passphrase, which nobody else may read.",
)
@pass_session
def passphrase(
    session: Session,
    registration: bool,
    key: Path | None,
    remove: bool,
    new_passphrase_file: Path | None,
) -> None:
    """Set, change or remove the passphrase of your key.

    Your key is that of the identity called like you; see 'user' in medgrid-config(5). The old
    passphrase, when there is one, is asked for, or is the first line of --passphrase-file FILE;
    the new one is asked for twice, or is the first line of --new-passphrase-file FILE. A passphrase
    that is forgotten cannot be found again.

    Copies of the key, such as those in backups, keep their old passphrase.

    \b
    medgrid passphrase
    medgrid passphrase --registration
    """
    from medgrid.actions.passphrase import IdentityKey, RegistrationKey

    if remove and new_passphrase_file is not None:
        raise UsageError("--remove and --new-passphrase-file exclude each other")
    settings = session.settings()
    mine: IdentityKey | RegistrationKey
    if registration or key is not None:
        mine = RegistrationKey(settings.keys_dir, key)
    else:
        mine = IdentityKey(settings.keys_dir, settings.user)
    file, was_locked = mine.file, mine.is_locked
    old = old_passphrase(session, mine.title) if was_locked else b""
    mine.check(old)
    new = None
    if not remove:
        new = new_passphrase(
            session, mine.title, new_passphrase_file, "--remove", "--new-passphrase-file"
        )
    mine.change(lambda: old, new)
    if remove:
        warn(session, f"{mine.title} has no passphrase: file modes alone protect it")
    state = "removed" if remove else "changed" if was_locked else "set"
    emit_done(session, "passphrase/1", {"key": mine.title, "file": str(file), "state": state})
    note(session, f"the passphrase of {mine.title} is {state}")
