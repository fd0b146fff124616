"""Keep the schema's revision in a table of its own, as the catalog does."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Take the column of the table `store` away; roles of the server may read the new place."""
    with op.batch_alter_table("store") as store:
        store.drop_column("version")
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        known = sa.text(
            "SELECT quote_ident(role_name) FROM member_role JOIN pg_roles ON rolname = role_name"
        )
        for role in connection.scalars(known).all():
            op.execute(sa.text(f"GRANT SELECT (version_num) ON keystore_version TO {role}"))
