"""``medgrid completion``, and what the shell offers while a command is typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from medgrid.cli.output import emit_lines
from medgrid.errors import MedgridError

if TYPE_CHECKING:
    from medgrid.actions.grid import Grid

__all__ = ["attach", "completion"]

COMPLETE_VARIABLE = "_MEDGRID_COMPLETE"
_MOST = 500


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Completes commands, options, and what the grid knows: LFNs, jobs, algorithms, workers, storage.

    \b
    medgrid completion bash >~/.local/share/bash-completion/completions/medgrid
    medgrid completion zsh >~/.zfunc/_medgrid             # with ~/.zfunc in $fpath
    medgrid completion fish >~/.config/fish/completions/medgrid.fish
    """
    from medgrid.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click knows these shells
    emit_lines([found(cli, {}, "medgrid", COMPLETE_VARIABLE).source().strip()])


Offer = Callable[["Grid", str], Iterable[str]]


def _lfns(grid: Grid, start: str) -> Iterable[str]:
    return grid.catalog.objects.list(start.rpartition("/")[0] or "/")


def _jobs(grid: Grid, start: str) -> Iterable[str]:
    submissions = grid.catalog.jobs.recent(grid.settings.user)
    if "." not in start:
        return submissions
    return (str(line.id) for line in grid.catalog.jobs.lines([start.partition(".")[0]]))


def _jobs_and_lfns(grid: Grid, start: str) -> Iterable[str]:
    return _lfns(grid, start) if start.startswith("/") else _jobs(grid, start)


def _algorithms(grid: Grid, _start: str) -> Iterable[str]:
    return map(str, grid.catalog.algorithms.all())


def _datasets(grid: Grid, _start: str) -> Iterable[str]:
    return (dataset.name for dataset in grid.catalog.datasets.list())


def _workers(grid: Grid, _start: str) -> Iterable[str]:
    return (worker.name for worker in grid.catalog.places.workers())


def _ses(grid: Grid, _start: str) -> Iterable[str]:
    return (element.name for element in grid.catalog.places.ses())


def _sites(grid: Grid, _start: str) -> Iterable[str]:
    return (site.name for site in grid.catalog.places.sites())


_BY_PARAMETER: dict[str, Offer] = {
    "lfns": _lfns,
    "to": _lfns,
    "ids": _jobs,
    "job_id": _jobs,
    "words": _jobs_and_lfns,
    "algorithm": _algorithms,
    "se": _ses,
    "ses": _ses,
    "site": _sites,
}
_BY_COMMAND: dict[tuple[str, str], Offer] = {
    ("ls", "folder"): _lfns,
    ("mv", "source"): _lfns,
    ("mv", "target"): _lfns,
    ("algorithm show", "name"): _algorithms,
    ("algorithm rm", "name"): _algorithms,
    ("dataset show", "name"): _datasets,
    ("dataset rm", "names"): _datasets,
    ("worker rm", "name"): _workers,
    ("worker enable", "names"): _workers,
    ("worker disable", "names"): _workers,
    ("worker check", "names"): _workers,
    ("se rm", "name"): _ses,
    ("se check", "names"): _ses,
    ("site rm", "name"): _sites,
}


class _Offered(click.types.StringParamType):
    """Text that the grid knows examples of."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from medgrid.actions.grid import Grid
        from medgrid.config import load_settings

        home = ctx.find_root().params.get("home")
        try:
            with Grid(load_settings(Path(home).expanduser() if home else None)) as grid:
                words = (
                    word for word in self._offer(grid, incomplete) if word.startswith(incomplete)
                )
                return [CompletionItem(word) for word in islice(words, _MOST)]
        except MedgridError:
            return []


def attach(command: click.Command, path: str) -> None:
    """Let the arguments and options of a command, and of those below it, offer words."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            attach(below, f"{path} {name}")
    for param in command.params:
        offer = _BY_COMMAND.get((path, param.name or "")) or _BY_PARAMETER.get(param.name or "")
        if offer is not None and isinstance(param.type, click.types.StringParamType):
            param.type = _Offered(offer)
