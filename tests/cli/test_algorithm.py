"""``medgrid algorithm`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.algorithms.sample import minimal, written
from tests.lab.prompt import Prompt

CONFIG = Path(__file__).parents[2] / "config" / "algorithms"


def test_add_list_show_remove(grid_prompt: Prompt) -> None:
    assert grid_prompt.ok("algorithm", "add", CONFIG / "similarity.json").out == "similarity@1\n"
    assert grid_prompt.ok("algorithm", "add", CONFIG / "similarity.json").out == "similarity@1\n"
    grid_prompt.ok("algorithm", "add", CONFIG / "checksum.json")
    assert grid_prompt.ok("algorithm", "ls").rows == [
        [
            "checksum",
            "1",
            "host",
            "Lists the SHA-256 of each file of an object: of a volume one, of a DICOM series one "
            "per instance",
        ],
        [
            "similarity",
            "1",
            "python",
            "Measures how similar each target image is to one source image",
        ],
    ]
    shown = grid_prompt.ok("algorithm", "show", "checksum@1").lines
    assert shown[0] == "checksum@1"
    assert shown[-7:-1] == [
        "inputs:",
        "  file: Any object.",
        "outputs:",
        "  list: One line per file, as sha256sum writes it.",
        "environment: host (find, sha256sum, sort)",
        "command: find [FILE] -type f -exec sha256sum {} + | sort -k 2 > [LIST]",
    ]
    (document,) = grid_prompt.ok("algorithm", "show", "checksum", "--json").documents
    assert document["schema"] == "medgrid.algorithm/1"
    assert document["descriptor"] == json.loads((CONFIG / "checksum.json").read_text())
    assert grid_prompt.ok("algorithm", "rm", "checksum").out == ""
    assert len(grid_prompt.ok("algorithm", "ls").lines) == 1


def test_json_says_whether_it_was_added(grid_prompt: Prompt) -> None:
    for added in (True, False):
        ran = grid_prompt.ok("algorithm", "add", CONFIG / "checksum.json", "--json")
        (document,) = ran.documents
        assert (document["name"], document["version"]) == ("checksum", "1")
        assert document["added"] is added


def test_parameters_are_shown_with_their_bounds(grid_prompt: Prompt) -> None:
    grid_prompt.ok("algorithm", "add", CONFIG / "similarity.json")
    shown = grid_prompt.ok("algorithm", "show", "similarity").lines
    assert (
        "  bins (whole number, optional, >= 2, <= 1024, default 64): Bins per image for the "
        "normalised mutual information and the correlation ratio."
    ) in shown
    assert "  targets (list): The images that are compared with the source, independently of " \
        "each other." in shown  # fmt: skip


def test_errors(grid_prompt: Prompt, tmp_path: Path) -> None:
    wrong = written(tmp_path, minimal(inputs=[{"id": "a", "name": "A", "type": "Integer"}]))
    ran = grid_prompt("algorithm", "add", wrong)
    assert (ran.code, ran.out) == (9, "")
    assert ran.err == (
        f'medgrid: error: {wrong}: $.inputs[0].type: expected "String" or "File" or "Flag" or '
        '"Number", found "Integer"\n'
    )
    ran = grid_prompt("algorithm", "add", tmp_path / "none.json")
    assert ran.code == 9
    assert ran.err == (
        f"medgrid: error: {tmp_path / 'none.json'}: cannot be read: no such file or directory\n"
    )
    ran = grid_prompt("algorithm", "show", "similarity")
    assert ran.code == 4
    assert ran.err == (
        "medgrid: error: no algorithm 'similarity'\nmedgrid: hint: see 'medgrid algorithm ls'\n"
    )
    grid_prompt.ok("algorithm", "add", written(tmp_path, minimal()))
    ran = grid_prompt("algorithm", "add", written(tmp_path, minimal(description="Other.")))
    assert ran.code == 2
    assert ran.err == (
        "medgrid: error: sample@1 exists already with another descriptor or other code\n"
        "medgrid: hint: raise its tool-version, so that older results keep their meaning\n"
    )
