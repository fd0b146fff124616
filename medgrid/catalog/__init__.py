"""The catalog: what the grid knows, in SQLite or PostgreSQL.

`Catalog` is the only door. It hands out one store per noun; stores take and return values of
`medgrid.model`, never rows. Each method of a store is one transaction unless it says otherwise.
"""

from medgrid.catalog.facade import Catalog

__all__ = ["Catalog"]
