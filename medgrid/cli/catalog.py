"""``medgrid catalog``: look after the catalog's database."""

from __future__ import annotations

import click

__all__ = ["catalog"]


@click.group()
def catalog() -> None:
    """Look after the catalog's database."""
