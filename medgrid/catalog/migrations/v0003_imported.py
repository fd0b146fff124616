"""Tables of what imports have brought: contents, each registered once, and whose series are."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LFN = "substr(o.lfn, 1, length(o.lfn) - length('.original'))"
_STEM = f"rtrim({_LFN}, '0123456789')"
_FILL = f"""
INSERT INTO imported (lfn, digest, patient, owner, object_id)
SELECT
    -- a number follows an LFN that was taken
    CASE WHEN {_STEM} <> {_LFN} AND {_STEM} LIKE '%-' AND EXISTS (
        SELECT 1 FROM object b WHERE b.lfn = substr({_STEM}, 1, length({_STEM}) - 1) || '.original'
    ) THEN substr({_STEM}, 1, length({_STEM}) - 1) ELSE {_LFN} END,
    o.digest, coalesce(o.patient, ''), CASE WHEN o.patient IS NULL THEN o.owner ELSE '' END, o.id
FROM object o
WHERE o.lfn LIKE '%.original' AND o.kind = 'volume' AND o.data_class = 'nominative'
    AND o.digest IS NOT NULL
ORDER BY length(o.lfn), o.lfn
ON CONFLICT DO NOTHING
"""  # noqa: S608 - made of this file's own words

_SEEN = "EXISTS (SELECT 1 FROM object o WHERE o.id = object_id)"
_WRITTEN = (
    "EXISTS (SELECT 1 FROM object o WHERE o.id = object_id AND (o.owner = session_user::text"
    " OR EXISTS (SELECT 1 FROM care c WHERE c.patient = o.patient"
    " AND c.identity = session_user::text AND c.role = 'physician')))"
)
_CLAIM = """
CREATE FUNCTION medgrid.claim_contents(lfns text[], digests text[], patients text[], objects text[])
RETURNS TABLE (place bigint, object_id text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
INSERT INTO imported (lfn, digest, patient, owner, object_id)
SELECT g.lfn, g.digest, g.patient, CASE g.patient WHEN '' THEN session_user::text ELSE '' END, g.id
FROM unnest($1, $2, $3, $4) AS g(lfn, digest, patient, id)
WHERE g.patient = '' OR medgrid.brings(g.patient)
ORDER BY g.lfn, g.patient, g.digest
ON CONFLICT (lfn, digest, patient, owner) DO UPDATE SET object_id = imported.object_id;
UPDATE imported i SET object_id = g.id
FROM unnest($1, $2, $3, $4) AS g(lfn, digest, patient, id)
WHERE (i.lfn, i.digest, i.patient) = (g.lfn, g.digest, g.patient)
    AND i.owner = CASE g.patient WHEN '' THEN session_user::text ELSE '' END
    AND (g.patient = '' OR medgrid.brings(g.patient))
    AND NOT EXISTS (SELECT 1 FROM object o WHERE o.id = i.object_id AND o.lfn IS NOT NULL
        AND o.digest = i.digest AND coalesce(o.patient, '') = i.patient);
SELECT g.place, i.object_id
FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS g(lfn, digest, patient, id, place)
JOIN imported i ON (i.lfn, i.digest, i.patient) = (g.lfn, g.digest, g.patient)
    AND i.owner = CASE g.patient WHEN '' THEN session_user::text ELSE '' END
WHERE i.object_id <> g.id AND (g.patient = '' OR medgrid.brings(g.patient))
$$
"""


def upgrade() -> None:
    """Make the table, and enter what is known."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    kind = sa.String(collation="C") if is_server else sa.String()
    op.create_table(
        "imported",
        *(
            sa.Column(name, kind, nullable=False)
            for name in ("lfn", "digest", "patient", "owner", "object_id")
        ),
        sa.PrimaryKeyConstraint("lfn", "digest", "patient", "owner", name="pk_imported"),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["object.id"],
            name="fk_imported_object_id",
            ondelete="CASCADE",
            deferrable=True,
            initially="DEFERRED",
        ),
    )
    op.create_index("ix_imported_object_id", "imported", ["object_id"])
    op.create_table(
        "imported_series",
        sa.Column("series", kind, nullable=False),
        sa.Column("object_id", kind, nullable=False),
        sa.PrimaryKeyConstraint("series", "object_id", name="pk_imported_series"),
        sa.ForeignKeyConstraint(
            ["object_id"],
            ["object.id"],
            name="fk_imported_series_object_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_imported_series_object_id", "imported_series", ["object_id"])
    op.execute(sa.text(_FILL))
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
    claim = "FUNCTION medgrid.claim_contents(text[], text[], text[], text[])"
    columns = {
        "imported": ("lfn", "digest", "patient", "owner", "object_id"),
        "imported_series": ("series", "object_id"),
    }
    for statement in (
        "" if is_member else f'GRANT "{grid}" TO {me}',
        *(
            statement
            for table, names in columns.items()
            for statement in (
                f'GRANT ALL ON {table} TO "{grid}"',
                f'GRANT SELECT, DELETE ON {table} TO "{user}"',
                *(f"ALTER TABLE {table} ALTER COLUMN {one} SET STATISTICS 0" for one in names),
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
                f'CREATE POLICY medgrid_grid ON {table} TO "{grid}" USING (true) WITH CHECK (true)',
                f'CREATE POLICY medgrid_see ON {table} FOR SELECT TO "{user}" USING ({_SEEN})',
                f'CREATE POLICY medgrid_remove ON {table} FOR DELETE TO "{user}"'
                f" USING ({_WRITTEN})",
            )
        ),
        f'GRANT INSERT ON imported_series TO "{user}"',
        f'CREATE POLICY medgrid_add ON imported_series FOR INSERT TO "{user}"'
        f" WITH CHECK ({_WRITTEN} OR medgrid.brought(object_id))",
        _CLAIM.replace("{schema}", str(schema)),
        f'ALTER {claim} OWNER TO "{grid}"',
        f"REVOKE ALL ON {claim} FROM PUBLIC",
        f'GRANT EXECUTE ON {claim} TO "{user}"',
        "" if is_member else f'REVOKE "{grid}" FROM {me}',
    ):
        if statement:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)
