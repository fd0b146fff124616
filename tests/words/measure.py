"""How much of real descriptions passes the vocabulary, and what can still be told of a series.

``python -m tests.words.measure FOLDER...`` reads headers below DICOM folders, and names of files of
BIDS datasets, and prints both figures for each and for all. Words that are names of people, sites
or studies are told it in a file, one a line (``--names``): they count for nothing. Real data is
measured by hand; ``test_measure.py`` does so with what it makes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pydicom

from medgrid.images.bids import BidsName
from medgrid.images.codes import clean_code
from medgrid.images.deidentify import clean_text
from medgrid.images.scrub import Scrubber
from medgrid.images.words import folded, normal

__all__ = ["Figures", "classified", "measured", "of_bids", "of_dicom"]

FIELDS = ("StudyDescription", "SeriesDescription", "ProtocolName")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+")
_CONTRASTS = {
    "diffusion": r"dwi|dti|diff|tensor|trace|adc|ep2d_diff|hardi|noddi",
    "perfusion": r"asl|perf|dsc|pwi|cbf",
    "bold": r"bold|fmri|func|rest\b|task",
    "flair": r"flair|dark.?fluid",
    "swi": r"swi|swan|t2\*|t2star|venous",
    "angio": r"tof|angio|mra\b",
    "t1": r"t1|mprage|spgr|bravo|tfl|mp2rage",
    "t2": r"t2|haste|space",
    "pd": r"\bpd|proton",
    "field map": r"field.?map|fmap|gre_field|topup|b0",
    "localizer": r"loc|scout|survey|topo",
    "ct": r"helical|axial \d|ct\b",
}
_PLANES = {
    "axial": r"\b(ax|axi|axial|tra|trans\w*)(?![a-z])|_(ax|tra)",
    "sagittal": r"\bsag|_sag",
    "coronal": r"\bcor(?!r)|_cor(?!r)",
}
_BODY = {
    "head": r"head|brain|kopf|skull|cereb|neuro",
    "spine": r"spine|lumbar|cervical|thoracic",
    "chest": r"chest|thorax|lung|heart|cardiac",
    "abdomen": r"abd|liver|kidney|pelvis|prostate",
    "limb": r"knee|hip|shoulder|ankle|wrist|hand|foot",
    "phantom": r"phantom",
}


@dataclass(slots=True)
class Figures:
    """Words that passed of all, and series that are classified as before of all."""

    words: int = 0
    passed: int = 0
    series: int = 0
    same: int = 0
    lost: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.words + other.words,
            self.passed + other.passed,
            self.series + other.series,
            self.same + other.same,
            self.lost + other.lost,
        )

    def __str__(self) -> str:
        return (
            f"words {self.passed}/{self.words} ({_percent(self.passed, self.words)}), "
            f"series {self.same}/{self.series} ({_percent(self.same, self.series)})"
        )


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def classified(texts: Mapping[str, str]) -> tuple[str, str, str]:
    """Contrast, plane and body part, by what a fixed list of patterns finds first."""
    everything = " ".join(texts[name] for name in sorted(texts)).casefold().replace("_", " _")
    return (
        _first(_CONTRASTS, everything),
        _first(_PLANES, everything),
        _first(_BODY, everything),
    )


def _first(patterns: Mapping[str, str], text: str) -> str:
    return next((name for name, one in patterns.items() if re.search(one, text)), "")


def measured(series: Iterable[Mapping[str, str]], names: frozenset[str] = frozenset()) -> Figures:
    """Figures of descriptions.

    Parameters
    ----------
    series : iterable of mapping
        What each says: text by attribute.
    names : frozenset of str
        Words that count for nothing, folded.
    """
    found = Figures()
    scrub = Scrubber(())
    for texts in series:
        clean = {name: _clean(name, text, scrub) for name, text in texts.items()}
        for name in texts.keys() - {"BodyPartExamined", "ImageType", "Modality"}:
            before = Counter(word for word in _words(texts[name]) if folded(word) not in names)
            after = Counter(_words(clean[name]))
            lost = before - after
            found.words += before.total()
            found.passed += before.total() - lost.total()
            found.lost += lost
        found.series += 1
        found.same += classified(texts) == classified(clean)
    return found


def _clean(name: str, text: str, scrub: Scrubber) -> str:
    if name in ("BodyPartExamined", "ImageType"):
        return " ".join(clean_code(name, part, scrub) or "" for part in text.split("\\"))
    return clean_text(text, scrub, name)


def _words(text: str) -> list[str]:
    """Words of two and more letters, however they are joined; months beside numbers are dates."""
    return [word for word in _WORD.findall(normal(text)) if len(word) > 1]


def of_dicom(folder: Path) -> Iterator[dict[str, str]]:
    """What each series below a folder says."""
    wanted = (*FIELDS, "BodyPartExamined", "ImageType", "SeriesInstanceUID")
    seen = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(wanted))
        except Exception:  # noqa: S112 - no DICOM
            continue
        uid = str(ds.get("SeriesInstanceUID", path))
        if uid not in seen:
            seen.add(uid)
            yield _said(ds)


def _said(ds: pydicom.Dataset) -> dict[str, str]:
    found = {}
    for name in (*FIELDS, "BodyPartExamined", "ImageType"):
        value = ds.get(name)
        if value:
            many = isinstance(value, pydicom.multival.MultiValue)
            found[name] = "\\".join(map(str, value)) if many else str(value)
    return found


def of_bids(paths: Iterable[str]) -> Iterator[dict[str, str]]:
    """What the names of NIfTI files say."""
    for path in paths:
        name = BidsName.parse(path) if re.search(r"\.nii(\.gz)?$", path) else None
        if name is not None:
            yield {f"entity {key}": value for key, value in name.parts.items()}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--said", type=Path, metavar="FILE", help="JSON Lines of what series say")
    parser.add_argument(
        "--paths", type=Path, metavar="FILE", help="paths of BIDS files, one a line"
    )
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="words that are names, one a line"
    )
    parser.add_argument("--lost", action="store_true", help="print the words that did not pass")
    given = parser.parse_args()
    names = frozenset(map(folded, given.names.read_text().split())) if given.names else frozenset()
    sources: dict[str, Iterable[dict[str, str]]] = {
        str(folder): [*of_dicom(folder), *of_bids(map(str, folder.rglob("*")))]
        for folder in given.folders
    }
    if given.said:
        for line in given.said.read_text().splitlines():
            one = json.loads(line)
            sources.setdefault(one.pop("set"), []).append(one)  # type: ignore[attr-defined]
    if given.paths:
        for line in given.paths.read_text().splitlines():
            sources.setdefault(line.split("/")[0], []).extend(of_bids([line]))  # type: ignore[attr-defined]
    total = Figures()
    for name, series in sources.items():
        found = measured(series, names)
        total += found
        print(f"{name}: {found}")
        if given.lost:
            print("  " + " ".join(f"{word}:{count}" for word, count in found.lost.most_common(60)))
    print(f"all: {total}")
    sys.exit(0 if total.words else 1)


if __name__ == "__main__":
    main()
