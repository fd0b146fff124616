"""Where catalogs begin: what this schema is, is kept in the tests, filled with rows."""

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is older."""
