"""Run the command line: ``python -m medgrid``."""

import os

try:
    from medgrid.cli.main import entry
except KeyboardInterrupt:
    os._exit(130)

entry()
