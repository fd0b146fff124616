"""${message}."""

import sqlalchemy as sa
from alembic import op

from medgrid.catalog.schema import JsonText, Text
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go on from revision ${down_revision}."""
    ${upgrades if upgrades else "pass"}
