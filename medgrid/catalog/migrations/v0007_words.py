"""Tables of words: those a grid has released, and those that were held back, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SEEN = "EXISTS (SELECT 1 FROM object o WHERE o.id = object_id AND true)"
_WRITTEN = (
    "EXISTS (SELECT 1 FROM object o WHERE o.id = object_id AND (o.owner = session_user::text"
    " OR EXISTS (SELECT 1 FROM care c WHERE c.patient = o.patient"
    " AND c.identity = session_user::text AND c.role = 'physician')))"
)


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    kind = sa.String(collation="C") if is_server else sa.String()
    op.create_table(
        "word_release",
        *(sa.Column(name, kind, nullable=False) for name in ("digest", "signer", "document")),
        sa.PrimaryKeyConstraint("digest", name="pk_word_release"),
    )
    op.create_table(
        "held_words",
        sa.Column("object_id", kind, nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer()),
        sa.Column("sealed", kind, nullable=False),
        sa.PrimaryKeyConstraint("object_id", name="pk_held_words"),
        sa.ForeignKeyConstraint(
            ["object_id"], ["object.id"], name="fk_held_words_object_id", ondelete="CASCADE"
        ),
    )
    if is_server:
        _guard(connection)


def _guard(connection: sa.Connection) -> None:
    """Guard the tables where the grid's users have roles of the server."""
    grid_id = connection.scalar(sa.text("SELECT grid_id FROM grid"))
    grid, user = (f"medgrid_{grid_id}_{name}" for name in ("grid", "user"))
    known = sa.text("SELECT count(*) FROM pg_roles WHERE rolname IN (:grid, :user)")
    here = "SELECT to_regprocedure('medgrid.brings(text)') IS NOT NULL"
    if connection.scalar(known, {"grid": grid, "user": user}) != 2 or not connection.scalar(
        sa.text(here)
    ):
        return
    columns = ("object_id", "rule", "revision", "sealed")
    for statement in (
        f'GRANT ALL ON word_release, held_words TO "{grid}"',
        f'GRANT SELECT, INSERT ON word_release TO "{user}"',
        f'GRANT SELECT, INSERT, DELETE ON held_words TO "{user}"',
        *(f"ALTER TABLE held_words ALTER COLUMN {one} SET STATISTICS 0" for one in columns),
        "ALTER TABLE held_words ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE held_words FORCE ROW LEVEL SECURITY",
        f'CREATE POLICY medgrid_grid ON held_words TO "{grid}" USING (true) WITH CHECK (true)',
        f'CREATE POLICY medgrid_see ON held_words FOR SELECT TO "{user}" USING ({_SEEN})',
        f'CREATE POLICY medgrid_add ON held_words FOR INSERT TO "{user}"'
        f" WITH CHECK ({_WRITTEN} OR medgrid.brought(object_id))",
        f'CREATE POLICY medgrid_remove ON held_words FOR DELETE TO "{user}" USING ({_WRITTEN})',
    ):
        connection.execution_options(no_parameters=True).exec_driver_sql(statement)
