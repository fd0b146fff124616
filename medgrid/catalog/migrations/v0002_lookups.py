"""Indexes for what was read whole: visits, members of datasets, scanned files, what was read."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_object_patient_session", "object", ["patient", "session", "lfn"])
    op.create_index("ix_dataset_member_lfn", "dataset_member", ["lfn"])
    op.create_index("ix_scanned_file_object_id", "scanned_file", ["object_id"])
    op.drop_index("ix_derivation_input_object_id", "derivation_input")
    op.create_index(
        "ix_derivation_input_object_id", "derivation_input", ["object_id", "derivation"]
    )
