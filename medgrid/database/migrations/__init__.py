"""How alembic runs the steps from each schema of a database to the next."""
