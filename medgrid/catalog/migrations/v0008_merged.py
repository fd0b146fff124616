"""A table of patients who turned out to be others; grants that are handed to other objects."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SEEN = "medgrid.cares(pseudonym) OR medgrid.cares(became) OR medgrid.brings(became)"
_ADDED = "medgrid.is_physician(pseudonym) AND medgrid.is_physician(became)"
_CHANGED = "medgrid.is_physician(became)"
_COLUMNS = ("pseudonym", "became", "merged_s")
_TAKE_OVER = """
CREATE FUNCTION medgrid.take_over_grants(old text, new text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT $2, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM access_grant g
WHERE g.object_id = $1 AND medgrid.grants($1) AND medgrid.grants($2)
    AND (g.until_s IS NULL OR g.until_s > extract(epoch FROM clock_timestamp()))
ON CONFLICT DO NOTHING
$$
"""


def upgrade() -> None:
    """Make the table."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    kind = sa.String(collation="C") if is_server else sa.String()
    op.create_table(
        "merged",
        *(sa.Column(name, kind, nullable=False) for name in _COLUMNS[:-1]),
        sa.Column("merged_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("pseudonym", name="pk_merged"),
    )
    op.create_index("ix_merged_became", "merged", ["became"])
    if is_server:
        _guard(connection)


def _guard(connection: sa.Connection) -> None:
    """Guard the table where the grid's users have roles of the server."""
    grid_id = connection.scalar(sa.text("SELECT grid_id FROM grid"))
    grid, user = (f"medgrid_{grid_id}_{name}" for name in ("grid", "user"))
    known = sa.text("SELECT count(*) FROM pg_roles WHERE rolname IN (:grid, :user)")
    here = "SELECT to_regprocedure('medgrid.brings(text)') IS NOT NULL"
    if connection.scalar(known, {"grid": grid, "user": user}) != 2 or not connection.scalar(
        sa.text(here)
    ):
        return
    schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
    me = connection.scalar(sa.text("SELECT quote_ident(current_user)"))
    is_member = connection.scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = CAST(:grid AS regrole)"
            " AND m.member = CAST(current_user AS regrole))"
        ),
        {"grid": f'"{grid}"'},
    )
    take_over = "FUNCTION medgrid.take_over_grants(text, text)"
    for statement in (
        "" if is_member else f'GRANT "{grid}" TO {me}',
        f'GRANT ALL ON merged TO "{grid}"',
        f'GRANT SELECT, INSERT, DELETE ON merged TO "{user}"',
        f'GRANT UPDATE (became, merged_s) ON merged TO "{user}"',
        *(f"ALTER TABLE merged ALTER COLUMN {one} SET STATISTICS 0" for one in _COLUMNS),
        "ALTER TABLE merged ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE merged FORCE ROW LEVEL SECURITY",
        f'CREATE POLICY medgrid_grid ON merged TO "{grid}" USING (true) WITH CHECK (true)',
        f'CREATE POLICY medgrid_see ON merged FOR SELECT TO "{user}" USING ({_SEEN})',
        f'CREATE POLICY medgrid_add ON merged FOR INSERT TO "{user}" WITH CHECK ({_ADDED})',
        f'CREATE POLICY medgrid_change ON merged FOR UPDATE TO "{user}" USING ({_CHANGED})'
        f" WITH CHECK ({_CHANGED})",
        f'CREATE POLICY medgrid_remove ON merged FOR DELETE TO "{user}" USING ({_CHANGED})',
        _TAKE_OVER.replace("{schema}", str(schema)),
        f'ALTER {take_over} OWNER TO "{grid}"',
        f"REVOKE ALL ON {take_over} FROM PUBLIC",
        f'GRANT EXECUTE ON {take_over} TO "{user}"',
        "" if is_member else f'REVOKE "{grid}" FROM {me}',
    ):
        if statement:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)
