"""The steps from each released schema of the catalog to the next; run by alembic."""
