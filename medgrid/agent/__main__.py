"""Verbs of the shipped file; `medgrid.agent` describes them."""

from __future__ import annotations

import os
import sys
from typing import List

__all__ = ["main"]


def main(argv: List[str]) -> int:
    """Run one verb; an exit code."""
    os.umask(0o077)
    verb, root = argv[0], os.path.abspath(os.path.expanduser(argv[1]))
    if verb == "connect":
        from .connect import connect

        return connect(root)
    if verb == "bulk":
        from .bulk import bulk

        return bulk(root)
    from .daemon import serve

    serve(root, int(argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
