"""Names of a protected job's outputs: a number, and what kind of file it is."""

from __future__ import annotations

import pytest

from medgrid.agent.sealed_room import neutral_name


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("out/JANE.nii.gz", "out/*.nii.gz", "1.nii.gz"),
        ("result.json", "result.json", "1.json"),
        ("v1.2.tsv", "v1.2.tsv", "1.2.tsv"),
        ("a.warp.h5", "?.warp.h5", "1.warp.h5"),
        ("JANE.DOE", "*", "1"),
        ("JANE.NII", "*", "1.nii"),
        ("JANE.tar.gz", "JANE*", "1.tar.gz"),
        ("JANE", "*", "1"),
        (".hidden", ".hidden", "1"),
        (".JANE.csv", ".*", "1.csv"),
        ("JANE.1970-01-01", "[A-Z]*[0-9]", "1"),
        ("a.much-too-long-for-a-suffix", "a.much-too-long-for-a-suffix", "1"),
        ("d/x.txt", "**/x.txt", "1.txt"),
    ],
)
def test_a_name_says_the_kind_alone(name: str, pattern: str, expected: str) -> None:
    assert neutral_name(1, name, pattern) == expected
