"""Remove the face from a 3D image of a head: a mean head and its face mask are laid over it.

When it is not certain where the face is, it ends with a reason and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import SimpleITK as sitk  # noqa: N813 - its own documentation names it so
from atlas import as_image, clamped, load_atlas
from face import face_of
from fit import fits
from head import Head, Unusable, read_head
from preview import draw
from verdict import believe, measure


def deface(source: Path, image: Path, report: Path, picture: Path | None) -> None:
    """Write the image without its face, the report and, when asked, a picture: all or none.

    Raises
    ------
    Unusable
        It is not certain where the face is.
    """
    head = read_head(source)
    seen = clamped(as_image(head))
    atlas = load_atlas()
    found = fits(seen, atlas)
    if not found:
        raise Unusable("no head was found")
    best = found[0]
    measures = measure(seen, best, found, atlas)
    believe(measures)
    face = face_of(head, best, atlas)
    document = {name: round(value, 4) for name, value in asdict(measures).items()}
    document["removed_voxels"] = int(face.sum())
    stored = head.without(face)
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".deface-") as name:
        folder = Path(name)
        head.write(stored, folder / "image.nii.gz")
        text = json.dumps(document, indent=1, allow_nan=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        made = [(folder / "image.nii.gz", image), (folder / "report.json", report)]
        if picture is not None:
            left = as_image(Head(stored, head.slope, head.inter, head.affine))
            draw(left, best, atlas, folder / "picture.png")
            made.append((folder / "picture.png", picture))
        for path, target in made:
            path.replace(target)


def main() -> None:
    """Read arguments and do it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        deface(given.source, given.image, given.report, given.picture)
    except Unusable as exc:
        sys.exit(f"deface: refused, nothing is written: {exc}")


if __name__ == "__main__":
    main()
