"""Put the terms of DICOM's code tables into the vocabulary, as far as pydicom has them.

``python -m tests.words.make`` writes the lines of kind `term` of ``medgrid/images/words.tsv`` anew;
all others are made by hand, and stay.
"""

from __future__ import annotations

import re
from pathlib import Path

import medgrid.images

__all__ = ["VOCABULARY", "terms"]

VOCABULARY = Path(medgrid.images.__file__).with_name("words.tsv")

CONTEXTS = (
    *(2, 4, 11, 12, 13, 18, 19, 20, 25, 26, 27, 29, 501, 502, 3010, 3014, 3015),
    *(4009, 4010, 4011, 4014, 4015, 4020, 4021, 4028, 4030, 4031, 4032, 4040, 4042, 4209),
    *(6117, 6312, 7140, 7152, 7160, 7166, 7203, 7260, 7261, 7262, 7263),
    *(7270, 7271, 7272, 7273, 7274, 7701, 7702, 7704, 7710, 9505),
    *(10013, 10014, 10033, 12104, 12105, 12224, 12226),
)
"""Context groups of PS3.16: anatomy, views, agents, image types. None of eponymous projections."""

NAMES = frozenset(
    """
    baum bayesian belt bengal board boyd branch bridge broad cast charmed cheek copper cord dodd
    euler gold great gutter horn hunterian iris iron krypton kutta levenberg major marquardt
    meyer minor notch pittsburgh power rose runge samples shear shin stem tail than
    trendelenburg trunk trust view wall willis
    """.split()  # noqa: SIM905
)
"""Words of those tables that are people's names, or are more often that than what they mean."""


def terms() -> set[str]:
    """Words of four or more letters that DICOM's code meanings are made of."""
    from pydicom.sr._cid_dict import cid_concepts

    found = {
        word.lower()
        for context in CONTEXTS
        for keywords in cid_concepts[context].values()
        for keyword in keywords
        for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", keyword)
        if len(word) >= 4
    }
    return found - NAMES


def main() -> None:
    """Write the file anew."""
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    kept = [line for line in lines if not line.startswith("#") and not line.endswith("\tterm")]
    known = {line.split("\t")[0] for line in kept}
    kept += [f"{word}\tterm" for word in terms() - known]
    kept.sort(key=lambda line: line.split("\t")[::-1])
    VOCABULARY.write_text("\n".join([*head, *kept]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
