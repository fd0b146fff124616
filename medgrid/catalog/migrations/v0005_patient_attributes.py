"""Tables of what is known of patients and their visits, and of codes that stand for values."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ME = "session_user::text"
_GUARDS = {
    "patient_attribute": (
        (
            "SELECT",
            "USING",
            "see",
            f"""(EXISTS (SELECT 1 FROM care c
            WHERE c.patient = patient_attribute.patient AND c.identity = {_ME})
            OR EXISTS (SELECT 1 FROM object o WHERE o.patient = patient_attribute.patient
            AND patient_attribute.visit IN ('', o.session, o.study_date)))""",  # noqa: S608
        ),
        ("DELETE", "USING", "remove", "(medgrid.is_physician(patient))"),
    ),
    "sealed_codes": (
        ("SELECT", "USING", "see", f"(reader = {_ME} OR medgrid.reads_codes(name))"),
        ("INSERT", "WITH CHECK", "add", f"(given_by = {_ME} AND medgrid.seals_codes(name))"),
        (
            "UPDATE",
            "USING",
            "change",
            "(medgrid.reads_codes(name))"
            f" WITH CHECK (given_by = {_ME} AND medgrid.reads_codes(name))",
        ),
    ),
    "released_code": (
        ("SELECT", "USING", "see", "(true)"),
        ("INSERT", "WITH CHECK", "add", f"(released_by = {_ME} AND medgrid.reads_codes(name))"),
    ),
}
_GIVE = """
WITH given AS MATERIALIZED (
    SELECT g.* FROM unnest($1, $2, $3, $4, $5) WITH ORDINALITY
        AS g(patient, visit, name, num, text, place)
    WHERE medgrid.brings(g.patient) AND ($6 = '' OR NOT coalesce((
        SELECT (a.num, a.text) IS NOT DISTINCT FROM (g.num, g.text) FROM patient_attribute a
        WHERE (a.patient, a.visit, a.name) = (g.patient, g.visit, g.name) AND a.source = $6
        ORDER BY a.revision DESC LIMIT 1), false))
), before AS MATERIALIZED (
    SELECT g.place, a.revision, a.num, a.text FROM given g
    JOIN patient_attribute a
    ON (a.patient, a.visit, a.name) = (g.patient, g.visit, g.name) AND a.is_current
), fresh AS MATERIALIZED (
    SELECT g.*, b.revision, (b.num IS NOT NULL OR b.text IS NOT NULL) AS replaces
    FROM given g LEFT JOIN before b USING (place)
    WHERE (g.num, g.text) IS DISTINCT FROM (b.num, b.text)
), ended AS (
    UPDATE patient_attribute a SET is_current = false FROM fresh g
    WHERE (a.patient, a.visit, a.name) = (g.patient, g.visit, g.name) AND a.is_current
), added AS (
    INSERT INTO patient_attribute
        (patient, visit, name, revision, is_current, num, text, source, given_by, given_s)
    SELECT patient, visit, name, coalesce(revision, 0) + 1, true, num, text, $6, session_user::text,
        extract(epoch FROM clock_timestamp())
    FROM fresh
)
SELECT place * CASE WHEN replaces THEN -1 ELSE 1 END FROM fresh
"""
_READS = """
SELECT EXISTS (SELECT 1 FROM sealed_codes s WHERE s.name = $1 AND s.reader = session_user::text)
"""
_SEALS = """
SELECT medgrid.reads_codes($1)
    OR NOT EXISTS (SELECT 1 FROM sealed_codes s
        WHERE s.name = $1 AND s.given_by <> session_user::text)
"""
_FUNCTIONS = (
    (
        "give_attributes(patients text[], visits text[], names text[], nums double precision[],"
        " texts text[], source text)",
        "SETOF bigint",
        "VOLATILE",
        _GIVE,
    ),
    ("reads_codes(name text)", "boolean", "STABLE", _READS),
    ("seals_codes(name text)", "boolean", "STABLE", _SEALS),
)


def upgrade() -> None:
    """Make the tables."""
    connection = op.get_bind()
    is_server = connection.dialect.name == "postgresql"
    kind = sa.String(collation="C") if is_server else sa.String()

    def texts(*names: str) -> list[sa.Column[str]]:
        return [sa.Column(name, kind, nullable=False) for name in names]

    op.create_table(
        "patient_attribute",
        *texts("patient", "visit", "name"),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("num", sa.Double()),
        sa.Column("text", kind),
        *texts("source", "given_by"),
        sa.Column("given_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint(
            "patient", "visit", "name", "revision", name="pk_patient_attribute"
        ),
        sa.ForeignKeyConstraint(
            ["patient"],
            ["patient.pseudonym"],
            name="fk_patient_attribute_patient",
            ondelete="CASCADE",
        ),
    )
    for value in ("num", "text"):
        op.create_index(
            f"ix_patient_attribute_name_{value}",
            "patient_attribute",
            ["name", value, "patient", "visit"],
        )
    op.create_table(
        "sealed_codes",
        *texts("name", "reader", "sealed", "given_by"),
        sa.Column("given_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "reader", name="pk_sealed_codes"),
    )
    op.create_table(
        "released_code",
        *texts("name", "code", "meaning", "released_by"),
        sa.Column("released_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "code", name="pk_released_code"),
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
    schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
    me = connection.scalar(sa.text("SELECT quote_ident(current_user)"))
    is_member = connection.scalar(
        sa.text(
            "SELECT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = CAST(:grid AS regrole)"
            " AND m.member = CAST(current_user AS regrole))"
        ),
        {"grid": f'"{grid}"'},
    )
    columns = sa.inspect(connection).get_columns
    statements = ["" if is_member else f'GRANT "{grid}" TO {me}']
    for head, result, kind, body in _FUNCTIONS:
        statements += [
            f"CREATE FUNCTION medgrid.{head} RETURNS {result} LANGUAGE sql {kind}"
            f" SECURITY DEFINER SET search_path = {schema}, pg_temp AS $${body}$$",
            f'ALTER FUNCTION medgrid.{head} OWNER TO "{grid}"',
            f"REVOKE ALL ON FUNCTION medgrid.{head} FROM PUBLIC",
            f'GRANT EXECUTE ON FUNCTION medgrid.{head} TO "{user}"',
        ]
    for table, guards in _GUARDS.items():
        names = [one["name"] for one in columns(table)]
        statements += [
            f'GRANT ALL ON {table} TO "{grid}"',
            *(f"ALTER TABLE {table} ALTER COLUMN {one} SET STATISTICS 0" for one in names),
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f'CREATE POLICY medgrid_grid ON {table} TO "{grid}" USING (true) WITH CHECK (true)',
        ]
        for verb, word, name, condition in guards:
            free = " (sealed, given_by, given_s)" if verb == "UPDATE" else ""
            statements += [
                f'GRANT {verb}{free} ON {table} TO "{user}"',
                f'CREATE POLICY medgrid_{name} ON {table} FOR {verb} TO "{user}"'
                f" {word} {condition}",
            ]
    statements += ["" if is_member else f'REVOKE "{grid}" FROM {me}']
    for statement in statements:
        if statement:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)
