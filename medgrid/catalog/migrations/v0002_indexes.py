"""Find what the importer remembers of an object, and the places of an LFN in datasets."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only indexes are added."""
    op.create_index("ix_scanned_file_object_id", "scanned_file", ["object_id"])
    op.create_index("ix_dataset_member_lfn", "dataset_member", ["lfn"])
