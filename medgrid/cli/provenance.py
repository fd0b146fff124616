"""``medgrid provenance``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from medgrid.cli.failures import finish
from medgrid.cli.output import emit_json, emit_lines
from medgrid.cli.params import Session, input_option, pass_session, read_words
from medgrid.cli.times import shown_time

if TYPE_CHECKING:
    from medgrid.actions.outcome import Failure
    from medgrid.actions.provenance import Node
    from medgrid.catalog.provenance import Derivation

__all__ = ["provenance"]


@click.command()
@click.argument("lfns", nargs=-1, metavar="[LFN]...")
@input_option("LFNs")
@click.option("--forward", is_flag=True, help="What was made from it.")
@pass_session
def provenance(
    session: Session, lfns: tuple[str, ...], input_files: tuple[str, ...], forward: bool
) -> None:
    """Show how LFNs were made, step by step, back to what came from outside.

    LFNs come from the command line, '-i FILE' or stdin ('-').
    """
    from medgrid.actions import provenance as trees
    from medgrid.actions.outcome import Failure
    from medgrid.errors import MedgridError
    from medgrid.model import LFN

    grid = session.open_grid()
    failures: list[Failure] = []
    done = 0
    for word in read_words(lfns, input_files, "LFN"):
        try:
            root = (trees.forward if forward else trees.backward)(grid, LFN(word))
        except MedgridError as error:
            failures.append(Failure(word, error))
            continue
        done += 1
        if session.as_json:
            direction = "forward" if forward else "backward"
            emit_json("provenance/1", {"direction": direction, **_document(root, forward)})
        else:
            emit_lines(_text(root, forward))
    finish(session, failures, done)


def _document(node: Node, forward: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": node.object_id, **_name(node)}
    if node.seen:
        document["seen"] = True
    steps = [
        {
            **_run(step.derivation),
            ("outputs" if forward else "inputs"): {
                role: [_document(one, forward) for one in nodes]
                for role, nodes in step.nodes.items()
            },
        }
        for step in node.steps
    ]
    if forward:
        document["made_into"] = steps
    else:
        document["made_by"] = steps[0] if steps else None
    return document


def _name(node: Node) -> dict[str, Any]:
    if node.item is None:
        return {"removed": True}
    return {"lfn": node.item.lfn, "filename": node.item.filename, "sha256": node.item.sha256}


def _run(one: Derivation) -> dict[str, Any]:
    return {
        "algorithm": one.algorithm_label,
        "digest": one.algorithm,
        "parameters": dict(one.parameters),
        "job": str(one.job) if one.job else None,
        "worker": one.worker,
        "started": shown_time(one.started_s),
        "ended": shown_time(one.ended_s),
        "exit_code": one.exit_code,
    }


def _text(root: Node, forward: bool) -> Iterator[str]:
    """Lines of a tree: objects, and under each the runs with their roles."""
    yield _title(root, forward)
    waiting = [iter(_children(root, forward, ""))]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        line, node, indent = found
        yield line
        if node is not None:
            waiting.append(iter(_children(node, forward, indent)))


def _children(node: Node, forward: bool, indent: str) -> Iterator[tuple[str, Node | None, str]]:
    for number, step in enumerate(node.steps, 1):
        last_step = number == len(node.steps)
        yield f"{indent}{'└─' if last_step else '├─'} {_run_text(step.derivation)}", None, ""
        inner = indent + ("   " if last_step else "│  ")
        pairs = [(role, one) for role, nodes in step.nodes.items() for one in nodes]
        for place, (role, one) in enumerate(pairs, 1):
            last = place == len(pairs)
            line = f"{inner}{'└─' if last else '├─'} {role}: {_title(one, forward)}"
            yield line, one, inner + ("   " if last else "│  ")


def _title(node: Node, forward: bool) -> str:
    if node.item is None:
        return f"object {node.object_id} (removed)"
    name = node.item.lfn or f"{node.item.filename} (not registered)"
    if node.seen:
        return f"{name} (see above)"
    return name if node.steps or forward else f"{name} (imported)"


def _run_text(one: Derivation) -> str:
    parts = [one.algorithm_label]
    parts += [f"job {one.job}"] if one.job else []
    parts += [f"on {one.worker}"] if one.worker else []
    ended = shown_time(one.ended_s)
    parts += [ended] if ended else []
    parts += [f"{name}={value}" for name, value in sorted(one.parameters.items())]
    return ", ".join(parts)
