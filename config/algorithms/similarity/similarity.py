"""Compare target images with one source image: ``measures-0001.json`` ... beside where it runs.

The measures, their formulae and references are in ``measures.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from measures import ORDER, Comparison, Resampler, compare
from volumes import UnreadableImage, Volume, read_volume


def read(what: str, path: Path) -> Volume:
    """Read an image, or end with a message that says which one failed."""
    try:
        return read_volume(path)
    except (UnreadableImage, OSError) as exc:
        sys.exit(f"similarity: {what} cannot be read: {exc}")


def main(argv: list[str] | None = None) -> None:
    """Read arguments, write one JSON file and, when asked, one picture per target."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--targets", type=Path, required=True, nargs="+")
    parser.add_argument("--bins", type=int, default=64)
    parser.add_argument("--interpolation", choices=list(ORDER), default="linear")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--picture", action="store_true")
    parser.add_argument("--output", type=Path, default=Path())
    given = parser.parse_args(argv)

    source = read("the source", given.source)
    mask = read("the mask", given.mask) if given.mask else None
    for number, path in enumerate(given.targets, 1):
        target = read(f"target {number}", path)
        found = compare(
            source,
            target,
            bins=given.bins,
            interpolation=given.interpolation,
            threshold=given.threshold,
            mask=mask,
        )
        document = found.document(number)
        text = json.dumps(document, indent=1, allow_nan=False)
        (given.output / f"measures-{number:04d}.json").write_text(text + "\n", encoding="utf-8")
        if given.picture:
            draw_picture(source, target, found, number, given.output, given.interpolation)
        print(" ".join(f"{name}={value}" for name, value in document.items()), flush=True)


def draw_picture(
    source: Volume,
    target: Volume,
    found: Comparison,
    number: int,
    folder: Path,
    interpolation: str,
) -> None:
    """Write ``picture-0001.png`` ..."""
    from picture import draw

    seen = Resampler(target, source.affine, interpolation)
    draw(source, seen, found, number).save(folder / f"picture-{number:04d}.png", optimize=True)


if __name__ == "__main__":
    main()
