"""Databases: connections, transactions, their failures in our words, and making and upgrading them.

The catalog and the key store are such databases.
"""

from medgrid.database.connections import BUSY_TIMEOUT_S, Database, DatabaseFull, DatabaseReadOnly

__all__ = ["BUSY_TIMEOUT_S", "Database", "DatabaseFull", "DatabaseReadOnly"]
