"""Run the command line: ``python -m medgrid``."""

from medgrid.cli.main import entry

entry()
