"""Marks of what was removed; grants that follow their LFN."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MARKS = (
    "(owner = session_user::text AND patient = '') OR (patient <> '' AND medgrid.brings(patient))"
)
_INHERIT = """
CREATE FUNCTION medgrid.inherit_grants(ids text[]) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
INSERT INTO access_grant (object_id, identity, granted_by, dataset, until_s, created_s)
SELECT n.id, g.identity, g.granted_by, g.dataset, g.until_s, g.created_s
FROM unnest($1) AS given(id) JOIN object n ON n.id = given.id
    JOIN object o ON o.id = (
        SELECT b.id FROM object_version v JOIN object b ON b.id = v.object_id
        WHERE v.lfn = n.lfn AND v.version < n.version AND b.review <> 'needed'
        ORDER BY v.version DESC LIMIT 1)
    JOIN access_grant g ON g.object_id = o.id
WHERE (medgrid.grants(n.id) OR medgrid.brought(n.id)) AND n.review <> 'needed'
    AND n.data_class = 'image' AND o.data_class = 'image'
    AND coalesce(n.patient, '') = coalesce(o.patient, '') AND n.owner = o.owner
    AND (g.until_s IS NULL OR g.until_s > extract(epoch FROM clock_timestamp()))
ON CONFLICT DO NOTHING
$$
"""
_COLUMNS = ("patient", "owner", "spot", "content", "lfn", "removed_s")


def upgrade() -> None:
    """Make the table; nothing is known of what was removed before."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    kind = sa.String(collation="C") if is_server else sa.String()
    op.create_table(
        "removed",
        *(sa.Column(name, kind, nullable=False) for name in _COLUMNS[:-1]),
        sa.Column("removed_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("patient", "owner", "spot", "content", name="pk_removed"),
    )
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
    inherit = "FUNCTION medgrid.inherit_grants(text[])"
    for statement in (
        "" if is_member else f'GRANT "{grid}" TO {me}',
        f'GRANT ALL ON removed TO "{grid}"',
        f'GRANT SELECT, INSERT, DELETE ON removed TO "{user}"',
        *(f"ALTER TABLE removed ALTER COLUMN {one} SET STATISTICS 0" for one in _COLUMNS),
        "ALTER TABLE removed ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE removed FORCE ROW LEVEL SECURITY",
        f'CREATE POLICY medgrid_grid ON removed TO "{grid}" USING (true) WITH CHECK (true)',
        f'CREATE POLICY medgrid_see ON removed FOR SELECT TO "{user}" USING ({_MARKS})',
        f'CREATE POLICY medgrid_add ON removed FOR INSERT TO "{user}" WITH CHECK ({_MARKS})',
        f'CREATE POLICY medgrid_remove ON removed FOR DELETE TO "{user}" USING ({_MARKS})',
        _INHERIT.replace("{schema}", str(schema)),
        f'ALTER {inherit} OWNER TO "{grid}"',
        f"REVOKE ALL ON {inherit} FROM PUBLIC",
        f'GRANT EXECUTE ON {inherit} TO "{user}"',
        "" if is_member else f'REVOKE "{grid}" FROM {me}',
    ):
        if statement:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)
