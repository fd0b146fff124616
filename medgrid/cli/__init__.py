"""The command line: click, and nothing that decides anything.

One file per command or noun. A command parses words, calls one action, prints its values through
`medgrid.cli.output`. Errors are raised, and printed by `medgrid.cli.main` alone.
"""
