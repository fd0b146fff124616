"""``medgrid demo``: the whole path, typed and run before the user's eyes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.output import emit_json, warn
from medgrid.cli.params import Session, pass_session
from medgrid.cli.say import colour
from medgrid.errors import ExitCode, MedgridError

if TYPE_CHECKING:
    from medgrid.actions.demo import DemoImages

__all__ = ["demo"]

_OF_THE_MACHINE = ("MEDGRID_WHEELS", "MEDGRID_WHEEL_CACHE")
"""Settings that say nothing of the user's own grid: where packages come from here."""


class DemoFailed(MedgridError):
    """A command of the demonstration did not end well."""

    def __init__(self, command: str, code: int) -> None:
        super().__init__(f"'{command}' ended with {code}")
        known = code in list(ExitCode)
        self.exit_code = ExitCode(code) if known else ExitCode.UNEXPECTED


@dataclass(frozen=True)
class Stage:
    """Where the demonstration plays: a working directory with everything in it.

    Commands are run by a shell whose ``medgrid`` is this very one.
    """

    folder: Path
    to_stderr: bool

    @property
    def environ(self) -> dict[str, str]:
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith("MEDGRID_") or name in _OF_THE_MACHINE
        }
        path = f"{self.folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"
        return {**kept, "PATH": path, "MEDGRID_HOME": str(self.folder / "grid")}

    def prepare(self) -> None:
        """Put ``medgrid`` on the shell's path."""
        program = self.folder / "bin" / "medgrid"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m medgrid "$@"\n')
        program.chmod(0o755)

    def say(self, text: str) -> None:
        """Explain what comes next."""
        click.echo(click.style(f"\n# {text}", dim=True), err=self.to_stderr, color=colour())

    def type(self, command: str) -> None:
        """Show a command and run it, its output shown as on a terminal.

        Raises
        ------
        DemoFailed
            It did not end with 0.
        """
        prompt = click.style("$ ", bold=True) + click.style(command, bold=True)
        click.echo(prompt, err=self.to_stderr, color=colour())
        stream = sys.stderr if self.to_stderr else sys.stdout
        stream.flush()
        if stream.isatty():
            code = subprocess.run(
                ["/bin/sh", "-c", command], cwd=self.folder, env=self.environ, stdout=stream
            ).returncode
        else:
            code = self._on_terminal(command)
        if code != 0:
            raise DemoFailed(command, code)

    def _on_terminal(self, command: str) -> int:
        """Run with a terminal of its own for stdout: people get tables in a file, too."""
        ours, theirs = pty.openpty()
        with open(ours, "rb", buffering=0) as reader:  # noqa: PTH123 - a descriptor
            child = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env={**self.environ, "NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=theirs,
            )
            os.close(theirs)
            with contextlib.suppress(OSError):  # EIO: the last writer has closed it
                while data := reader.read(65536):
                    text = data.replace(b"\r\n", b"\n").decode(errors="replace")
                    click.echo(text, nl=False, err=self.to_stderr)
            return child.wait()

    def ask(self, *words: str) -> list[dict[str, Any]]:
        """Documents that a command gives which is not shown."""
        ran = subprocess.run(
            [self.folder / "bin" / "medgrid", *words, "--json"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if ran.returncode != 0:
            click.echo(ran.stderr, nl=False, err=True)
            raise DemoFailed(f"medgrid {shlex.join(words)}", ran.returncode)
        return [json.loads(line) for line in ran.stdout.splitlines()]


@click.command()
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Play in DIR, which must be new or empty, and leave all there.",
)
@click.option(
    "--ssh", "host", metavar="HOST", help="Run the jobs on a real host: user@host[:port]."
)
@click.option("--slots", type=click.IntRange(min=1), default=2, help="Jobs at a time there.")
@click.option(
    "--images",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Only put the images into DIR, which must be new or empty.",
)
@pass_session
def demo(
    session: Session, keep: Path | None, host: str | None, slots: int, images: Path | None
) -> None:
    """Show the whole path on real images, in a throw-away grid.

    Makes a grid home, imports images that come inside Python packages, asks for some of them,
    compares each with a brain template by jobs, fetches and registers what they measured, and asks
    for the results, ranked. Each command is shown as you would type it. The picture of the best
    match is left in ./medgrid-demo; with --keep DIR everything is left in DIR.

    Your own grid is not touched. Jobs run on this machine, or with --ssh on another.
    """
    if images is not None:
        with _folder(images, "--images") as folder:
            files = _gather(session, folder).files
        if session.as_json:
            emit_json("demo-images/1", {"folder": str(folder), "files": files})
        else:
            click.echo(f"{files} files in {images}")
        return
    began = time.monotonic()
    with _folder(keep, "--keep") as folder:
        stage = Stage(folder, to_stderr=session.as_json)
        stage.prepare()
        try:
            best = _play(session, stage, host, slots)
        finally:
            _stop(stage)
        picture = best["picture"] if keep else _save(best["picture"])
    if session.as_json:
        emit_json("demo/1", {**best, "picture": str(picture)})
        return
    stage.say(f"{time.monotonic() - began:.0f} seconds; the best match, as a picture:")
    click.echo(picture)


@contextmanager
def _folder(given: Path | None, option: str) -> Iterator[Path]:
    """A new or empty directory, else a temporary one."""
    if given is None:
        with tempfile.TemporaryDirectory(
            prefix="medgrid-demo-", ignore_cleanup_errors=True
        ) as name:
            yield Path(name).resolve()
        return
    try:
        given.mkdir(parents=True, exist_ok=True)
        if any(given.iterdir()):
            raise click.BadParameter("the directory is not empty", param_hint=option)
    except OSError as exc:
        raise click.BadParameter(f"{exc.strerror}", param_hint=option) from exc
    yield given.resolve()


def _gather(session: Session, folder: Path) -> DemoImages:
    from medgrid.actions.demo import gather_images

    images = gather_images(folder)
    if images.missing:
        warn(session, f"the MNI152 template is left out: {images.missing}")
    return images


def _save(picture: Path) -> Path:
    """Copy the picture out of the throw-away directory, beside the user or, if need be, to /tmp."""
    try:
        folder = Path.cwd() / "medgrid-demo"
        folder.mkdir(exist_ok=True)
        return Path(shutil.copy(picture, folder / "best-match.png"))
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="medgrid-demo-"))
        return Path(shutil.copy(picture, folder / "best-match.png"))


def _stop(stage: Stage) -> None:
    """Leave no process behind."""
    from medgrid.actions.demo import stop_agents

    subprocess.run(
        [stage.folder / "bin" / "medgrid", "broker", "stop"],
        env=stage.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    stop_agents(stage.folder / "grid")


def _play(session: Session, stage: Stage, host: str | None, slots: int) -> Mapping[str, Any]:
    """Type all commands; return the best match: source, target, its measures, its picture."""
    from medgrid.actions.demo import sample_algorithm

    images = _gather(session, stage.folder / "images")
    stage.say("a grid home: catalog, local storage, local worker")
    stage.type("medgrid init")
    if host:
        stage.say("a real host as a worker, and jobs nowhere else")
        url = shlex.quote(f"ssh://{host}")
        stage.type(f"medgrid worker add there {url} --slots {slots}")
        stage.type("medgrid worker check there")
        stage.type("medgrid worker disable local")
    stage.say(
        f"{images.files} files of DICOM and NIfTI, as they lie about in hospitals and studies"
    )
    stage.type("medgrid import images --to /trial >imported; wc -l <imported")
    stage.say("no patient is named any more, and metadata can be asked")
    columns = "Modality,SeriesDescription,suffix,Rows,Columns"
    stage.type(f"medgrid query 'Modality=MR' --columns {columns}")
    stage.say("a program: Boutiques descriptor and code")
    stage.type(f"medgrid algorithm add {shlex.quote(str(sample_algorithm()))}")
    source = stage.ask("query", images.source_question)[0]["lfn"]
    stage.say(f"compare every MR volume with {source}, one job each")
    question = f"Modality=MR and kind=volume and not lfn={source}"
    submit = f"medgrid submit similarity - --with source={source} -p picture=true -o ids"
    stage.type(f"medgrid query '{question}' |\n    {submit}")
    stage.type("medgrid status -i ids --wait")
    stage.say("outputs to a folder, and into the grid with what they measured")
    stage.type("medgrid fetch -i ids --dir out")
    stage.type("medgrid register -i ids --to /trial/results")
    stage.say("results are asked like images: the most similar first")
    ranked = "algorithm=similarity and nmi is known"
    names = "input.targets,nmi,ncc,correlation_ratio"
    stage.type(f"medgrid query '{ranked}' --columns {names} --sort -nmi")
    best = stage.ask("query", ranked, "--columns", f"job,{names}", "--sort", "-nmi")[0]
    stage.say("and each knows how it was made")
    stage.type(f"medgrid provenance {shlex.quote(best['lfn'])}")
    return {
        "source": source,
        "target": best["input.targets"],
        "result": best["lfn"],
        **{name: best[name] for name in ("nmi", "ncc", "correlation_ratio")},
        "picture": next((stage.folder / "out" / best["job"]).glob("picture*.png")),
    }
