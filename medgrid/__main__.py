"""Run the command line: ``python -m medgrid``."""

import os
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run one command and exit with its code, also when Ctrl-C comes before it can be told."""
    try:
        from medgrid.cli.main import entry

        entry()
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()
