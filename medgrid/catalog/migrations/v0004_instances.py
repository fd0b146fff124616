"""How many instances a series has moves from the document to its column."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

changes_rows_of = ("attribute_name",)

_SQLITE = """
UPDATE object
SET number_of_instances = coalesce(
        number_of_instances, json_extract(attributes, '$.NumberOfInstances')
    ),
    attributes = json_remove(attributes, '$.NumberOfInstances')
WHERE json_type(attributes, '$.NumberOfInstances') = 'integer'
"""

_POSTGRESQL = """
UPDATE object
SET number_of_instances = coalesce(
        number_of_instances, CAST(attributes ->> 'NumberOfInstances' AS bigint)
    ),
    attributes = attributes - 'NumberOfInstances'
WHERE jsonb_typeof(attributes -> 'NumberOfInstances') = 'number'
    AND attributes ->> 'NumberOfInstances' ~ '^-?[0-9]{1,18}$'
"""


def upgrade() -> None:
    """Move the numbers, and forget the name, which stands for that of the column."""
    op.execute(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL)
    op.execute("DELETE FROM attribute_name WHERE name = 'NumberOfInstances' AND place = 'json'")
