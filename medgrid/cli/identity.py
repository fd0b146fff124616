"""``medgrid identity``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit, emit_done, emit_json, emit_table, note, warn
from medgrid.cli.params import UNTIL, Session, pass_session
from medgrid.cli.secrets import new_passphrase, passphrase_file, passphrase_of
from medgrid.errors import MedgridError, UsageError

if TYPE_CHECKING:
    from medgrid.actions.identity import Certified, Listed
    from medgrid.crypto.keystore import KeyStore
    from medgrid.crypto.registration import Registrar

__all__ = ["identity"]

ROLES = ("physician", "researcher", "patient", "broker", "registrar")
COLUMNS = ("name", "state", "roles", "until", "fingerprint", "here")
_YEAR_S = 365 * 86400
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Registration key, when it is not kept in the grid home.",
)


@click.group()
def identity() -> None:
    """Who is who: keys and certificates.

    An identity is a pair of keys: one that data is encrypted to, one that signs. Its private half
    stays with its owner. The grid's registration key certifies whose the public half is, and in
    which roles; every grid home keeps the public half of that key, its pin, and believes no other.

    'medgrid init' makes all of this for a grid of one person. To let somebody else in:

    \b
    medgrid identity pin registration.pub                Bob, in a home of his own
    medgrid identity create bob                          Bob; he sends the file bob.pub
    medgrid identity certify bob.pub --role researcher   the registrar
    medgrid identity add bob.cert                        either of them
    """


@identity.command()
@click.argument("name")
@click.option(
    "--from-ssh",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="OpenSSH ed25519 key to use; it stays where it is.",
)
@click.option("--no-passphrase", is_flag=True, help="Protect the key by file modes alone.")
@pass_session
def create(session: Session, name: str, from_ssh: Path | None, no_passphrase: bool) -> None:
    """Make an identity in this home.

    Prints the request that the registrar certifies, and its fingerprint, which you tell the
    registrar on another way. The passphrase is asked for, or is the first line of
    --passphrase-file FILE. The identity that commands act as is the one called like you; see 'user'
    in medgrid-config(5).

    \b
    medgrid identity create alice
    medgrid identity create alice --from-ssh ~/.ssh/id_ed25519
    """
    from medgrid.actions.identity import make_identity
    from medgrid.crypto.identity import check_identity_name
    from medgrid.crypto.identity_files import check_new

    settings = session.settings()
    check_new(settings.keys_dir, check_identity_name(name))
    title, passphrase = f"identity {name}", None
    if from_ssh is not None:
        if no_passphrase:
            raise UsageError("an OpenSSH key keeps the passphrase that it has")
    elif no_passphrase:
        warn(
            session,
            f"{title} has no passphrase: file modes alone protect it",
            hint="'medgrid passphrase' sets one",
        )
    else:
        passphrase = new_passphrase(
            session, title, passphrase_file(session), "--no-passphrase", "--passphrase-file"
        )
    ask = passphrase_of(session, title)
    made = make_identity(settings, name, passphrase, ssh_file=from_ssh, ask=ask)
    row = {"name": name, "fingerprint": made.public.fingerprint, "request": str(made.request)}
    emit(session, "identity/1", [row], ("name", "fingerprint", "request"))


@identity.command()
@click.argument("requests", nargs=-1, required=True, metavar="REQUEST...")
@click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    required=True,
    help="What the identity is in the grid; repeatable.",
)
@click.option("--until", type=UNTIL, metavar="DATE", help="Last day (UTC) [in two years].")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    metavar="DIR",
    help="Where to write the certificates [beside the requests].",
)
@key_option
@pass_session
def certify(
    session: Session,
    requests: tuple[str, ...],
    roles: tuple[str, ...],
    until: int | None,
    folder: Path | None,
    key: Path | None,
) -> None:
    """Make certificates with the registration key.

    REQUEST is a file NAME.pub, or the name of an identity of this home. Before you publish a
    certificate with 'medgrid identity add', compare the fingerprint with the one that the owner
    tells you, and look whether the name is theirs: whoever holds a certificate is that person to
    the grid.

    Needs no catalog and no network.

    \b
    medgrid identity certify bob.pub --role researcher --until 2027-06-30
    """
    from medgrid.actions.identity import certify as make_certificate
    from medgrid.actions.identity import read_request
    from medgrid.actions.outcome import Failure
    from medgrid.crypto.certificate import Role

    registrar = _registrar(session, key)
    until = int(time.time()) + 2 * _YEAR_S if until is None else until
    made: list[Certified] = []
    failures: list[Failure] = []
    for word in requests:
        try:
            request, file = read_request(session.settings().keys_dir, word)
            wanted = [Role(role) for role in roles]
            made.append(make_certificate(request, file, wanted, until, registrar, folder))
        except MedgridError as exc:
            failures.append(Failure(word, exc))
    columns = ("name", "roles", "until", "fingerprint", "certificate")
    emit(session, "certificate/1", map(_certified_row, made), columns)
    finish(session, failures, len(made))


def _certified_row(made: Certified) -> Mapping[str, Any]:
    found = made.certificate
    return {
        "name": found.name,
        "roles": sorted(found.roles),
        "until": _day(found.not_after_s),
        "until_s": found.not_after_s,
        "fingerprint": found.public.fingerprint,
        "serial": found.serial,
        "certificate": str(made.file),
    }


@identity.command()
@click.argument("files", nargs=-1, required=True, metavar="CERTIFICATE...")
@pass_session
def add(session: Session, files: tuple[str, ...]) -> None:
    """Put certificates into the grid's directory.

    A list that 'medgrid identity revoke -o' wrote is added in the same way. What the grid's
    registration key did not sign is refused.
    """
    from medgrid.actions.identity import publish
    from medgrid.actions.outcome import Failure

    settings, directory = session.settings(), _directory(session)
    done: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for word in files:
        try:
            found = publish(settings.keys_dir, directory, Path(word))
            done.append({"what": found.what, "name": found.name, "state": "added"})
        except MedgridError as exc:
            failures.append(Failure(word, exc))
    for document in done:
        emit_done(session, "identity/1", document)
    finish(session, failures, len(done))


@identity.command()
@pass_session
def ls(session: Session) -> None:
    """List identities.

    Shows those of the grid's directory, and those of this home that are not in it. The state is
    'valid', 'ended', 'revoked', 'refused' (the grid's registration key did not make what the
    directory has) or 'uncertified' (kept in this home only).
    """
    from medgrid.actions.identity import list_identities

    found = list_identities(session.settings().keys_dir, _directory(session))
    emit(session, "identity/1", map(_listed_row, found), COLUMNS)
    for one in found:
        if one.problem is not None and one.state not in ("ended", "revoked"):
            warn(session, one.problem.message, hint=one.problem.hint)


def _listed_row(found: Listed) -> Mapping[str, Any]:
    return {
        "name": found.name,
        "state": found.state,
        "roles": list(found.roles),
        "until": None if found.until_s is None else _day(found.until_s),
        "until_s": found.until_s,
        "fingerprint": found.fingerprint,
        "here": found.is_here,
        "problem": None if found.problem is None else found.problem.message,
    }


@identity.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--compromised",
    is_flag=True,
    help="A stranger may have had the key: what it signed counts no more either.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the grid cannot be reached: write the list to a file, for 'identity add'.",
)
@key_option
@pass_session
def revoke(
    session: Session,
    names: tuple[str, ...],
    compromised: bool,
    output: Path | None,
    key: Path | None,
) -> None:
    """Revoke the certificates that these identities have now.

    From then on nothing new is encrypted to them, and they act in no role. What was encrypted to
    them before is taken back with 'medgrid revoke' and 'medgrid team rm'; a warning says how much
    there is. What they have decrypted or copied stays with them. What they signed stays good, since
    nothing tells when it was signed, unless you say --compromised. A certificate that is made later
    holds.

    With -o nothing of the grid is needed but the list that it has now: the newest one that a home
    has seen is keys/revoked.json. Copy that to FILE; what FILE has stays revoked.
    """
    from medgrid.actions.identity import revoke as revoke_names

    store = _directory(session) if output is None else None
    made = revoke_names(
        session.settings().keys_dir,
        store,
        names,
        lambda: _registrar(session, key),
        compromised=compromised,
        file=output,
    )
    for name in names:
        document = {"name": name, "state": "revoked", "list": made.number}
        emit_done(session, "identity/1", document)
        _warn_of_held(session, store, name)
    note(session, f"the list of revocations is number {made.number} now")


def _warn_of_held(session: Session, store: KeyStore | None, name: str) -> None:
    from medgrid.actions.identity import still_held

    objects, patients = still_held(store, name) if store is not None else (0, 0)
    if objects or patients:
        warn(
            session,
            f"{name} still has grants on {objects} objects and keys of {patients} patients",
            hint="take them back with 'medgrid revoke' and 'medgrid team rm'",
        )


@identity.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@pass_session
def pin(session: Session, file: Path | None) -> None:
    """Show or set the registration key that this home believes.

    FILE is registration.pub of the grid. Compare the fingerprint with what the registrar tells you
    on another way; 'ssh-keygen -lf registration.pub' shows it, too. A home believes one key for
    ever.
    """
    from medgrid.actions.identity import pin as pin_key

    found = pin_key(session.settings(), file)
    if session.as_json:
        document = {"fingerprint": found.fingerprint, "file": str(found.file), "new": found.is_new}
        emit_json("pin/1", document)
    else:
        emit_table([(found.fingerprint, str(found.file))], ("fingerprint", "file"))


def _directory(session: Session) -> KeyStore:
    """Open the key store, which keeps the directory; closed when the command ends."""
    from medgrid.actions.identity import open_directory

    store = open_directory(session.settings())
    click.get_current_context().call_on_close(store.close)
    return store


def _registrar(session: Session, key: Path | None) -> Registrar:
    from medgrid.crypto.registration import load_registrar

    ask = passphrase_of(session, "the registration key")
    return load_registrar(session.settings().keys_dir, ask, key)


def _day(time_s: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time_s))
