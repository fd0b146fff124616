"""What belongs to an image, from the command line: imported, beside jobs' inputs, fetched."""

from __future__ import annotations

from pathlib import Path

from tests.lab.field import Field
from tests.lab.niftis import B_VALUES, B_VECTORS, write_dwi, write_nifti
from tests.lab.prompt import Prompt

LOOK = """
folder="$(dirname "$1")"
test -f "$1" && ls "$folder" > names.txt
cat "$folder"/image.bval "$folder"/image.bvec > gradients.txt
"""


def test_a_job_finds_them_beside_its_image(field: Field, tmp_path: Path) -> None:
    write_dwi(tmp_path / "in")
    prompt = field.prompt
    (lfn,) = prompt.ok("import", tmp_path / "in", "--to", "/trial").lines
    for name, is_list in (("one", False), ("many", True)):
        field.algorithm(name, LOOK, outputs=["names.txt", "gradients.txt"], is_list=is_list)
        field.submit(name, lfn)
    field.once()
    for job in ("1.1", "2.1"):
        prompt.ok("fetch", job, "--dir", tmp_path / "out")
        found = {path.name: path.read_bytes() for path in (tmp_path / "out" / job).iterdir()}
        names = [b"image.bval", b"image.bvec", b"image.json", b"image.nii.gz"]
        assert sorted(found.values()) == sorted([B_VALUES + B_VECTORS, b"\n".join(names) + b"\n"])


def test_what_is_left_out_is_named(grid_prompt: Prompt, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    image = write_nifti(folder / "x.nii.gz")
    (folder / "y.bval").write_bytes(B_VALUES)
    words = ("import", folder, "--to", "/trial")
    ran = grid_prompt.ok(*words, "--json")
    assert ran.documents[0]["files"] == [str(image)]
    assert '"path": "' + str(folder / "y.bval") in ran.err
    line = f"left out: {folder}/y.bval: belongs to no image that was imported"
    assert line in grid_prompt.ok(*words).err.splitlines()
    for number in range(10):
        (folder / f"{number}.txt").write_text("notes")
    counted = "left out: 10 files: neither DICOM nor NIfTI (--verbose names them)"
    assert counted in grid_prompt.ok(*words).err.splitlines()
    lines = grid_prompt.ok(*words, "--verbose").err.splitlines()
    named = [one for one in lines if one.startswith("left out: ")]
    assert len(named) == 11
    assert line in named


def test_a_damaged_one_ends_an_import_with_3(grid_prompt: Prompt, tmp_path: Path) -> None:
    write_nifti(tmp_path / "x.nii", (4, 5, 6, 3))
    (tmp_path / "x.bval").write_bytes(B_VALUES)
    ran = grid_prompt("import", tmp_path, "--to", "/trial")
    assert ran.code == 3
    reason = "holds 4 numbers, expected 3, as its image has 3 volumes"
    assert f"medgrid: warning: {tmp_path}/x.bval: {reason}" in ran.err.splitlines()
    assert len(ran.lines) == 1
    assert grid_prompt("import", tmp_path, "--to", "/trial").code == 0


def test_the_owner_finds_the_object_of_a_file(grid_prompt: Prompt, tmp_path: Path) -> None:
    image = write_nifti(tmp_path / "in" / "b_left.nii.gz")
    write_nifti(tmp_path / "in" / "a.nii.gz", seed=1)
    companion = image.with_name("b_left.json")
    companion.write_text("{}")
    documents = grid_prompt.ok("import", tmp_path / "in", "--to", "/trial", "--json").documents
    (lfn,) = (one["lfn"] for one in documents if str(image) in one["files"])
    for file in (image, companion):
        (found,) = grid_prompt.ok("stat", "--file", file, "--json").documents
        assert found["lfn"] == lfn
    (tmp_path / "other").touch()
    ran = grid_prompt("stat", "--file", tmp_path / "other")
    assert ran.code == 4
    assert ran.err == (
        f"medgrid: error: no object that you see was imported from {tmp_path}/other\n"
        "medgrid: hint: import it, or its folder\n"
    )
