"""Keep the schema's revision in a table of its own, as the catalog does; find records by index."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_FUNCTIONS = """
CREATE FUNCTION keystore_numbered(numbers bigint[])
RETURNS TABLE (seq bigint, time_us bigint, who text, verb text, thing text, patient text,
    detail text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH me AS MATERIALIZED (
        SELECT keystore_me() AS name, keystore_is_owner() OR keystore_is('registrar') AS sees_all)
    SELECT a.seq, a.time_us, a.who, a.verb, a.thing, a.patient, a.detail FROM audit a, me
    WHERE a.seq = ANY (numbers) AND (me.sees_all OR a.who = me.name
        OR EXISTS (SELECT FROM wrap w WHERE w.recipient = me.name AND w.patient = a.patient))
    ORDER BY a.seq
$$;

-- numbers of such records by the first that is given, each with an index of its own
CREATE FUNCTION keystore_found(names text[], since_us bigint, by_whom text)
RETURNS SETOF bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
    WITH chosen AS MATERIALIZED (
        SELECT a.seq FROM audit a WHERE a.verb = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE a.thing = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE a.patient = ANY (names)
        UNION SELECT a.seq FROM audit a WHERE names IS NULL AND a.time_us >= since_us
        UNION SELECT a.seq FROM audit a
            WHERE names IS NULL AND since_us IS NULL AND a.who = by_whom)
    SELECT n.seq FROM keystore_numbered(ARRAY(SELECT c.seq FROM chosen c)) n ORDER BY n.seq
$$;
"""


def upgrade() -> None:
    """Take the column of the table `store` away; roles of the server may read the new place."""
    with op.batch_alter_table("store") as store:
        store.drop_column("version")
    for name in ("thing", "patient"):
        op.drop_index(f"ix_audit_{name}", "audit")
    for name in ("time_us", "who", "verb", "thing", "patient"):
        op.create_index(f"ix_audit_{name}", "audit", [name, "seq"])
    op.create_index("ix_grant_header_until_us", "grant_header", ["until_us"])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
        plain = connection.execution_options(no_parameters=True)
        plain.exec_driver_sql(_FUNCTIONS.replace("{schema}", str(schema)))
        functions = "keystore_numbered(bigint[]), keystore_found(text[], bigint, text)"
        op.execute(sa.text(f"REVOKE ALL ON FUNCTION {functions} FROM PUBLIC"))
        known = sa.text(
            "SELECT quote_ident(role_name) FROM member_role JOIN pg_roles ON rolname = role_name"
        )
        for role in connection.scalars(known).all():
            op.execute(sa.text(f"GRANT SELECT (version_num) ON keystore_version TO {role}"))
            op.execute(sa.text(f"GRANT EXECUTE ON FUNCTION {functions} TO {role}"))
